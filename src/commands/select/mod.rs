//! `runner select`: the best setting, ensemble and post-processing, by predictions of subjects that no run was trained on.
//!
//! `settings` finds the settings and which run was not trained on a subject, `predictions` predicts a subject by that run,
//! `candidates` scores settings and pairs of them, whose predictions `ensembles` averages, and `choice` decides and writes the result.

use std::path::PathBuf;

use clap::Args;

use super::predict::Weights;
use super::{CacheOptions, Execute, MovedDataOptions};
use crate::output_paths::check_file;
use crate::terminal::signals::stop_on_signals;
use crate::terminal::{CliError, Exit};
use settings::Settings;

mod candidates;
mod choice;
mod compressed;
mod ensembles;
mod predictions;
mod settings;

/// Select the best setting, ensemble and post-processing, by out-of-fold predictions.
///
/// The runs below a folder that differ only in their fold are a setting. Every subject is predicted by the run of each
/// setting that was not trained on it; predictions that `runner evaluate` has left in the run folders are used again.
/// Candidates are the settings, and pairs of them, whose probabilities are averaged. As in nnU-Net, the best mean Dice wins,
/// and keeping only the largest component, of all labels together or of a class, is accepted where that improves the
/// scores. `runner predict --selection` applies the result.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner select runs/liver
  runner select runs/liver --metric hd95 --out liver.yaml
  runner predict --selection selection.yaml scans --out predictions")]
pub struct SelectArgs {
    /// Folder that contains run folders, at any depth: those of all folds of each setting.
    #[arg(id = "run", value_name = "RUNS_DIR")]
    runs: PathBuf,
    /// File of the result.
    #[arg(long, value_name = "FILE.yaml", default_value = "selection.yaml")]
    out: PathBuf,
    /// Metric that decides, such as hd95, by its mean over classes; the runs must declare it [default: dice].
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// Compare settings only, without ensembles, which need the probabilities of every subject.
    #[arg(long)]
    no_ensembles: bool,
    /// Also write the probabilities of every subject into the run folders, so that a later selection need not compute them.
    #[arg(long)]
    keep_probabilities: bool,
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

impl Execute for SelectArgs {
    /// Predicts, scores, decides, and writes the selection and a report.
    fn execute(&self) -> Result<Exit, CliError> {
        check_file(&self.out)?;
        let settings = Settings::find(&self.runs)?;
        settings.notes.iter().for_each(|note| eprintln!("warning: {note}"));
        if settings.num_unpredicted > 0 {
            let number = report::format::count(settings.num_unpredicted, "subject");
            eprintln!("warning: no run predicts {number} out of fold; train the folds that are missing");
        }
        stop_on_signals()?;
        let Some(scored) = candidates::score(&settings.complete, self)? else {
            outln!("stopped; nothing is selected, and the predictions so far are kept");
            return Ok(Exit::Stopped);
        };
        choice::choose(&settings.complete, &scored, self)?;
        Ok(Exit::Done)
    }
}
