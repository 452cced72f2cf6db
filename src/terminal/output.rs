//! Results on stdout.

use std::fmt::{Arguments, Display};
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether results could not be written to stdout.
static LOST: AtomicBool = AtomicBool::new(false);

/// Whether results were lost, as on a full disk behind a redirection.
pub fn is_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Writes to stdout. Where nobody reads on, as behind `head`, the program ends quietly.
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
        // A full disk behind a redirection loses the text, not the run; how the program ends tells.
        Err(error) => {
            LOST.store(true, Ordering::Relaxed);
            eprintln!("cannot write to stdout: {error}");
        }
        Ok(()) => {}
    }
}
