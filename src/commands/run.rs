//! `runner run`: trains the network of an experiment file, or resumes a run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::training::{Training, command, latest_checkpoint, resume_error};
use super::{Execute, ExperimentOptions, check_moved_data, with_moved_data_help};
use crate::terminal::signals::stop_on_signals;
use crate::terminal::{CliError, Exit, run_error};
use engine::experiment::load::{self, Base, Change};
use engine::experiment::plan::Plan;
use engine::run::manifest::check_same_split;
use engine::run::{GitState, manifest};
use engine::training::checkpoint::State;
use run_folder::folder::RunFolder;
use run_folder::manifest::{Manifest, Status};
use run_folder::plan_keys::{WITHOUT_EFFECT, has_no_effect, is_place};

/// Train the network that an experiment file describes.
///
/// All results are written to a new run folder, RUNS_DIR/NAME/TIMESTAMP. Ctrl-C stops training after a checkpoint;
/// `--resume` continues from it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner run experiments/quickstart.yaml
  runner run experiments/quickstart.yaml --set train.epochs=5 --set seed=7
  runner run --resume runs/quickstart/20260101-120000")]
pub struct RunArgs {
    /// Experiment file (YAML).
    #[arg(required_unless_present = "resume")]
    experiment: Option<PathBuf>,
    /// Name of the run's folder below RUNS_DIR [default: `name` in the experiment].
    #[arg(long)]
    name: Option<String>,
    /// Resume a run from its latest checkpoint.
    #[arg(long, value_name = "RUN_DIR", conflicts_with_all = ["experiment", "name"])]
    resume: Option<PathBuf>,
    #[command(flatten)]
    common: ExperimentOptions,
}

impl Execute for RunArgs {
    /// Trains and prints the run folder.
    fn execute(&self) -> Result<Exit, CliError> {
        stop_on_signals()?;
        match &self.resume {
            Some(root) => resume(root, &self.common),
            None => start(self),
        }
    }
}

fn start(arguments: &RunArgs) -> Result<Exit, CliError> {
    let common = &arguments.common;
    let path = arguments.experiment.as_deref().expect("clap requires an experiment");
    // The name is checked like the key `name` of an experiment.
    let name = arguments.name.as_deref().map(|name| Change::from_option("--name", "name", name));
    let base = Base::read(path, None, &common.set)?;
    let document = base.document(&name.into_iter().collect::<Vec<_>>())?;
    let plan = common.plan(&document)?;
    let id = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    let folder = RunFolder::create(&common.runs_dir, &plan.name, &id).map_err(run_error)?;
    let mut manifest =
        manifest::create(&folder, &plan, &document.text, GitState::around(path), command()).map_err(run_error)?;
    training(&folder, &plan, common).run(None, &mut manifest)
}

fn training<'a>(folder: &'a RunFolder, plan: &'a Plan, common: &ExperimentOptions) -> Training<'a> {
    Training {
        folder,
        plan,
        cache_dir: common.cache.path(),
        cache: common.cache.open(),
        quiet: common.quiet,
        listeners: Vec::new(),
        pruned: Arc::default(),
    }
}

fn resume(root: &Path, common: &ExperimentOptions) -> Result<Exit, CliError> {
    let before = Manifest::read(root).map_err(run_error)?;
    let folder = RunFolder::open(root).map_err(run_error)?;
    check_changes(common)?;
    let mut document = load::load(&folder.plan(), &common.set)?;
    let latest = latest_checkpoint(&folder)?;
    // Once there is a checkpoint, the file of the initial weights may be missing.
    let initial_weights = document.experiment.train.initial_weights.take_if(|_| latest.state.is_some());
    let mut plan = common.plan(&document).map_err(|error| with_moved_data_help(error, &document))?;
    check_same_split(folder.root(), &plan).map_err(resume_error)?;
    check_moved_data(&common.set, &plan, &before, plan.parts.train.iter().chain(&plan.parts.val), &common.cache)?;
    plan.experiment.train.initial_weights = initial_weights.or(plan.experiment.train.initial_weights);
    let lengthened = common.set.iter().any(|set| set.key == "train.epochs");
    plan.warnings.extend(latest.warnings());
    let mut state = latest.state;
    let complete = state.as_ref().is_some_and(|state| state.progress.epoch > plan.experiment.train.epochs.get());
    if before.status == Status::Done && (complete || !lengthened) {
        outln!("{} is done; to train longer, add --set train.epochs=N with a larger N", root.display());
        return Ok(Exit::Done);
    }
    if let Some(State { progress, .. }) = &mut state {
        // More epochs override early stopping.
        progress.ended_early &= !lengthened;
    }
    let mut manifest = manifest::resume(&folder, &mut plan, before, command()).map_err(resume_error)?;
    training(&folder, &plan, common).run(state, &mut manifest)
}

/// Checks that only the length of a resumed run changes, the place of its data, and keys that do not affect results.
fn check_changes(common: &ExperimentOptions) -> Result<(), CliError> {
    // The folder of a run keeps its name, and its plan extends no other file.
    let may_change = |key: &str| key == "train.epochs" || has_no_effect(key) && !["name", "extends"].contains(&key);
    match common.set.iter().find(|set| !(may_change(&set.key) || is_place(&set.key))) {
        None => Ok(()),
        Some(set) => {
            let keys = WITHOUT_EFFECT.into_iter().filter(|key| may_change(key));
            let keys: Vec<&str> = ["train.epochs"].into_iter().chain(keys).collect();
            Err(CliError::problem(
                format!("a resumed run cannot change `{}`", set.key),
                format!(
                    "only {} and the place of the data, `data.source`, can be set with --resume; start a new run for the rest",
                    keys.join(", ")
                ),
            ))
        }
    }
}
