//! `runner schema`: the JSON Schema of a document.

use clap::{Args, ValueEnum};

use super::{CliError, Exit, output};

/// Arguments of `runner schema`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The document.
    #[arg(default_value = "experiment")]
    document: Document,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Document {
    Experiment,
    Sweep,
}

/// Prints the schema.
pub fn execute(arguments: &Arguments) -> Result<Exit, CliError> {
    match arguments.document {
        Document::Experiment => output::text(engine::experiment::schema::experiment()),
        Document::Sweep => output::text(sweep::document::schema()),
    }
    Ok(Exit::Done)
}
