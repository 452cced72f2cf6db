//! `runner check`: the plan of an experiment, without training; with `--time` also its duration, and with `--data` checks of
//! the dataset.

mod duration;
mod splits;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::{Execute, ExperimentOptions};
use crate::terminal::bar::Bar;
use crate::terminal::{CliError, Exit, output};
use dataset::checks::{self, CheckReport, Dataset, Severity};
use dataset::split;
use engine::experiment::check::{self, DatasetIndex};
use engine::experiment::load::Document;
use engine::experiment::plan::ClassLabel;
use engine::experiment::problem::Problems;
use engine::experiment::spec::Experiment;
use random::Seed;
use run_folder::event::{Columns, Event, Listener};

/// Validate an experiment and print its plan, without training.
///
/// Reads image headers only; with `--data`, also every voxel, and with `--time` a few subjects. Exits with 1 if the data has
/// faults.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner check experiments/quickstart.yaml
  runner check experiments/quickstart.yaml --data
  runner check experiments/quickstart.yaml --time
  runner check experiments/quickstart.yaml --write-splits splits_final.json
  runner check experiments/quickstart.yaml --set train.batch_size=4")]
pub struct CheckArgs {
    /// Experiment file (YAML).
    experiment: PathBuf,
    /// Also read every voxel and report faulty or suspicious data.
    #[arg(long)]
    data: bool,
    /// Also preprocess a few subjects and take a few training steps, to estimate the time of the whole run.
    #[arg(long)]
    time: bool,
    /// Also write the subjects of every fold of the split, in the format of nnU-Net's splits_final.json.
    #[arg(long, value_name = "FILE")]
    write_splits: Option<PathBuf>,
    #[command(flatten)]
    common: ExperimentOptions,
}

impl Execute for CheckArgs {
    /// Prints the plan; with `--data` also the findings about the dataset.
    fn execute(&self) -> Result<Exit, CliError> {
        let document = engine::experiment::load::load(&self.experiment, &self.common.set)?;
        let plan_problems = match self.common.plan(&document) {
            Ok(plan) => {
                output::text(&plan);
                if let Some(path) = &self.write_splits {
                    let index = check::index_dataset(&document, &self.common.cache.path())?;
                    splits::write(path, &document.experiment, &index)?;
                }
                if self.time && duration::print(&plan, &self.common)? == Exit::Stopped {
                    return Ok(Exit::Stopped);
                }
                None
            }
            // With `--data`, all files are examined even if some prevent a plan.
            Err(CliError::Problems(problems)) if self.data => Some(problems),
            Err(error) => return Err(error),
        };
        if !self.data {
            return Ok(Exit::Done);
        }
        let index = match check::index_dataset(&document, &self.common.cache.path()) {
            Ok(index) => index,
            Err(problems) => return Err(plan_problems.unwrap_or(problems).into()),
        };
        let report = examine(&document, &index, self.common.quiet);
        output::text(&report);
        verdict(&report, plan_problems)
    }
}

/// Returns the exit status, or the problems that prevented a plan, without those that the report already lists.
fn verdict(report: &CheckReport, plan_problems: Option<Problems>) -> Result<Exit, CliError> {
    let has_faults = report.count(Severity::Fault) > 0;
    let Some(Problems(problems)) = plan_problems else {
        return Ok(if has_faults { Exit::No } else { Exit::Done });
    };
    let (listed, other): (Vec<_>, Vec<_>) =
        problems.into_iter().partition(|problem| problem.is_dataset_problem && has_faults);
    if other.is_empty() && !listed.is_empty() { Ok(Exit::No) } else { Err(Problems(other).into()) }
}

/// Examines every subject, with progress on stderr.
fn examine(document: &Document, index: &DatasetIndex, quiet: bool) -> CheckReport {
    let experiment = &document.experiment;
    let labels = ClassLabel::pairs(&index.targets.labels);
    let chain = experiment.preprocess_chain();
    let dataset = Dataset {
        listing: &index.listing,
        generator: experiment.data.source.component().generator(),
        parts: &index.parts,
        other_folds: other_folds(experiment, index),
        labels: &labels,
        ignore: index.targets.ignore,
        chain: &chain,
        reorients: experiment.reorients(),
        sampler: &experiment.sampler,
        weight_maps: experiment.weight_maps().map(|(_, pattern)| pattern).collect(),
        samples_val: experiment.validate.patches,
    };
    let mut bar = Bar::new(Columns::default(), 1, 1, quiet);
    checks::examine(&dataset, &mut |done, total| {
        // An error of the terminal must not fail the command.
        let _ = bar.record(&Event::Preparing { task: "reading subjects", done, total });
    })
}

/// Returns the validation subjects of the other folds, if the split has folds.
fn other_folds(experiment: &Experiment, index: &DatasetIndex) -> BTreeMap<usize, Vec<String>> {
    let folds = split::folds(&experiment.data.split, Seed(experiment.seed), &index.listing).ok().flatten();
    let validation = folds.into_iter().flatten().map(|parts| parts.val).enumerate();
    validation.filter(|(_, val)| *val != index.parts.val).collect()
}
