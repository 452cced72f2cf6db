//! `runner schema`: prints the JSON Schema of experiment or sweep files.

use clap::{Args, ValueEnum};

use super::Execute;
use crate::terminal::{CliError, Exit, output};

/// Print the JSON Schema of experiment or sweep files, for completion in editors.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner schema > experiment.schema.json
  runner schema sweep > sweep.schema.json")]
pub struct SchemaArgs {
    /// Kind of file.
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
