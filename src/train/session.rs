//! What training works with beside the plan.

use std::sync::atomic::{AtomicBool, Ordering};

use super::TrainError;
use super::checkpoint::State;
use crate::data::cache::Cache;
use crate::run::event::{Event, Listener};
use crate::run::folder::RunFolder;
use crate::spec::plan::Plan;

/// What training works with beside the plan.
pub struct Session<'a> {
    /// Where checkpoints go.
    pub folder: &'a RunFolder,
    /// Where preprocessed volumes lie.
    pub cache: &'a Cache,
    /// Who is told what happens.
    pub listeners: Vec<Box<dyn Listener + Send + 'a>>,
    /// Set to true to stop after the current step, with a checkpoint.
    pub stop: &'a AtomicBool,
}

impl Session<'_> {
    pub(super) fn tell(&mut self, event: &Event) -> Result<(), TrainError> {
        for listener in &mut self.listeners {
            listener.record(event)?;
        }
        Ok(())
    }

    /// Brings every record onto the disk, then the state that says they are there.
    pub(super) fn commit(&mut self, state: &State, plan: &Plan, best: bool) -> Result<(), TrainError> {
        for listener in &mut self.listeners {
            listener.sync()?;
        }
        let path = state.commit(self.folder, plan.experiment.checkpoint.keep_last.get())?;
        self.tell(&Event::Checkpoint { path, best })
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
