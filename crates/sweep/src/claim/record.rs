//! The content of a claim's file, and whether its holder is alive.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::STALE;
use super::process::{machine, process_start};
use run_folder::manifest::host;

/// The content of a claim's file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClaimRecord {
    /// The host name.
    pub host: String,
    /// The machine, its boot and its PID namespace.
    pub(super) machine: String,
    /// The process id.
    pub process: u32,
    /// When the process started, so that a later process with the same id is not mistaken for it.
    pub(super) process_start: u64,
    /// Whether the holder has released the run.
    pub released: bool,
    /// The progress of the run.
    pub progress: RunProgress,
}

/// The progress of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunProgress {
    /// The current task outside of training steps, such as `preprocessing 3/20`.
    pub task: Option<String>,
    /// The current epoch, counted from 1.
    pub epoch: usize,
    /// Epochs of the whole run.
    pub epochs: usize,
    /// Finished steps.
    pub step: usize,
    /// Steps of the whole run.
    pub steps: usize,
    /// The loss of the latest step.
    pub loss: Option<f64>,
    /// Duration of the latest epoch in seconds.
    pub epoch_seconds: Option<f64>,
}

impl RunProgress {
    /// Estimates the seconds until the run ends from the duration of its latest epoch.
    pub fn seconds_left(&self) -> Option<f64> {
        let done = if self.steps == 0 { 0.0 } else { self.step as f64 / self.steps as f64 };
        Some(self.epoch_seconds? * self.epochs as f64 * (1.0 - done))
    }
}

impl ClaimRecord {
    /// Returns the record of a claim by this process.
    pub(super) fn of_this_process() -> Self {
        let process = std::process::id();
        Self {
            host: host(),
            machine: machine(),
            process,
            process_start: process_start(process).unwrap_or(0),
            released: false,
            progress: RunProgress::default(),
        }
    }

    /// Returns whether the holder is alive, given the time since its last heartbeat.
    pub(super) fn is_alive(&self, silence: Duration) -> bool {
        if cfg!(target_os = "linux") && self.machine == machine() {
            return process_start(self.process) == Some(self.process_start);
        }
        silence < STALE
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a claim has text, numbers and booleans only")
    }
}
