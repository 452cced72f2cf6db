//! `runner evaluate`: scores a trained run, or one folder of label maps against another.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::numbers::whole;
use super::predict::Weights;
use super::{CacheOptions, Execute, MovedDataOptions};
use crate::terminal::{CliError, Exit};

pub(super) mod folders;
pub(super) mod pairs;
mod pictures;
mod record;
pub(super) mod run;

/// Score a trained run on its own subjects, or one folder of label maps against another.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner evaluate runs/quickstart/latest
  runner evaluate runs/quickstart/latest --split test --checkpoint last
  runner evaluate --predictions predictions --labels labelsTs --out scores.csv --images imagesTs")]
pub struct EvaluateArgs {
    /// Folder of a trained run, which is scored on its own subjects.
    #[arg(value_name = "RUN_DIR", required_unless_present = "predictions", conflicts_with_all = ["predictions", "labels"])]
    run: Option<PathBuf>,
    /// Part of the run's split to score.
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["predictions"])]
    split: Part,
    /// Folder of predicted label maps, written by any tool.
    #[arg(long, value_name = "DIR", requires = "labels", conflicts_with = "set")]
    predictions: Option<PathBuf>,
    /// Folder of reference label maps with the same file names.
    #[arg(long, value_name = "DIR", requires = "predictions")]
    labels: Option<PathBuf>,
    /// What to do if a label map has no prediction.
    #[arg(long, value_enum, default_value_t, requires = "predictions")]
    missing: Missing,
    /// YAML file with `metrics: [...]` and optionally `labels: {1: liver}` [default: the metrics of the run; for two folders
    /// dice, jaccard, precision, recall, hd95 and assd]. The tables of a run are then named after the file.
    #[arg(long, value_name = "FILE.yaml")]
    metrics: Option<PathBuf>,
    /// Write the scores to this CSV file, with a summary and plots next to it [default: for a run, `cases.csv` next to its
    /// predictions; for two folders, only print them].
    #[arg(long, value_name = "CSV")]
    out: Option<PathBuf>,
    /// Folder of the cases' images, with --predictions: render pictures of the worst cases next to the CSV file.
    #[arg(long, value_name = "DIR", requires = "predictions", requires = "out")]
    images: Option<PathBuf>,
    /// Number of worst cases to render as pictures.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = whole::<usize>)]
    pictures: usize,
    #[command(flatten)]
    weights: Weights,
    #[command(flatten)]
    moved: MovedDataOptions,
    #[command(flatten)]
    cache: CacheOptions,
    /// Print only results, warnings and errors.
    #[arg(long)]
    quiet: bool,
}

/// What to do with a label map that has no prediction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Missing {
    /// Report them and score nothing: a mean over the other cases would be misleading.
    #[default]
    Refuse,
    /// Score them as if nothing had been predicted.
    ScoreAsEmpty,
}

/// A part of a run's subjects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Validation subjects.
    #[default]
    Val,
    /// Training subjects.
    Train,
    /// Test subjects, which training never used.
    Test,
}

impl Execute for EvaluateArgs {
    /// Scores a run or two folders.
    fn execute(&self) -> Result<Exit, CliError> {
        match (&self.run, &self.predictions, &self.labels) {
            (Some(run), _, _) => run::evaluate(run, self),
            (None, Some(predictions), Some(labels)) => folders::evaluate(predictions, labels, self),
            (None, _, _) => unreachable!("clap requires a run or two folders"),
        }
    }
}
