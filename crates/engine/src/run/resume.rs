//! What a run is resumed with: its plan with changed keys, its latest checkpoint, and its manifest.

use std::path::Path;

use super::manifest::{self, ResumeError, check_same_split, check_trained_here};
use super::moved_data::{check_same_content, with_moved_data_help};
use super::session::latest_checkpoint;
use crate::experiment::check::{Environment, check};
use crate::experiment::load::{self, SetArgument};
use crate::experiment::plan::Plan;
use crate::training::checkpoint::State;
use nn::devices::DeviceName;
use run_folder::folder::RunFolder;
use run_folder::manifest::{EpochsChange, Manifest, Status};
use run_folder::plan_keys::{WITHOUT_EFFECT, is_place};

/// Returns the keys that a resumed run may change besides the place of its data; any other would make it another run.
pub fn changeable_keys() -> Vec<&'static str> {
    // The folder of a run keeps its name, and its plan extends no other file.
    let without_effect = WITHOUT_EFFECT.into_iter().filter(|key| !["name", "extends"].contains(key));
    ["train.epochs"].into_iter().chain(without_effect).collect()
}

/// A run that is ready to be trained further.
#[derive(Debug)]
pub struct ResumedRun {
    /// Its plan with the changed keys.
    pub plan: Plan,
    /// Its latest checkpoint; `None` if it has none, so that it starts with its first step.
    pub state: Option<State>,
    /// Its manifest, already updated in the folder.
    pub manifest: Manifest,
}

/// What a resumed run changes.
#[derive(Debug)]
pub struct Changes<'a> {
    /// Keys of the plan, of [`changeable_keys`], and places of its data.
    pub set: &'a [SetArgument],
    /// The folder of the cached volumes, which has a table of hashes.
    pub hashes: &'a Path,
    /// The device, if not that of the plan.
    pub device: Option<DeviceName>,
}

/// Prepares a run to be resumed; returns `None` if it is done.
///
/// # Errors
/// When a key cannot change, the plan is no longer valid, the subjects have changed, no checkpoint can be read, or a file
/// cannot be written.
pub fn resume(
    folder: &RunFolder,
    changes: &Changes,
    environment: &Environment,
    command: Vec<String>,
) -> Result<Option<ResumedRun>, ResumeError> {
    let may_change = |key: &str| changeable_keys().contains(&key) || is_place(key);
    if let Some(set) = changes.set.iter().find(|set| !may_change(&set.key)) {
        return Err(ResumeError::KeyCannotChange { key: set.key.clone() });
    }
    let mut before = Manifest::read(folder.root())?;
    check_trained_here(folder.root(), &before)?;
    let mut document = load::load(&folder.plan(), changes.set)?;
    let latest = latest_checkpoint(folder)?;
    // Once there is a checkpoint, the file of the initial weights may be missing.
    let train = &mut document.experiment.train;
    let initial_weights = train.initial_weights.take_if(|_| latest.state.is_some());
    // What it freezes was checked against these weights.
    let freeze = train.freeze.take_if(|_| latest.state.is_some());
    let mut plan =
        check(&document, environment, changes.device).map_err(|problems| with_moved_data_help(problems, &document))?;
    check_same_split(folder.root(), &plan)?;
    if changes.set.iter().any(|set| is_place(&set.key)) {
        let names = plan.parts.train.iter().chain(&plan.parts.val);
        check_same_content(&plan, &before.inputs, names, changes.hashes)?;
    }
    plan.experiment.train.initial_weights = initial_weights.or(plan.experiment.train.initial_weights);
    plan.experiment.train.freeze = freeze.or(plan.experiment.train.freeze);
    plan.warnings.extend(latest.warnings());
    let is_lengthened = changes.set.iter().any(|set| set.key == "train.epochs");
    let mut state = latest.state;
    let epochs = plan.experiment.train.epochs.get();
    let trained = state.as_ref().map_or(0, |state| state.progress.epoch - 1);
    if is_lengthened && trained > epochs {
        return Err(ResumeError::TooFewEpochs { epochs, trained });
    }
    let is_complete = trained >= epochs;
    if before.status == Status::Done && (is_complete || !is_lengthened) {
        return Ok(None);
    }
    if let Some(State { progress, .. }) = &mut state {
        // More epochs override early stopping.
        progress.ended_early &= !is_lengthened;
    }
    if is_lengthened && epochs_of_plan(folder)? != epochs {
        let after_step = state.as_ref().map_or(0, |state| state.progress.step);
        before.epochs_changed.push(EpochsChange { after_step, epochs });
    }
    let manifest = manifest::resume(folder, &mut plan, before, command)?;
    Ok(Some(ResumedRun { plan, state, manifest }))
}

/// Returns the number of epochs of the run before it is changed.
fn epochs_of_plan(folder: &RunFolder) -> Result<usize, ResumeError> {
    Ok(load::load(&folder.plan(), &[])?.experiment.train.epochs.get())
}
