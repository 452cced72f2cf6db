//! `runner export`: writes a trained run for other programs.

use clap::{Args, Subcommand};

use super::Execute;
use crate::terminal::{CliError, Exit};

mod nnunet;
mod onnx;

/// Write a trained run for other programs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner export onnx runs/liver/latest --out liver_onnx
  runner export nnunet runs/liver/latest --out liver_nnunet")]
pub struct ExportArgs {
    #[command(subcommand)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Format {
    /// Write the network as `model.onnx`, and everything around it as `manifest.json`.
    Onnx(onnx::OnnxArgs),
    /// Write one or several runs as a trained model of nnU-Net.
    Nnunet(nnunet::NnunetArgs),
}

impl Execute for ExportArgs {
    /// Writes a run in the format of a subcommand.
    fn execute(&self) -> Result<Exit, CliError> {
        match &self.format {
            Format::Onnx(arguments) => arguments.execute(),
            Format::Nnunet(arguments) => arguments.execute(),
        }
    }
}
