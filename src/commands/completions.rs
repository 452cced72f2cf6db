//! `runner completions`: a completion script for a shell.

use clap::{Args, CommandFactory};

use super::Execute;
use crate::terminal::{CliError, Exit, output};

/// CompletionsArgs of `runner completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    shell: clap_complete::Shell,
}

impl Execute for CompletionsArgs {
    /// Prints the script.
    fn execute(&self) -> Result<Exit, CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Cli::command(), "runner", &mut script);
        output::text(String::from_utf8_lossy(&script));
        Ok(Exit::Done)
    }
}
