//! `runner run`: trains what an experiment file declares, or goes on with a run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::provenance::{GitState, begin, resume_manifest};
use super::training::{Training, newest, stop_on_ctrl_c};
use super::{Execute, ExperimentOptions};
use crate::terminal::{CliError, Exit, run_error};
use engine::experiment::load::{self, SetArgument};
use engine::experiment::plan::Plan;
use engine::training::checkpoint::State;
use run_folder::folder::RunFolder;
use run_folder::manifest::{Manifest, Status};

/// RunArgs of `runner run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The experiment file.
    #[arg(required_unless_present = "resume")]
    experiment: Option<PathBuf>,
    /// The folder of this run below the runs folder, instead of the experiment's name.
    #[arg(long)]
    name: Option<String>,
    /// Go on with a run from its newest checkpoint.
    #[arg(long, value_name = "RUN_DIR", conflicts_with_all = ["experiment", "name"])]
    resume: Option<PathBuf>,
    #[command(flatten)]
    common: ExperimentOptions,
}

impl Execute for RunArgs {
    /// Trains, and prints where the results are.
    fn execute(&self) -> Result<Exit, CliError> {
        stop_on_ctrl_c()?;
        match &self.resume {
            Some(root) => resume(root, &self.common),
            None => start(&self),
        }
    }
}

fn start(arguments: &RunArgs) -> Result<Exit, CliError> {
    let common = &arguments.common;
    let path = arguments.experiment.as_deref().expect("clap asks for an experiment");
    // A name on the command line is the key `name`, and keeps its rules.
    let name = arguments.name.as_deref().map(|name| SetArgument { key: "name".to_owned(), value: quoted(name) });
    let sets: Vec<SetArgument> = common.set.iter().cloned().chain(name).collect();
    let document = load::load(path, &sets)?;
    let plan = common.plan(&document)?;
    let id = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    let folder = RunFolder::create(&common.runs_dir, &plan.name, &id).map_err(run_error)?;
    let mut manifest = begin(&folder, &plan, &document.text, GitState::around(path))?;
    training(&folder, &plan, common).run(None, &mut manifest)
}

/// Text as a YAML value.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn training<'a>(folder: &'a RunFolder, plan: &'a Plan, common: &ExperimentOptions) -> Training<'a> {
    Training {
        folder,
        plan,
        cache_dir: common.cache.path(),
        cache: common.cache.open(),
        quiet: common.quiet,
        listeners: Vec::new(),
        verdict: Arc::default(),
    }
}

fn resume(root: &Path, common: &ExperimentOptions) -> Result<Exit, CliError> {
    let before = Manifest::read(root).map_err(run_error)?;
    let folder = RunFolder::open(root).map_err(run_error)?;
    refuse_other_changes(common)?;
    let mut document = load::load(&folder.plan(), &common.set)?;
    let newest = newest(&folder)?;
    // What training began with need not be there any more once there is a checkpoint.
    let begun_with = document.experiment.train.initial_weights.take_if(|_| newest.state.is_some());
    let mut plan = common.plan(&document)?;
    plan.experiment.train.initial_weights = begun_with.or(plan.experiment.train.initial_weights);
    let lengthened = common.set.iter().any(|set| set.key == "train.epochs");
    plan.warnings.extend(newest.warnings());
    let mut state = newest.state;
    let complete = state.as_ref().is_some_and(|state| state.progress.epoch > plan.experiment.train.epochs.get());
    if before.status == Status::Done && (complete || !lengthened) {
        outln!("{} is done; --set train.epochs=N with a larger N goes on", root.display());
        return Ok(Exit::Done);
    }
    if let Some(State { progress, .. }) = &mut state {
        // Who lengthens a run wants it to go on although it has ended.
        progress.ended_early &= !lengthened;
    }
    let mut manifest = resume_manifest(&folder, &mut plan, before)?;
    training(&folder, &plan, common).run(state, &mut manifest)
}

/// A run that goes on stays the same run: only its length and its pace may change.
fn refuse_other_changes(common: &ExperimentOptions) -> Result<(), CliError> {
    const MAY_CHANGE: [&str; 4] = ["train.epochs", "queue.workers", "checkpoint.every_steps", "checkpoint.every_secs"];
    match common.set.iter().find(|set| !MAY_CHANGE.contains(&set.key.as_str())) {
        None => Ok(()),
        Some(set) => Err(CliError::problem(
            format!("a run that goes on cannot change `{}`", set.key),
            format!("only {} can be set with --resume; start a new run for the rest", MAY_CHANGE.join(", ")),
        )),
    }
}
