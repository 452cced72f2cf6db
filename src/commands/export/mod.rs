//! `runner export`: writes a trained run for other programs.

use clap::{Args, Subcommand};

use super::Execute;
use crate::terminal::{CliError, Exit};

mod onnx;

/// Write a trained run for other programs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner export onnx runs/liver/latest --out liver_onnx")]
pub struct ExportArgs {
    #[command(subcommand)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Format {
    /// Write the network as `model.onnx`, and everything around it as `manifest.json`.
    Onnx(onnx::OnnxArgs),
}

impl Execute for ExportArgs {
    /// Writes a run in the format of a subcommand.
    fn execute(&self) -> Result<Exit, CliError> {
        match &self.format {
            Format::Onnx(arguments) => arguments.execute(),
        }
    }
}
