//! `runner run`: trains the network of an experiment file, or resumes a run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::training::{Training, command, resume_error};
use super::{Execute, ExperimentOptions};
use crate::output_paths::check_folder;
use crate::terminal::signals::stop_on_signals;
use crate::terminal::{CliError, Exit, run_error};
use engine::experiment::load::{Base, Change};
use engine::experiment::plan::Plan;
use engine::run::resume::{self, Changes, ResumedRun};
use engine::run::{GitState, manifest};
use run_folder::folder::{RunFolder, linked_folder};

/// Train the network that an experiment file describes.
///
/// All results are written to a new run folder, RUNS_DIR/NAME/TIMESTAMP, and RUNS_DIR/NAME/latest links to it. Ctrl-C
/// stops training after a checkpoint; `--resume` continues from it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner run experiments/quickstart.yaml
  runner run experiments/quickstart.yaml --set train.epochs=5 --set seed=7
  runner run --resume runs/quickstart/latest")]
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
    check_folder(&common.runs_dir)?;
    let path = arguments.experiment.as_deref().expect("clap requires an experiment");
    // The name is checked like the key `name` of an experiment.
    let name = arguments.name.as_deref().map(|name| Change::from_option("--name", "name", name));
    let base = Base::read(path, None, &common.set)?;
    let document = base.document(&name.into_iter().collect::<Vec<_>>())?;
    let mut plan = common.plan(&document)?;
    let id = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    let folder = RunFolder::create(&common.runs_dir, &plan.name, &id).map_err(run_error)?;
    let mut manifest =
        manifest::create(&folder, &mut plan, &document.text, GitState::around(path), command()).map_err(run_error)?;
    folder.link_as_latest();
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
    let root = linked_folder(root);
    let folder = RunFolder::open(&root).map_err(run_error)?;
    let changes = Changes { set: &common.set, device: common.device, hashes: &common.cache.open().root };
    let resumed = resume::resume(&folder, &changes, &common.cache.environment(), command()).map_err(resume_error)?;
    let Some(ResumedRun { plan, state, mut manifest }) = resumed else {
        outln!("{} is done; to train longer, add --set train.epochs=N with a larger N", root.display());
        return Ok(Exit::Done);
    };
    training(&folder, &plan, common).run(state, &mut manifest)
}
