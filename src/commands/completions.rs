//! `runner completions`: prints a completion script for a shell.

use clap::Args;

use super::Execute;
use crate::terminal::{CliError, Exit, output};

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner completions bash > ~/.local/share/bash-completion/completions/runner
  runner completions zsh > ~/.zfunc/_runner")]
pub struct CompletionsArgs {
    /// Shell.
    shell: clap_complete::Shell,
}

impl Execute for CompletionsArgs {
    /// Prints the script.
    fn execute(&self) -> Result<Exit, CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::arguments::command(), "runner", &mut script);
        output::text(String::from_utf8_lossy(&script));
        Ok(Exit::Done)
    }
}
