//! Ctrl-C and the signals that ask a process to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::CliError;

/// The signals that ask a process to end; the program writes a checkpoint first.
#[cfg(unix)]
const STOP_SIGNALS: [i32; 3] = [SIGINT, SIGTERM, signal_hook::consts::SIGHUP];
#[cfg(not(unix))]
const STOP_SIGNALS: [i32; 2] = [SIGINT, SIGTERM];

/// Signals within this time are one request to stop: schedulers may send a job several signals.
const SAME_REQUEST: Duration = Duration::from_secs(1);

static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Returns the stop flag of the process.
pub fn stop_flag() -> &'static AtomicBool {
    &STOP
}

/// Makes Ctrl-C and other stop signals set the stop flag, so that the work ends after its current step; a second
/// request ends the process immediately.
pub fn stop_on_signals() -> Result<(), CliError> {
    let wait = signal_waiter()?;
    let is_second = Arc::new(AtomicBool::new(false));
    for signal in STOP_SIGNALS {
        // On a second request the process exits without the exit handlers of libraries: those of LibTorch free memory
        // that a step still uses. Files are replaced atomically, so none is left half-written.
        let registered = flag::register_conditional_shutdown(signal, 130, Arc::clone(&is_second))
            .and_then(|_| flag::register(signal, Arc::clone(&STOP)));
        registered.map_err(|error| CliError::failure(&error))?;
    }
    std::thread::spawn(move || {
        wait();
        // The signal may have come before its flag was registered.
        STOP.store(true, Ordering::SeqCst);
        eprintln!("\nstopping after this step; press Ctrl-C again to stop immediately");
        std::thread::sleep(SAME_REQUEST);
        is_second.store(true, Ordering::SeqCst);
    });
    Ok(())
}

/// Returns a function that blocks until the first stop signal.
#[cfg(unix)]
fn signal_waiter() -> Result<impl FnOnce() + Send, CliError> {
    let mut signals = signal_hook::iterator::Signals::new(STOP_SIGNALS).map_err(|error| CliError::failure(&error))?;
    Ok(move || {
        signals.forever().next();
    })
}

/// Returns a function that blocks until the first stop signal. Only Unix has signals that a thread can wait for.
#[cfg(not(unix))]
fn signal_waiter() -> Result<impl FnOnce() + Send, CliError> {
    const POLL_EVERY: Duration = Duration::from_millis(20);
    // Not the stop flag, which can also be set without a signal.
    let is_signalled = Arc::new(AtomicBool::new(false));
    for signal in STOP_SIGNALS {
        let registered = flag::register(signal, Arc::clone(&is_signalled));
        registered.map_err(|error| CliError::failure(&error))?;
    }
    Ok(move || {
        while !is_signalled.load(Ordering::SeqCst) {
            std::thread::sleep(POLL_EVERY);
        }
    })
}
