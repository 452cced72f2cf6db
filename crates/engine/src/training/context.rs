//! What the training loop needs besides the plan.

use std::sync::atomic::{AtomicBool, Ordering};

use super::TrainError;
use super::checkpoint::State;
use crate::experiment::plan::Plan;
use crate::fingerprint::Fingerprint;
use dataset::cache::Cache;
use run_folder::event::{Event, Listener};
use run_folder::folder::RunFolder;
use run_folder::manifest::Inputs;

/// What the training loop needs besides the plan.
pub struct TrainingContext<'a> {
    /// The run folder, for checkpoints.
    pub folder: &'a RunFolder,
    /// The cache of preprocessed volumes.
    pub cache: &'a Cache,
    /// The listeners that get every event.
    pub listeners: Vec<Box<dyn Listener + Send + 'a>>,
    /// The files that the run was started with; empty for a new run.
    pub inputs: Inputs,
    /// The stop flag: set to true, it stops training after the current step, with a checkpoint.
    pub stop: &'a AtomicBool,
}

impl TrainingContext<'_> {
    pub(super) fn emit(&mut self, event: &Event) -> Result<(), TrainError> {
        for listener in &mut self.listeners {
            listener.record(event)?;
        }
        Ok(())
    }

    /// Writes all records to disk, then the state that counts their rows.
    pub(super) fn commit(&mut self, state: &State, plan: &Plan, best: bool) -> Result<(), TrainError> {
        for listener in &mut self.listeners {
            listener.sync()?;
        }
        let path = state.commit(self.folder, plan.experiment.checkpoint.keep_last.get())?;
        self.emit(&Event::Checkpoint { path, best })
    }

    /// Writes the summary of the training scans, which stays as it is when the run is resumed.
    pub(super) fn write_fingerprint(&self, fingerprint: Option<&Fingerprint>) -> Result<(), TrainError> {
        match fingerprint {
            Some(fingerprint) if Fingerprint::read(self.folder.root()).is_none() => Ok(fingerprint.write(self.folder)?),
            _ => Ok(()),
        }
    }

    /// Checks that a resumed run reads the same files as before.
    pub(super) fn check_inputs(&self, inputs: &Inputs) -> Result<(), TrainError> {
        let changed = self.inputs.differences(inputs);
        if changed.is_empty() { Ok(()) } else { Err(TrainError::InputsChanged(changed)) }
    }

    pub(super) fn is_stop_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
