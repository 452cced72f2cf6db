//! `runner import`: makes run folders from models that other programs trained.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Execute;
use super::training::command;
use crate::output_paths::check_folder;
use crate::terminal::{CliError, Exit, run_error};
use nnunet::{CheckpointChoice, Fold, Import, ImportError};

/// Import a model that another program trained, as run folders that `predict` and `evaluate` use.
#[derive(Debug, Args)]
pub struct ImportArgs {
    #[command(subcommand)]
    program: Program,
}

/// The program that trained a model.
#[derive(Debug, Subcommand)]
enum Program {
    Nnunet(NnunetArgs),
}

/// Import a trained model of nnU-Net 2, without Python.
///
/// Each fold becomes a run folder RUNS_DIR/NAME/fold_N. Predictions are those of nnUNetv2_predict; several folds are an
/// ensemble. Checkpoints are read without executing anything in them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner import nnunet nnUNet_results/Dataset004_Hippocampus/nnUNetTrainer__nnUNetPlans__3d_fullres
  runner import nnunet model.zip --model 3d_fullres --folds 0,1
  runner import nnunet model.zip --model 3d_cascade_fullres
  runner predict --run runs/Dataset004_Hippocampus_3d_fullres/fold_0 scan.nii.gz --out predictions")]
struct NnunetArgs {
    /// Folder of a trained model, with plans.json and fold_0, fold_1, ..., or a folder that contains it; or the ZIP file that
    /// nnUNetv2_export_model_to_zip wrote.
    #[arg(value_name = "FOLDER|ZIP")]
    path: PathBuf,
    /// Which of several models: the folder of the model, or the end of its name, such as 3d_fullres.
    #[arg(long)]
    model: Option<String>,
    /// Folds to import, such as 0,1 or all [default: all folds of the cross-validation].
    #[arg(long, value_delimiter = ',')]
    folds: Vec<Fold>,
    /// Weights to import.
    #[arg(long, value_enum, default_value_t)]
    checkpoint: Which,
    /// Folder or ZIP file of the first stage, for the second stage of a cascade such as 3d_cascade_fullres [default: the model of
    /// the first stage, such as 3d_lowres, beside it].
    #[arg(long, value_name = "FOLDER|ZIP")]
    previous: Option<PathBuf>,
    /// Name of the folder that holds the folds [default: dataset and configuration].
    #[arg(long)]
    name: Option<String>,
    /// Folder of all runs.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs_dir: PathBuf,
}

/// Which weights of a fold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Weights after the last epoch, checkpoint_final.pth.
    #[default]
    Final,
    /// Weights of the best epoch, checkpoint_best.pth.
    Best,
}

impl Execute for ImportArgs {
    /// Imports the folds and prints their run folders.
    fn execute(&self) -> Result<Exit, CliError> {
        match &self.program {
            Program::Nnunet(arguments) => arguments.execute(),
        }
    }
}

impl Execute for NnunetArgs {
    fn execute(&self) -> Result<Exit, CliError> {
        check_folder(&self.runs_dir)?;
        let import = Import {
            path: self.path.clone(),
            model: self.model.clone(),
            folds: self.folds.clone(),
            checkpoint: match self.checkpoint {
                Which::Final => CheckpointChoice::Final,
                Which::Best => CheckpointChoice::Best,
            },
            previous: self.previous.clone(),
            runs_dir: self.runs_dir.clone(),
            name: self.name.clone(),
            command: command(),
        };
        let model = nnunet::import(&import).map_err(import_error)?;
        eprintln!("{}", model.description);
        model.notes.iter().for_each(|note| eprintln!("note: {note}"));
        for fold in &model.folds {
            outln!("{}{}", fold.root.display(), if fold.existed { " (imported before)" } else { "" });
        }
        Ok(Exit::Done)
    }
}

/// Converts an error: what the model needs or the arguments ask for is a problem, a damaged file or a full disk a failure.
fn import_error(error: ImportError) -> CliError {
    match error {
        ImportError::Problem { message, help } => CliError::problem(message, help),
        ImportError::Run(error) => run_error(error),
        error @ (ImportError::Read { .. } | ImportError::Checkpoint { .. } | ImportError::Write { .. }) => {
            CliError::Failure(error.to_string())
        }
    }
}
