//! `runner schema`: the JSON Schema of a document.

use clap::{Args, ValueEnum};

use super::Execute;
use crate::terminal::{CliError, Exit, output};

/// SchemaArgs of `runner schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// The document.
    #[arg(default_value = "experiment")]
    document: Document,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Document {
    Experiment,
    Sweep,
}

impl Execute for SchemaArgs {
    /// Prints the schema.
    fn execute(&self) -> Result<Exit, CliError> {
        match self.document {
            Document::Experiment => output::text(engine::experiment::schema::experiment()),
            Document::Sweep => output::text(sweep::document::schema()),
        }
        Ok(Exit::Done)
    }
}
