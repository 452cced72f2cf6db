//! `runner export onnx`: a trained run for programs that have ONNX Runtime or similar.

use std::path::PathBuf;

use clap::Args;

use crate::commands::Execute;
use crate::commands::predict::{Checkpoint, note_unfinished, predict_error};
use crate::commands::training::command;
use crate::output_paths::{check_folder, make_folder};
use crate::terminal::{CliError, Exit, run_error};
use engine::export::onnx::{ExportError, export};
use engine::prediction::Predictor;
use nn::devices::DeviceName;

/// Write the network as `model.onnx`, and everything around it as `manifest.json`.
///
/// The network takes 32-bit floats `[batch, channel, x, y, z]` and returns logits `[batch, class, x, y, z]`; the size of the
/// batch is dynamic. `manifest.json` has the preprocessing with its fitted numbers, the sliding window, the labels, the
/// decision and the post-processing, so that another program can do the rest; docs/export.md explains it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner export onnx runs/liver/latest --out liver_onnx
  runner export onnx runs/liver/fold_0 --out liver_onnx --checkpoint last --fixed-window")]
pub(super) struct OnnxArgs {
    /// Folder of a trained run.
    #[arg(value_name = "RUN_DIR")]
    run: PathBuf,
    /// Output folder for `model.onnx` and `manifest.json`; files of an earlier export are replaced.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    checkpoint: Checkpoint,
    /// Fix the shape of the input to the sliding window, for programs that need it. By default the network takes any shape
    /// whose axes are multiples of its strides.
    #[arg(long)]
    fixed_window: bool,
}

impl Execute for OnnxArgs {
    /// Writes the two files.
    fn execute(&self) -> Result<Exit, CliError> {
        check_folder(&self.out)?;
        // Weights are only copied, so the CPU suffices whatever the run was trained on.
        let cpu = DeviceName::FLEX.resolve().ok();
        let predictor = Predictor::open(&self.run, self.checkpoint.weights(), cpu).map_err(predict_error)?;
        note_unfinished(&predictor);
        make_folder(&self.out)?;
        let files = export(&predictor, &self.out, self.fixed_window, command()).map_err(|error| match error {
            error @ (ExportError::TooLarge(_) | ExportError::Cascade { .. }) => {
                CliError::problem(error.to_string(), "use the run with `runner predict`")
            }
            ExportError::Write(error) => run_error(error),
        })?;
        files.iter().for_each(|file| outln!("{}", file.display()));
        Ok(Exit::Done)
    }
}
