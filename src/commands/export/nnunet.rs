//! `runner export nnunet`: trained runs as a trained model of nnU-Net.

use std::path::PathBuf;

use clap::Args;

use crate::commands::Execute;
use crate::commands::predict::{Checkpoint, note_unfinished, predict_error};
use crate::output_paths::check_folder;
use crate::terminal::{CliError, Exit};
use engine::prediction::Predictor;
use nn::devices::DeviceName;
use nnunet::{Export, ExportError, export};

/// Write one or several runs as a trained model of nnU-Net 2, which its standard trainer runs.
///
/// Several runs of one setting become its folds. Label maps are those of `runner predict`; what nnU-Net lacks is
/// refused by name. docs/export.md explains what can be exported.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner export nnunet runs/hippocampus/latest --out hippocampus_nnunet
  runner export nnunet runs/fold_* --out nnUNet_results/Dataset004_Hippocampus/nnUNetTrainer__nnUNetPlans__3d_fullres
  nnUNetv2_predict_from_modelfolder -i scans -o predictions -m hippocampus_nnunet -f 0")]
pub(super) struct NnunetArgs {
    /// Folders of trained runs, whose folds those of the model become.
    #[arg(value_name = "RUN_DIR", required = true)]
    runs: Vec<PathBuf>,
    /// Output folder of the model, with dataset.json, plans.json and fold_0, fold_1, ...; it must be empty or not
    /// exist. Where it is named as nnU-Net names it, DatasetNNN_NAME/nnUNetTrainer__PLANS__CONFIGURATION, the model has
    /// these names.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    checkpoint: Checkpoint,
    /// Leave out the post-processing of the runs, which nnU-Net's model folders lack, instead of refusing runs that
    /// have some.
    #[arg(long)]
    without_postprocess: bool,
    /// Ending of the image files that nnU-Net will read.
    #[arg(long, value_name = "ENDING", default_value = ".nii.gz")]
    file_ending: String,
}

impl Execute for NnunetArgs {
    /// Writes the folder of the model.
    fn execute(&self) -> Result<Exit, CliError> {
        if !self.file_ending.starts_with('.') || self.file_ending.contains(['/', '\\']) {
            let message = format!("expected the ending of a file's name, got {}", self.file_ending);
            return Err(CliError::problem(message, "for example --file-ending .nii.gz"));
        }
        check_folder(&self.out)?;
        // Weights are only copied, so the CPU suffices whatever the runs were trained on.
        let cpu = DeviceName::FLEX.resolve().ok();
        let open = |run: &PathBuf| Predictor::open(run, self.checkpoint.weights(), cpu).map_err(predict_error);
        let predictors: Vec<Predictor> = self.runs.iter().map(open).collect::<Result<_, _>>()?;
        predictors.iter().for_each(note_unfinished);
        let options = Export {
            out: self.out.clone(),
            file_ending: self.file_ending.clone(),
            without_postprocess: self.without_postprocess,
        };
        let model = export(&predictors, &options).map_err(export_error)?;
        for (predictor, fold) in predictors.iter().zip(&model.folds) {
            eprintln!("fold {fold}: {}", predictor.root.display());
        }
        model.notes.iter().for_each(|note| eprintln!("note: {note}"));
        model.files.iter().for_each(|file| outln!("{}", file.display()));
        Ok(Exit::Done)
    }
}

/// Converts an error: what nnU-Net lacks or the arguments ask for is a problem, a full disk a failure.
fn export_error(error: ExportError) -> CliError {
    match error {
        ExportError::Refused(problems) => CliError::Problems(problems),
        ExportError::Problem { message, help } => CliError::problem(message, help),
        ExportError::Run(error) => predict_error(error),
        error @ (ExportError::Weights(_) | ExportError::Write { .. }) => CliError::failure(&error),
    }
}
