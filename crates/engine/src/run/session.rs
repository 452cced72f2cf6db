//! Training in a run folder.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use super::command_line::shell_command;
use super::error::{FailedRun, RunSessionError, error_chain};
use super::recorder::InputsRecorder;
use crate::experiment::plan::Plan;
use crate::preprocessing::make_phantoms;
use crate::training::checkpoint::{self, CheckpointError, LatestCheckpoint, State};
use crate::training::{Outcome, TrainError, TrainingContext, train, validate};
use dataset::cache::Cache;
use dataset::patch::Patch;
use dataset::queue::panic_message;
use run_folder::event::{Event, Listener};
use run_folder::folder::RunFolder;
use run_folder::log::Log;
use run_folder::manifest::{Inputs, Manifest, Status};
use run_folder::memory;
use run_folder::records::{Position, Records};
use run_folder::tensorboard::TensorBoard;

/// Saves the patches of a step in a folder; returns why it could not.
pub type SavePatches<'a> = &'a dyn Fn(&Path, &[Patch]) -> Result<(), String>;

/// A training run in its folder.
pub struct RunSession<'a> {
    /// The run folder, which this process has locked.
    pub folder: &'a RunFolder,
    /// What is trained.
    pub plan: &'a Plan,
    /// The cache folder, for phantoms.
    pub cache_dir: PathBuf,
    /// The cache of preprocessed volumes.
    pub cache: Cache,
    /// Listeners besides the records of the folder.
    pub listeners: Vec<Box<dyn Listener + Send + 'a>>,
    /// The stop flag: set to true, it stops training after the current step, with a checkpoint.
    pub stop: &'a AtomicBool,
    /// Why a sweep pruned the run; the sweep sets it together with the stop flag.
    pub pruned: Arc<OnceLock<String>>,
    /// Saves the patches of a step whose loss is not finite.
    pub save_patches: SavePatches<'a>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// All epochs are done.
    Done,
    /// Early stopping ended it.
    EarlyStopped,
    /// The stop flag was set.
    Stopped,
    /// A sweep pruned it, for this reason.
    Pruned(String),
}

impl RunSession<'_> {
    /// Trains from a state or from the start, and writes into the manifest how the run ended.
    ///
    /// # Errors
    /// When the run failed; the manifest and the log say why, unless they cannot be written.
    pub fn run(self, state: Option<State>, manifest: &mut Manifest) -> Result<RunOutcome, FailedRun> {
        let (folder, pruned) = (self.folder, Arc::clone(&self.pruned));
        let inputs = Arc::default();
        let before = manifest.clone();
        let train = AssertUnwindSafe(|| self.train(state, before, &inputs));
        let ended = catch_unwind(train)
            .unwrap_or_else(|panic| Err(RunSessionError::Panic(panic_message(panic.as_ref()).to_owned())));
        if let Some(inputs) = inputs.get() {
            manifest.inputs = inputs.clone();
        }
        let ended = ended.map(|outcome| match outcome {
            Outcome::Done => RunOutcome::Done,
            Outcome::EarlyStopped => RunOutcome::EarlyStopped,
            Outcome::Stopped => pruned.get().cloned().map_or(RunOutcome::Stopped, RunOutcome::Pruned),
        });
        record_end(folder, manifest, &ended);
        match (manifest.write(folder), ended) {
            (Ok(()), ended) => Ok(ended?),
            (Err(error), Ok(_)) => Err(RunSessionError::Manifest(error).into()),
            (Err(manifest_error), Err(error)) => {
                Err(FailedRun { error: Box::new(error), manifest_error: Some(manifest_error) })
            }
        }
    }

    fn train(
        self,
        state: Option<State>,
        before: Manifest,
        inputs: &Arc<OnceLock<Inputs>>,
    ) -> Result<Outcome, RunSessionError> {
        if self.plan.device.retains_freed_memory() {
            memory::keep_freed();
        }
        let Self { folder, plan, cache, stop, save_patches, .. } = self;
        let mut listeners = self.listeners;
        let mut log = Log::open(folder)?;
        plan.initial_weights.iter().try_for_each(|note| log.line(&format!("initial weights: {note}")))?;
        listeners.push(Box::new(log));
        for warning in &plan.warnings {
            emit(&mut listeners, &Event::Warning(warning.clone()))?;
        }
        prepare_phantoms(plan, &self.cache_dir, &mut listeners)?;
        let columns = validate::columns(plan);
        let position = state.as_ref().map_or(Position::default(), |state| Position {
            epochs: state.progress.epoch - 1,
            steps: state.progress.step,
            steps_of_epochs: state.progress.step - state.progress.steps_in_epoch,
        });
        // The records are listeners too, and the first ones: other listeners read the files.
        let mut all: Vec<Box<dyn Listener + Send + '_>> = vec![
            Box::new(Records::open(folder, &columns, position)?),
            Box::new(TensorBoard::open(folder, &columns, position)?),
            Box::new(InputsRecorder::new(folder, before.clone(), Arc::clone(inputs))),
        ];
        all.extend(listeners);
        let mut context = TrainingContext { folder, cache: &cache, listeners: all, inputs: before.inputs, stop };
        train(plan, state, &mut context).map_err(|error| {
            let TrainError::NotFinite { step, patches, .. } = &error else { return error.into() };
            let step = *step;
            let path = folder.file(&format!("not_finite/step_{step}"));
            let saved = match save_patches(&path, patches) {
                Ok(()) => format!("they are in {}", path.display()),
                Err(reason) => format!("they could not be saved: {reason}"),
            };
            let (plan, step) = (folder.plan().display().to_string(), step.to_string());
            let command = shell_command(["runner", "patches", &plan, "--step", &step]);
            RunSessionError::NotFinite { error, saved, command }
        })
    }
}

/// Reads the latest checkpoint of a run that can be read, and renames later ones that cannot.
///
/// # Errors
/// When no checkpoint can be read although there are some, or a file cannot be renamed.
pub fn latest_checkpoint(folder: &RunFolder) -> Result<LatestCheckpoint, CheckpointError> {
    let latest = checkpoint::latest(folder)?;
    latest.rename_damaged()?;
    Ok(latest)
}

fn emit(listeners: &mut [Box<dyn Listener + Send + '_>], event: &Event) -> std::io::Result<()> {
    listeners.iter_mut().try_for_each(|listener| listener.record(event))
}

fn prepare_phantoms(
    plan: &Plan,
    cache_dir: &Path,
    listeners: &mut [Box<dyn Listener + Send + '_>],
) -> Result<(), RunSessionError> {
    let mut emitted = Ok(());
    let mut report = |done, total| {
        if emitted.is_ok() {
            emitted = emit(listeners, &Event::Preparing { task: "phantoms", done, total });
        }
    };
    make_phantoms(&plan.experiment.data.source, cache_dir, &mut report).map_err(RunSessionError::Phantoms)?;
    Ok(emitted?)
}

/// Records in the manifest how a run ended; writes an error to the log as well.
fn record_end(folder: &RunFolder, manifest: &mut Manifest, ended: &Result<RunOutcome, RunSessionError>) {
    match ended {
        Ok(RunOutcome::Done | RunOutcome::EarlyStopped) => manifest.end(Status::Done, None),
        Ok(RunOutcome::Stopped) => manifest.end(Status::Stopped, None),
        Ok(RunOutcome::Pruned(reason)) => {
            manifest.end(Status::Pruned, None);
            manifest.pruned = Some(reason.clone());
        }
        Err(error) => manifest.end(Status::Failed, Some(error_chain(error))),
    }
    if let Ok(LatestCheckpoint { state: Some(state), .. }) = checkpoint::latest(folder) {
        let best = state.progress.best.first();
        manifest.best_epoch = best.map(|best| best.epoch);
        manifest.best_value = best.map(|best| best.value);
    }
    folder.release_reserve();
    if let Err(error) = ended {
        // If the log cannot be written, the manifest and the terminal still have the error.
        let _ = Log::open(folder).and_then(|mut log| log.line(&format!("failed: {}", error_chain(error))));
    }
}
