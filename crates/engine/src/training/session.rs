//! What training works with beside the plan.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::TrainError;
use super::checkpoint::State;
use crate::experiment::experiment::Checkpoint;
use crate::experiment::plan::Plan;
use dataset::cache::Cache;
use run_folder::event::{Event, Listener};
use run_folder::folder::RunFolder;
use run_folder::manifest::Inputs;

/// What training works with beside the plan.
pub struct Session<'a> {
    /// Where checkpoints go.
    pub folder: &'a RunFolder,
    /// Where preprocessed volumes lie.
    pub cache: &'a Cache,
    /// Who is told what happens.
    pub listeners: Vec<Box<dyn Listener + Send + 'a>>,
    /// The files that the run began with, where it goes on.
    pub inputs: Inputs,
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

    /// A run that goes on must see what it saw before.
    pub(super) fn refuse_other_inputs(&self, inputs: &Inputs) -> Result<(), TrainError> {
        let changed = self.inputs.differences(inputs);
        if changed.is_empty() { Ok(()) } else { Err(TrainError::InputsChanged(changed)) }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// When a checkpoint is due within an epoch.
pub(super) struct Pace {
    every_steps: Option<usize>,
    every: Option<Duration>,
    last: Instant,
}

impl Pace {
    pub(super) fn new(spec: &Checkpoint) -> Self {
        Self {
            every_steps: spec.every_steps.map(|steps| steps.get()),
            // A time beyond what a clock can count never comes.
            every: spec.every_secs.and_then(|seconds| Duration::try_from_secs_f64(seconds.get()).ok()),
            last: Instant::now(),
        }
    }

    /// Whether a checkpoint is due after so many steps of the run.
    pub(super) fn is_due(&self, step: usize) -> bool {
        self.every_steps.is_some_and(|steps| step.is_multiple_of(steps))
            || self.every.is_some_and(|time| self.last.elapsed() >= time)
    }

    /// Notes that one was written.
    pub(super) fn note(&mut self) {
        self.last = Instant::now();
    }
}
