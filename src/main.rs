//! The `runner` program: parses the arguments, runs a subcommand, renders the error, exits.

#[macro_use]
mod terminal;
mod commands;
mod output_paths;
mod volume_files;

use std::process::ExitCode;

fn main() -> ExitCode {
    let ended = commands::Cli::from_arguments().execute();
    let code = ended.as_ref().map_or_else(terminal::CliError::code, |exit| exit.code());
    if let Err(error) = ended {
        error.print();
    }
    ExitCode::from(code)
}
