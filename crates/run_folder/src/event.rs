//! What can happen in a run. The training loop emits events and does not know who listens.

use std::path::PathBuf;

use super::manifest::Inputs;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Slow work before the first step: how many of its pieces are done.
    Preparing {
        /// What is prepared, such as `cache`.
        task: &'static str,
        /// Pieces that are done.
        done: usize,
        /// All pieces.
        total: usize,
    },
    /// The files that the run reads are known by their content.
    Inputs(Inputs),
    /// An optimiser step was taken.
    Step(StepRecord),
    /// A whole validation volume was scored.
    Case(CaseRecord),
    /// Whole validation volumes are being scored.
    Validating {
        /// Volumes that are done.
        done: usize,
        /// All volumes.
        total: usize,
    },
    /// An epoch ended.
    Epoch(EpochRecord),
    /// A checkpoint was committed.
    Checkpoint {
        /// The weights file.
        path: PathBuf,
        /// Whether it holds the best weights so far.
        best: bool,
    },
    /// Something that the user should know.
    Warning(String),
    /// Nothing more follows: the run is done, or stopped at a checkpoint.
    Finished,
}

/// A row of `steps.csv`.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRecord {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// Steps since the start of the run, counted from 1.
    pub step: usize,
    /// The loss of the batch.
    pub train_loss: f64,
    /// The norm of all gradients together, before clipping.
    pub grad_norm: f64,
    /// Patches in the step.
    pub patches: usize,
    /// Seconds since the previous step ended.
    pub seconds: f64,
    /// Seconds of these that were spent waiting for patches.
    pub wait_seconds: f64,
}

/// A row of `cases.csv`.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseRecord {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// The subject's name.
    pub subject: String,
    /// A score for each of the columns of [`Columns::cases`]; `None` where it is undefined.
    pub scores: Vec<Option<f64>>,
}

/// A row of `metrics.csv`, and one of `timing.csv`.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochRecord {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// Steps since the start of the run.
    pub step: usize,
    /// The learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// The mean loss of the epoch's steps.
    pub train_loss: f64,
    /// The mean loss of the validation patches, where it was computed.
    pub val_loss: Option<f64>,
    /// A score for each of the columns of [`Columns::metrics`]; `None` where it was not computed or is undefined.
    pub scores: Vec<Option<f64>>,
    /// What depends on the clock.
    pub timing: Timing,
}

/// What depends on the clock; it stands in `timing.csv` alone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// Seconds of the whole epoch, validation included.
    pub seconds: f64,
    /// Seconds of training that were spent waiting for patches.
    pub wait_seconds: f64,
    /// Seconds of training.
    pub train_seconds: f64,
    /// Seconds of validation.
    pub validate_seconds: f64,
    /// Training patches per second of training.
    pub patches_per_second: f64,
    /// The largest resident memory of the process so far, in bytes.
    pub peak_memory_bytes: u64,
}

/// The columns of scores, after the fixed ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// Of `metrics.csv`, such as `val_dice_liver`, `val_dice_mean`.
    pub metrics: Vec<String>,
    /// Of `cases.csv`, such as `dice_liver`.
    pub cases: Vec<String>,
}

/// Somebody who is told what happens. A listener may fail the run, never change its numbers.
pub trait Listener {
    /// Takes note of an event.
    ///
    /// # Errors
    /// When what was written could not be.
    fn record(&mut self, event: &Event) -> std::io::Result<()>;

    /// Brings everything written so far onto the disk; called before a checkpoint commits.
    ///
    /// # Errors
    /// When the disk refuses.
    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
