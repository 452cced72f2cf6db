//! `runner evaluate`: the scores of a trained run, or of any two folders of label maps.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::predict::Weights;
use super::{CacheOptions, Execute};
use crate::terminal::{CliError, Exit};

mod folders;
mod record;
mod run;

/// EvaluateArgs of `runner evaluate`.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// The folder of a trained run, which is scored on its own subjects.
    #[arg(value_name = "RUN_DIR", required_unless_present = "predictions", conflicts_with_all = ["predictions", "labels", "out"])]
    run: Option<PathBuf>,
    /// The part of the run's subjects.
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["predictions"])]
    split: Part,
    /// A folder of predicted label maps, `.nii` or `.nii.gz`, made by any tool.
    #[arg(long, value_name = "DIR", requires = "labels")]
    predictions: Option<PathBuf>,
    /// The folder of the true label maps, with the same file names.
    #[arg(long, value_name = "DIR", requires = "predictions")]
    labels: Option<PathBuf>,
    /// What to score with: a YAML file that holds `metrics: [...]` and may hold `labels: {1: liver}`. By default what the run declares; for two folders dice, jaccard, precision, recall, hd95 and assd.
    #[arg(long, value_name = "FILE.yaml")]
    metrics: Option<PathBuf>,
    /// The table of cases that two folders give; a summary and plots are put beside it. Without it scores are printed only.
    #[arg(long, value_name = "CSV", requires = "predictions")]
    out: Option<PathBuf>,
    /// Of how many of the worst cases of a run a picture is made.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pictures: usize,
    #[command(flatten)]
    weights: Weights,
    #[command(flatten)]
    cache: CacheOptions,
    /// Print nothing but results, warnings and errors.
    #[arg(long)]
    quiet: bool,
}

/// A part of a run's subjects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Those that validated it.
    #[default]
    Val,
    /// Those that trained it.
    Train,
    /// Those that it has never seen.
    Test,
}

impl Execute for EvaluateArgs {
    /// ScoreTable what the arguments name.
    fn execute(&self) -> Result<Exit, CliError> {
        match (&self.run, &self.predictions, &self.labels) {
            (Some(run), _, _) => run::evaluate(run, self),
            (None, Some(predictions), Some(labels)) => folders::evaluate(predictions, labels, self),
            (None, _, _) => unreachable!("the parser asks for a run or for two folders"),
        }
    }
}
