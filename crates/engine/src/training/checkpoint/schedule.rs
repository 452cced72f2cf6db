//! When checkpoints are written within an epoch.

use std::time::{Duration, Instant};

use crate::experiment::spec::Checkpoint;

/// When checkpoints are written within an epoch.
pub(in crate::training) struct CheckpointSchedule {
    every_steps: Option<usize>,
    every: Option<Duration>,
    last: Instant,
}

impl CheckpointSchedule {
    pub(in crate::training) fn new(spec: &Checkpoint) -> Self {
        Self {
            every_steps: spec.every_steps.map(|steps| steps.get()),
            // An interval longer than a clock can count never ends.
            every: spec.every_secs.and_then(|seconds| Duration::try_from_secs_f64(seconds.get()).ok()),
            last: Instant::now(),
        }
    }

    /// Returns whether a checkpoint is due after `step` steps of the run.
    pub(in crate::training) fn is_due(&self, step: usize) -> bool {
        self.every_steps.is_some_and(|steps| step.is_multiple_of(steps))
            || self.every.is_some_and(|time| self.last.elapsed() >= time)
    }

    /// Restarts the interval after a checkpoint.
    pub(in crate::training) fn restart(&mut self) {
        self.last = Instant::now();
    }
}
