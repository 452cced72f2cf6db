//! The terminal: results on stdout; progress, warnings and errors on stderr; exit codes.

/// Writes a line of results to stdout, like `println!`; see [`output`].
macro_rules! outln {
    ($($argument:tt)*) => { $crate::terminal::output::line(format_args!($($argument)*)) };
}

pub mod bar;
mod error;
pub mod output;
pub mod signals;
pub mod table;

pub use error::{CliError, Exit, run_error};
