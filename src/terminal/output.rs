//! Results on stdout.

use std::fmt::{Arguments, Display};
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// If true, results could not be written to stdout.
static LOST: AtomicBool = AtomicBool::new(false);

/// Returns whether results were lost, as when stdout is redirected to a full disk.
pub fn is_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Writes to stdout. When the reader closes the pipe, as `head` does, the program exits silently.
pub fn text(text: impl Display) {
    write(format_args!("{text}"));
}

/// Writes a line to stdout; see [`text`].
pub fn line(line: Arguments) {
    write(format_args!("{line}\n"));
}

fn write(arguments: Arguments) {
    let mut stdout = io::stdout().lock();
    match stdout.write_fmt(arguments).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        // If stdout is redirected to a full disk, the run continues; the exit code reports the loss.
        Err(error) => {
            LOST.store(true, Ordering::Relaxed);
            eprintln!("cannot write to stdout: {error}");
        }
        Ok(()) => {}
    }
}
