//! `runner sweep worker`: trains one run of a sweep. Launchers start this, not users.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;

use crate::commands::training::{Training, command, latest_checkpoint, resume_error};
use crate::commands::{CacheOptions, Execute};
use crate::terminal::signals::{stop_flag, stop_on_signals};
use crate::terminal::{CliError, Exit, run_error};
use engine::experiment::load;
use engine::experiment::plan::Plan;
use engine::run::{GitState, manifest};
use engine::training::checkpoint::State;
use nn::devices::DeviceName;
use run_folder::event::{Event, Listener};
use run_folder::folder::{RunError, RunFolder};
use run_folder::manifest::{Manifest, Status};
use sweep::claim::{Claim, ProgressReporter, STALE};
use sweep::folder::{Definition, SweepFolder};
use sweep::points::PointRecord;
use sweep::prune::Pruner;

/// Arguments of `runner sweep worker`.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// Folder of the sweep's runs.
    folder: PathBuf,
    /// Id of the sweep's definition.
    #[arg(long)]
    sweep: String,
    /// Id of the run.
    #[arg(long, required_unless_present = "index")]
    id: Option<String>,
    /// Index of the run in the sweep, counted from 0.
    #[arg(long, env = "JOB_COMPLETION_INDEX")]
    index: Option<usize>,
    /// Restart the run if it has failed.
    #[arg(long)]
    retry_failed: bool,
    /// Wait for a run that another process has claimed, until that process is known to be alive.
    #[arg(long)]
    wait: bool,
    /// Stop after a checkpoint when stdin is closed, because the sweep that started this worker has ended.
    #[arg(long)]
    supervised: bool,
    /// Device that runs the network.
    #[arg(long)]
    device: Option<DeviceName>,
    #[command(flatten)]
    cache: CacheOptions,
}

impl Execute for WorkerArgs {
    /// Trains the run, unless it is done or claimed by another process.
    fn execute(&self) -> Result<Exit, CliError> {
        stop_on_signals()?;
        if self.supervised {
            std::thread::spawn(stop_when_stdin_ends);
        }
        let folder = SweepFolder::open(&self.folder).map_err(run_error)?;
        let definition = folder.definition(&self.sweep).map_err(run_error)?;
        let id = match (&self.id, self.index) {
            (Some(id), _) => id.clone(),
            (None, index) => definition.ids.get(index.unwrap_or(usize::MAX)).cloned().ok_or_else(|| {
                CliError::problem("the sweep has no run of this index", format!("it has {} runs", definition.ids.len()))
            })?,
        };
        let point = folder.point(&id).map_err(run_error)?;
        let Some(claim) = claim(&folder, &id, self.wait)? else {
            outln!("{id} is claimed by another process");
            return Ok(Exit::Held);
        };
        let root = folder.run(&id);
        if let Some(exit) = outcome(&root, &definition, self.retry_failed) {
            return Ok(exit);
        }
        let run = match open(&root) {
            Err(RunError::Locked { .. }) => return Ok(Exit::Held),
            opened => opened.map_err(run_error)?,
        };
        train(self, &folder, &definition, &point, &run, &claim)
    }
}

/// Reads stdin to its end, which comes when the sweep closes it or dies.
fn stop_when_stdin_ends() {
    let mut bytes = [0; 64];
    while !matches!(io::stdin().read(&mut bytes), Ok(0) | Err(_)) {}
    stop_flag().store(true, Ordering::SeqCst);
}

/// Exits immediately: another process has taken over the run, and a last checkpoint would disturb it.
fn leave() {
    eprintln!("another process has taken over the run");
    // Without the exit handlers of libraries, which may free memory that a step still uses.
    signal_hook::low_level::exit(i32::from(Exit::Held.code()));
}

fn claim(folder: &SweepFolder, id: &str, wait: bool) -> Result<Option<Claim>, CliError> {
    let start = Instant::now();
    loop {
        match Claim::take(&folder.claims(), id, leave).map_err(|error| CliError::failure(&error))? {
            Some(claim) => return Ok(Some(claim)),
            // A machine counts as dead only after it has sent no heartbeat for a while.
            None if wait && start.elapsed() < STALE + STALE / 2 && !stop_flag().load(Ordering::SeqCst) => {
                std::thread::sleep(Duration::from_millis(500));
            }
            None => return Ok(None),
        }
    }
}

/// Returns the outcome of a run that needs no further training.
fn outcome(root: &Path, definition: &Definition, retry_failed: bool) -> Option<Exit> {
    match Manifest::read(root).ok()?.status {
        Status::Done => Some(Exit::Done),
        Status::Pruned if definition.prune.is_some() => Some(Exit::Done),
        Status::Failed if !retry_failed => Some(Exit::No),
        Status::Failed | Status::Pruned | Status::Running | Status::Stopped => None,
    }
}

/// Locks the run folder, which may be in use by `runner run --resume`.
fn open(root: &Path) -> Result<RunFolder, RunError> {
    std::fs::create_dir_all(root).map_err(|source| RunError::Write { path: root.to_owned(), source })?;
    RunFolder::lock(root.to_owned())
}

fn train(
    arguments: &WorkerArgs,
    folder: &SweepFolder,
    definition: &Definition,
    point: &PointRecord,
    run: &RunFolder,
    claim: &Claim,
) -> Result<Exit, CliError> {
    let before = Manifest::read(run.root()).ok();
    let plan = plan(arguments, point);
    let (mut plan, mut manifest) = match (plan, before) {
        (Ok(mut plan), Some(before)) => {
            plan.use_previous_copies(run.root());
            let manifest = manifest::resume(run, &mut plan, before, command()).map_err(resume_error)?;
            (plan, manifest)
        }
        (Ok(mut plan), None) => {
            let manifest =
                manifest::create(run, &mut plan, &point.experiment, GitState::around(Path::new("here")), command())
                    .map_err(run_error)?;
            run.link_as_latest();
            (plan, manifest)
        }
        (Err(error), before) => {
            let device = arguments.device.unwrap_or_default().to_string();
            let new = || Manifest::begin(device, 0, command(), None, manifest::build());
            let mut manifest = before.unwrap_or_else(new);
            manifest.end(Status::Failed, Some(error.message()));
            manifest.write(run).map_err(run_error)?;
            return Err(error);
        }
    };
    let latest = latest_checkpoint(run)?;
    plan.warnings.extend(latest.warnings());
    let state = latest.state;
    let mut listeners: Vec<Box<dyn Listener + Send>> =
        vec![Box::new(ReportProgress::new(&plan, claim, state.as_ref()))];
    let mut verdict = Arc::default();
    if let Some(prune) = &definition.prune {
        let epochs = plan.experiment.train.epochs.get();
        let id = point.id.clone();
        let pruner = Pruner::new(prune.clone(), folder.clone(), definition.ids.clone(), id, epochs, stop_flag());
        let completed = state.as_ref().map_or(0, |state| state.progress.epoch - 1);
        pruner.catch_up(completed).map_err(|error| CliError::failure(&error))?;
        verdict = pruner.verdict();
        listeners.push(Box::new(pruner));
    }
    let (cache_dir, cache) = (arguments.cache.path(), arguments.cache.open());
    Training { folder: run, plan: &plan, cache_dir, cache, quiet: false, listeners, pruned: verdict }
        .run(state, &mut manifest)
}

/// Returns the plan that was checked when the sweep started, on this machine.
fn plan(arguments: &WorkerArgs, point: &PointRecord) -> Result<Plan, CliError> {
    let document = load::parse("plan.yaml", &point.plan)?;
    let plan = arguments.cache.plan(&document, arguments.device)?;
    if plan.parts != point.parts {
        return Err(CliError::problem(
            "the subjects have changed since the sweep was checked",
            "restore the data, or start the sweep again to train new runs with the changed data",
        ));
    }
    Ok(plan)
}

/// Reports the progress of the run with each heartbeat.
struct ReportProgress {
    reporter: ProgressReporter,
}

impl ReportProgress {
    fn new(plan: &Plan, claim: &Claim, state: Option<&State>) -> Self {
        let reporter = claim.reporter();
        let done = state.map(|state| (state.progress.epoch, state.progress.step));
        reporter.update(|progress| {
            (progress.epochs, progress.steps) = (plan.experiment.train.epochs.get(), plan.num_steps());
            (progress.epoch, progress.step) = done.unwrap_or_default();
        });
        Self { reporter }
    }
}

impl Listener for ReportProgress {
    fn record(&mut self, event: &Event) -> io::Result<()> {
        self.reporter.update(|progress| match event {
            Event::Preparing { task, done, total } => progress.task = Some(format!("{task} {done}/{total}")),
            Event::Validating { done, total } => progress.task = Some(format!("validating {done}/{total}")),
            Event::Step(step) => {
                (progress.task, progress.epoch, progress.step) = (None, step.epoch, step.step);
                progress.loss = Some(step.train_loss);
            }
            Event::Epoch(epoch) => {
                (progress.task, progress.epoch_seconds) = (None, Some(epoch.timing.seconds));
            }
            Event::Inputs(_) | Event::Case(_) | Event::Checkpoint { .. } | Event::Warning(_) | Event::Finished => {}
        });
        Ok(())
    }
}
