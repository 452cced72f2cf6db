//! `runner completions`: a completion script for a shell.

use clap::{Args, CommandFactory};

use super::{CliError, Exit};

/// Arguments of `runner completions`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The shell.
    shell: clap_complete::Shell,
}

/// Prints the script.
pub fn execute(arguments: &Arguments) -> Result<Exit, CliError> {
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), "runner", &mut std::io::stdout());
    Ok(Exit::Done)
}
