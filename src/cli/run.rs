//! `runner run`: trains what an experiment file declares, or goes on with a run.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;

use super::bar::Bar;
use super::plots::Plots;
use super::{CliError, Common, Exit};
use crate::data::cache::Cache;
use crate::data::{dataset, phantom};
use crate::report::table::Table;
use crate::run::event::{Event, Listener};
use crate::run::folder::{RunError, RunFolder, write_atomically};
use crate::run::log::Log;
use crate::run::manifest::{Manifest, Status};
use crate::run::records::{Position, Records};
use crate::run::tensorboard::TensorBoard;
use crate::spec::load::{self, Set};
use crate::spec::plan::Plan;
use crate::train::checkpoint::State;
use crate::train::{self, Outcome, Session, TrainError, validate};

/// Set by Ctrl-C: training stops after its step and leaves a checkpoint.
static STOP: AtomicBool = AtomicBool::new(false);

/// Arguments of `runner run`.
#[derive(Debug, Args)]
pub struct Arguments {
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
    common: Common,
}

/// Trains, and prints where the results are.
pub fn execute(arguments: Arguments) -> Result<Exit, CliError> {
    stop_on_ctrl_c()?;
    match &arguments.resume {
        Some(root) => resume(root, &arguments.common),
        None => start(&arguments),
    }
}

fn start(arguments: &Arguments) -> Result<Exit, CliError> {
    let common = &arguments.common;
    let path = arguments.experiment.as_deref().expect("clap asks for an experiment");
    // A name on the command line is the key `name`, and keeps its rules.
    let name = arguments.name.as_deref().map(|name| Set { key: "name".to_owned(), value: quoted(name) });
    let sets: Vec<Set> = common.set.iter().cloned().chain(name).collect();
    let document = load::load(path, &sets)?;
    let plan = common.plan(&document)?;
    let id = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    let folder = RunFolder::create(&common.runs_dir, &plan.name, &id).map_err(run_error)?;
    let mut manifest = begin(&plan, &folder, path)?;
    let write = || {
        manifest.write(&folder)?;
        write_atomically(&folder.experiment(), document.text.as_bytes())?;
        write_atomically(&folder.plan(), plan.to_yaml().as_bytes())?;
        folder.write_split(&plan.parts)
    };
    write().map_err(run_error)?;
    train_in(&folder, &plan, None, &mut manifest, common)
}

/// Text as a YAML value.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn resume(root: &Path, common: &Common) -> Result<Exit, CliError> {
    let mut manifest = Manifest::read(root).map_err(run_error)?;
    let folder = RunFolder::open(root).map_err(run_error)?;
    refuse_other_changes(common)?;
    let document = load::load(&folder.plan(), &common.set)?;
    let plan = common.plan(&document)?;
    refuse_other_split(&folder, &plan)?;
    let state = State::load(&folder).map_err(|error| CliError::failure(&error))?;
    let lengthened = common.set.iter().any(|set| set.key == "train.epochs");
    let complete = state.as_ref().is_some_and(|state| state.progress.epoch > plan.experiment.train.epochs.get());
    if manifest.status == Status::Done && (complete || !lengthened) {
        say!("{} is done; --set train.epochs=N with a larger N goes on", root.display());
        return Ok(Exit::Done);
    }
    let begun = Manifest::begin(plan.device.to_string(), plan.experiment.seed, command(), None);
    manifest = Manifest { start: manifest.start, git_commit: manifest.git_commit, ..begun };
    let write = || {
        manifest.write(&folder)?;
        write_atomically(&folder.plan(), plan.to_yaml().as_bytes())
    };
    write().map_err(run_error)?;
    train_in(&folder, &plan, state, &mut manifest, common)
}

/// A run that goes on stays the same run: only its length and its pace may change.
fn refuse_other_changes(common: &Common) -> Result<(), CliError> {
    const MAY_CHANGE: [&str; 2] = ["train.epochs", "queue.workers"];
    match common.set.iter().find(|set| !MAY_CHANGE.contains(&set.key.as_str())) {
        None => Ok(()),
        Some(set) => Err(CliError::problem(
            format!("a run that goes on cannot change `{}`", set.key),
            "only train.epochs and queue.workers can be set with --resume; start a new run for the rest",
        )),
    }
}

/// The data may have changed since: the same subjects must stand in the same parts.
fn refuse_other_split(folder: &RunFolder, plan: &Plan) -> Result<(), CliError> {
    let path = folder.file("split.json");
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|source| run_error(RunError::Read { path: path.clone(), source }))?;
    if serde_json::from_str(&text).is_ok_and(|parts: crate::data::split::Parts| parts == plan.parts) {
        return Ok(());
    }
    Err(CliError::problem(
        format!("the subjects have changed since the run began: they differ from {}", path.display()),
        "bring the data back as it was, or start a new run",
    ))
}

fn begin(plan: &Plan, folder: &RunFolder, experiment: &Path) -> Result<Manifest, CliError> {
    let commit = experiment.parent().and_then(git_commit);
    let mut manifest = Manifest::begin(plan.device.to_string(), plan.experiment.seed, command(), commit);
    manifest.data_fingerprint = Some(plan.fingerprint());
    manifest.write(folder).map_err(run_error)?;
    Ok(manifest)
}

/// The commit of the folder that holds the experiment, where git can tell.
fn git_commit(folder: &Path) -> Option<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let output = std::process::Command::new("git").arg("-C").arg(folder).args(["rev-parse", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}

fn command() -> Vec<String> {
    std::env::args().collect()
}

/// Trains in a folder that is held, and writes into the manifest how it ended.
fn train_in(
    folder: &RunFolder,
    plan: &Plan,
    state: Option<State>,
    manifest: &mut Manifest,
    common: &Common,
) -> Result<Exit, CliError> {
    let ended = train_with_listeners(folder, plan, state, common);
    let (status, error) = match &ended {
        Ok(Outcome::Done | Outcome::Early) => (Status::Done, None),
        Ok(Outcome::Stopped) => (Status::Stopped, None),
        Err(CliError::Failure(message) | CliError::Problem { message, .. }) => (Status::Failed, Some(message.clone())),
        Err(CliError::Problems(problems)) => (Status::Failed, Some(problems.to_string())),
    };
    manifest.end(status, error);
    if let Ok(Some(State { progress, .. })) = State::load(folder) {
        manifest.best_epoch = progress.best.first().map(|best| best.epoch);
        manifest.best_value = progress.best.first().map(|best| best.value);
    }
    manifest.write(folder).map_err(run_error)?;
    let root = folder.root().display();
    Ok(match ended? {
        Outcome::Stopped => {
            say!("stopped; go on with: runner run --resume {root}");
            Exit::Stopped
        }
        Outcome::Early => {
            let patience = plan.experiment.checkpoint.patience_epochs.map_or(0, |epochs| epochs.get());
            say!("ended early: no better {} in {patience} epochs", plan.experiment.checkpoint.monitor);
            summarise(folder, manifest);
            Exit::Done
        }
        Outcome::Done => {
            summarise(folder, manifest);
            Exit::Done
        }
    })
}

fn train_with_listeners(
    folder: &RunFolder,
    plan: &Plan,
    state: Option<State>,
    common: &Common,
) -> Result<Outcome, CliError> {
    let failure = |error: std::io::Error| CliError::failure(&error);
    let columns = validate::columns(plan);
    let position = state
        .as_ref()
        .map_or(Position::default(), |state| Position { epochs: state.progress.epoch - 1, steps: state.progress.step });
    let train = &plan.experiment.train;
    let mut bar = Bar::new(columns.clone(), train.epochs.get(), plan.steps_per_epoch, common.quiet);
    for warning in &plan.warnings {
        bar.record(&Event::Warning(warning.clone())).map_err(failure)?;
    }
    let cache_dir = common.cache.path();
    make_phantoms(plan, &cache_dir, &mut bar)?;
    let listeners: Vec<Box<dyn Listener + Send>> = vec![
        Box::new(Records::open(folder, &columns, position).map_err(failure)?),
        Box::new(TensorBoard::open(folder, &columns).map_err(failure)?),
        Box::new(Log::open(folder).map_err(failure)?),
        Box::new(Plots::new(folder, &plan.name)),
        Box::new(bar),
    ];
    let cache = Cache::new(&cache_dir);
    let mut session = Session { folder, cache: &cache, listeners, stop: &STOP };
    train::run(plan, state, &mut session).map_err(|error| match error {
        // The label map or the experiment has to change: nothing of the world failed.
        TrainError::Input(error) => CliError::Problem { message: error.to_string(), help: None },
        error => CliError::failure(&error),
    })
}

fn make_phantoms(plan: &Plan, cache_dir: &Path, bar: &mut Bar) -> Result<(), CliError> {
    let source = &plan.experiment.data.source;
    if !matches!(source, dataset::Source::Phantom(_)) {
        return Ok(());
    }
    let listing = dataset::list(source, cache_dir).map_err(|error| CliError::failure(&error))?;
    if let Some((source, folder)) = listing.phantom {
        let mut tell = |done, total| {
            // The bar draws on a terminal, which cannot fail a run.
            let _ = bar.record(&Event::Preparing { task: "phantoms", done, total });
        };
        phantom::ensure(&source, &folder, &mut tell).map_err(|error| CliError::failure(&error))?;
    }
    Ok(())
}

/// Prints the scores of the last validation and where everything lies.
fn summarise(folder: &RunFolder, manifest: &Manifest) {
    if let Ok(table) = Table::read(&folder.file("metrics.csv")) {
        let scores = table.names.iter().filter(|name| name.starts_with("val_") && *name != "val_loss");
        for name in scores {
            if let Some((epoch, score)) = table.points("epoch", name).last() {
                say!("{:<28}{score:.4}  (epoch {epoch})", name.trim_start_matches("val_").replace('_', " "));
            }
        }
    }
    if let (Some(epoch), Some(value)) = (manifest.best_epoch, manifest.best_value) {
        say!("{:<28}{value:.4}  (epoch {epoch})", "best");
    }
    say!("{}", folder.root().display());
}

fn stop_on_ctrl_c() -> Result<(), CliError> {
    let handler = || {
        if STOP.swap(true, Ordering::SeqCst) {
            // The second time nobody wants to wait; files appear whole or not at all, so nothing is torn.
            std::process::exit(130);
        }
        eprintln!("\nstopping after this step; once more stops at once");
    };
    ctrlc::set_handler(handler).map_err(|error| CliError::failure(&error))
}

/// A folder that is in use or not a run is the user's to mend; the rest is the world's.
fn run_error(error: RunError) -> CliError {
    match error {
        RunError::Locked { .. } | RunError::Invalid { .. } => {
            CliError::Problem { message: error.to_string(), help: None }
        }
        RunError::Read { ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            CliError::problem(error.to_string(), "name the folder of a run, such as runs/quickstart/20260101-120000")
        }
        RunError::Read { .. } | RunError::Write { .. } => CliError::failure(&error),
    }
}
