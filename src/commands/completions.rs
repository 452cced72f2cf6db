//! `runner completions`: a completion script for a shell.

use clap::{Args, CommandFactory};

use super::{CliError, Exit, output};

/// Arguments of `runner completions`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The shell.
    shell: clap_complete::Shell,
}

/// Prints the script.
pub fn execute(arguments: &Arguments) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), "runner", &mut script);
    output::text(String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}
