//! The `runner` program: parse arguments, call the library, render the error, exit.

mod commands;

use std::io::IsTerminal;
use std::process::ExitCode;

use crate::commands::CliError;
use clap::Parser;
use engine::experiment::problem::{Problem, Problems, RenderOptions, render};

fn main() -> ExitCode {
    match commands::execute(commands::Arguments::parse()) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            let code = error.code();
            eprint!("{}", render(&problems(error), drawing()));
            ExitCode::from(code)
        }
    }
}

/// Problems keep their places; anything else is one without.
fn problems(error: CliError) -> Problems {
    match error {
        CliError::Problems(problems) => problems,
        CliError::Problem { message, help: Some(help) } => Problem::at(None, message).help(help).into(),
        CliError::Problem { message, help: None } | CliError::Failure(message) => Problem::at(None, message).into(),
        CliError::Bug(message) => {
            Problem::at(None, message).help("this is a bug; please report it with what was run").into()
        }
    }
}

/// Colours and the terminal's width where there is a terminal; `NO_COLOR` is obeyed.
fn drawing() -> RenderOptions {
    let terminal = std::io::stderr().is_terminal();
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    RenderOptions { width: columns.unwrap_or(100), colour: terminal && !no_colour, unicode: true }
}
