//! Training in a run folder, as `run` and the workers of a sweep do it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::patches;
use super::plots::Plots;
use super::provenance::InputsRecorder;
use crate::terminal::bar::Bar;
use crate::terminal::{CliError, Exit, run_error};
use dataset::cache::{Cache, CacheError};
use dataset::patch::Patch;
use dataset::phantom;
use dataset::queue::QueueError;
use dataset::sources;
use engine::experiment::plan::Plan;
use engine::preprocessing::PreprocessError;
use engine::training::checkpoint::{self, LatestCheckpoint, State};
use engine::training::{Outcome, TrainError, TrainingContext, train, validate};
use nn::devices::DeviceName;
use run_folder::event::{Event, Listener};
use run_folder::folder::{RunError, RunFolder};
use run_folder::log::Log;
use run_folder::manifest::{Inputs, Manifest, Status};
use run_folder::memory;
use run_folder::records::{Position, Records};
use run_folder::table::Table;
use run_folder::tensorboard::TensorBoard;

/// Set by Ctrl-C: training stops after its step and leaves a checkpoint.
pub(super) static STOP: AtomicBool = AtomicBool::new(false);

/// Signals that come so close together are one request to stop.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// What is trained, and where.
pub(super) struct Training<'a> {
    /// The run folder, which this process holds.
    pub folder: &'a RunFolder,
    /// What is trained.
    pub plan: &'a Plan,
    /// Where phantoms lie.
    pub cache_dir: PathBuf,
    /// Where preprocessed volumes lie.
    pub cache: Cache,
    /// Whether nothing but results is printed.
    pub quiet: bool,
    /// Who else is told what happens.
    pub listeners: Vec<Box<dyn Listener + Send + 'a>>,
    /// Where a sweep writes why it ends the run early.
    pub verdict: Arc<OnceLock<String>>,
}

impl Training<'_> {
    /// Trains from a state or from the start, writes into the manifest how it ended, and prints the results.
    pub fn run(self, state: Option<State>, manifest: &mut Manifest) -> Result<Exit, CliError> {
        let (folder, plan, verdict) = (self.folder, self.plan, Arc::clone(&self.verdict));
        let inputs = Arc::default();
        let before = manifest.clone();
        let train = AssertUnwindSafe(|| self.train(state, before, &inputs));
        let ended = catch_unwind(train).unwrap_or_else(|panic| Err(CliError::bug(panic.as_ref())));
        if let Some(inputs) = inputs.get() {
            manifest.inputs = inputs.clone();
        }
        match &ended {
            Ok(Outcome::Done | Outcome::EarlyStopped) => manifest.end(Status::Done, None),
            Ok(Outcome::Stopped) if verdict.get().is_some() => {
                manifest.end(Status::Pruned, None);
                manifest.pruned = verdict.get().cloned();
            }
            Ok(Outcome::Stopped) => manifest.end(Status::Stopped, None),
            Err(error) => manifest.end(Status::Failed, Some(error.message())),
        }
        if let Ok(LatestCheckpoint { state: Some(state), .. }) = checkpoint::latest(folder) {
            let best = state.progress.best.first();
            manifest.best_epoch = best.map(|best| best.epoch);
            manifest.best_value = best.map(|best| best.value);
        }
        folder.release_reserve();
        if let Err(error) = &ended {
            // Where it cannot be written, the manifest and the terminal say so too.
            let _ = Log::open(folder).and_then(|mut log| log.line(&format!("failed: {}", error.message())));
        }
        match (manifest.write(folder), &ended) {
            (Err(error), Ok(_)) => return Err(run_error(error)),
            // Why it failed is the news; that nobody could write it down is not.
            (Err(error), Err(_)) => eprintln!("warning: {error}"),
            (Ok(()), _) => {}
        }
        let root = folder.root().display();
        Ok(match ended? {
            Outcome::Stopped => match verdict.get() {
                Some(reason) => {
                    outln!("pruned: {reason}; go on all the same with: runner run --resume {root}");
                    Exit::Done
                }
                None => {
                    outln!("stopped; go on with: runner run --resume {root}");
                    Exit::Stopped
                }
            },
            Outcome::EarlyStopped => {
                let patience = plan.experiment.checkpoint.patience_epochs.map_or(0, |epochs| epochs.get());
                outln!("ended early: no better {} in {patience} epochs", plan.experiment.checkpoint.monitor);
                summarise(folder, manifest);
                Exit::Done
            }
            Outcome::Done => {
                summarise(folder, manifest);
                Exit::Done
            }
        })
    }

    fn train(
        self,
        state: Option<State>,
        before: Manifest,
        inputs: &Arc<OnceLock<Inputs>>,
    ) -> Result<Outcome, CliError> {
        if self.plan.device == DeviceName::FLEX {
            memory::keep_freed();
        }
        let failure = |error: std::io::Error| CliError::failure(&error);
        let Self { folder, plan, cache_dir, cache, quiet, .. } = self;
        let columns = validate::columns(plan);
        let position = state.as_ref().map_or(Position::default(), |state| Position {
            epochs: state.progress.epoch - 1,
            steps: state.progress.step,
        });
        let spec = &plan.experiment.train;
        let mut bar = Bar::new(columns.clone(), spec.epochs.get(), plan.steps_per_epoch, quiet);
        for warning in &plan.warnings {
            bar.record(&Event::Warning(warning.clone())).map_err(failure)?;
        }
        make_phantoms(plan, &cache_dir, &mut bar)?;
        let mut log = Log::open(folder).map_err(failure)?;
        for warning in &plan.warnings {
            log.line(&format!("warning: {warning}")).map_err(failure)?;
        }
        let mut listeners: Vec<Box<dyn Listener + Send + '_>> = vec![
            Box::new(Records::open(folder, &columns, position).map_err(failure)?),
            Box::new(TensorBoard::open(folder, &columns).map_err(failure)?),
            Box::new(log),
            Box::new(Plots::new(folder, &plan.name)),
            Box::new(InputsRecorder::new(folder, before.clone(), Arc::clone(inputs))),
            Box::new(bar),
        ];
        listeners.extend(self.listeners);
        let mut context = TrainingContext { folder, cache: &cache, listeners, inputs: before.inputs, stop: &STOP };
        train(plan, state, &mut context).map_err(|error| {
            if let TrainError::NotFinite { step, patches, .. } = &error {
                return not_finite(folder, plan, &error, *step, patches);
            }
            training_error(&error)
        })
    }
}

/// The newest state of a run that can be read; those that cannot are put aside.
pub(super) fn newest(folder: &RunFolder) -> Result<LatestCheckpoint, CliError> {
    let find = || {
        let newest = checkpoint::latest(folder)?;
        newest.rename_damaged().map(|()| newest)
    };
    find().map_err(|error| CliError::failure(&error))
}

/// Keeps the patches of a step that left the finite numbers, and says where they lie.
fn not_finite(folder: &RunFolder, plan: &Plan, error: &TrainError, step: usize, batch: &[Patch]) -> CliError {
    let kept = folder.file(&format!("not_finite/step_{step}"));
    let told = match patches::keep(&kept, plan, batch) {
        Ok(()) => format!("they lie in {}", kept.display()),
        Err(error) => format!("they could not be kept: {}", error.message()),
    };
    let plan = folder.plan();
    let again = format!("`runner patches {} --step {step}` makes them again", plan.display());
    CliError::Failure(format!("{error}; {told}, and {again}"))
}

/// What the experiment, its label maps or an option has to change for is the user's to mend; the rest is the world's.
pub(super) fn training_error(error: &TrainError) -> CliError {
    match error {
        TrainError::Batch(error) => CliError::Problem { message: error.to_string(), help: None },
        TrainError::InputsChanged(_) => CliError::Problem { message: error.to_string(), help: None },
        TrainError::Queue(QueueError::Panic { .. }) => CliError::Bug(error.to_string()),
        TrainError::Preprocess(PreprocessError::Cache(error @ CacheError::Limit { .. }))
        | TrainError::Cache(error @ CacheError::Limit { .. }) => CliError::problem(
            error.to_string(),
            "raise --cache-limit or RUNNER_CACHE_LIMIT, or make the volumes smaller in `preprocess`",
        ),
        error => CliError::failure(error),
    }
}

/// The data may have changed since: the same subjects must stand in the same parts.
pub(super) fn refuse_other_split(root: &Path, plan: &Plan) -> Result<(), CliError> {
    let path = root.join("split.json");
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|source| run_error(RunError::Read { path: path.clone(), source }))?;
    if serde_json::from_str(&text).is_ok_and(|parts: dataset::split::Parts| parts == plan.parts) {
        return Ok(());
    }
    Err(CliError::problem(
        format!("the subjects have changed since the run began: they differ from {}", path.display()),
        "bring the data back as it was, or start a new run",
    ))
}

pub(super) fn make_phantoms(plan: &Plan, cache_dir: &Path, bar: &mut Bar) -> Result<(), CliError> {
    let source = &plan.experiment.data.source;
    if !matches!(source, sources::Source::Phantom(_)) {
        return Ok(());
    }
    let listing = sources::list(source, cache_dir).map_err(|error| CliError::failure(&error))?;
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
                outln!("{:<28}{score:.4}  (epoch {epoch})", name.trim_start_matches("val_").replace('_', " "));
            }
        }
    }
    if let (Some(epoch), Some(value)) = (manifest.best_epoch, manifest.best_value) {
        outln!("{:<28}{value:.4}  (epoch {epoch})", "best");
    }
    outln!("{}", folder.root().display());
}

/// Makes Ctrl-C, and the signals that ask a process to end, stop training after its step.
pub(super) fn stop_on_ctrl_c() -> Result<(), CliError> {
    let mut first: Option<Instant> = None;
    let handler = move || {
        STOP.store(true, Ordering::SeqCst);
        match first {
            None => {
                first = Some(Instant::now());
                eprintln!("\nstopping after this step; once more stops at once");
            }
            // Schedulers signal a job in several ways at once; that is one request.
            Some(first) if first.elapsed() < SAME_REQUEST => {}
            // The second time nobody wants to wait; files appear whole or not at all, so nothing is torn. What libraries
            // do at an exit is left out: it took LibTorch's data from under a step, which then crashed.
            Some(_) => signal_hook::low_level::exit(130),
        }
    };
    ctrlc::set_handler(handler).map_err(|error| CliError::failure(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_worker_is_a_bug_and_a_patch_that_cannot_be_made_a_failure_of_the_world() {
        let (subject, index) = ("liver_001".to_owned(), 3);
        let panic = QueueError::Panic { subject: subject.clone(), index, message: "overflow".to_owned() };
        let error = training_error(&TrainError::Queue(panic));
        assert_eq!(error.code(), 101);
        assert!(error.message().contains("patch 3 of subject liver_001 panicked: overflow"), "{error:?}");
        let error = training_error(&TrainError::Queue(QueueError::Make { subject, index, source: "torn".into() }));
        assert_eq!((error.code(), error.message().contains("torn")), (3, true));
    }

    #[test]
    fn a_panic_of_training_says_what_it_said() {
        let panic = catch_unwind(|| panic!("shape {} does not fit", 7)).unwrap_err();
        let error = CliError::bug(panic.as_ref());
        assert_eq!((error.code(), error.message().contains("shape 7 does not fit")), (101, true));
    }
}
