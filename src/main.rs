//! The `runner` program: parse arguments, call the library, render the error, exit.

use std::process::ExitCode;

use clap::Parser;
use runner::cli::{self, CliError};

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match cli::execute(arguments) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            render(&error);
            ExitCode::from(error.code())
        }
    }
}

/// Writes an error to stderr, with colours where they are seen.
fn render(error: &CliError) {
    let graphic = miette::MietteHandlerOpts::new().build();
    match error {
        CliError::Problems(problems) => eprint!("{:?}", DebugWith(&graphic, problems)),
        CliError::Problem { message, help } => {
            let mut report = miette::MietteDiagnostic::new(message);
            if let Some(help) = help {
                report = report.with_help(help);
            }
            eprint!("{:?}", DebugWith(&graphic, &report));
        }
        CliError::Failure(message) => {
            eprint!("{:?}", DebugWith(&graphic, &miette::MietteDiagnostic::new(message)));
        }
    }
}

/// Shows a diagnostic through a report handler.
struct DebugWith<'a>(&'a dyn miette::ReportHandler, &'a dyn miette::Diagnostic);

impl std::fmt::Debug for DebugWith<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.0.debug(self.1, f)
    }
}
