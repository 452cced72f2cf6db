//! The events of a run. The training loop emits them and does not know who listens.

use std::path::PathBuf;

use super::manifest::Inputs;

/// An event of a run.
#[derive(Clone, Debug)]
pub enum Event {
    /// Progress of slow work before the first step.
    Preparing {
        /// The name of the work, such as `preprocessing`.
        task: &'static str,
        /// The number of items that are done.
        done: usize,
        /// The number of all items.
        total: usize,
    },
    /// The input files were hashed.
    Inputs(Inputs),
    /// An optimizer step was taken.
    Step(StepRecord),
    /// A whole validation volume was scored.
    Case(CaseRecord),
    /// Whole validation volumes are being scored.
    Validating {
        /// The number of volumes that are done.
        done: usize,
        /// The number of all volumes.
        total: usize,
    },
    /// An epoch ended.
    Epoch(EpochRecord),
    /// A checkpoint was written.
    Checkpoint {
        /// The weights file.
        path: PathBuf,
        /// Whether it has the best weights so far.
        best: bool,
    },
    /// A warning for the user.
    Warning(String),
    /// The last event: the run is done, or stopped at a checkpoint.
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
    /// The number of patches in the step.
    pub patches: usize,
    /// Seconds since the previous step ended.
    pub seconds: f64,
    /// Of these, the seconds spent waiting for patches.
    pub wait_seconds: f64,
}

/// A row of `cases.csv`.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseRecord {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// The subject's name.
    pub subject: String,
    /// A score for each of the columns of [`Columns::cases`]; `None` if it is undefined.
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
    /// The mean loss of the validation patches, if it was computed.
    pub val_loss: Option<f64>,
    /// A score for each of the columns of [`Columns::metrics`]; `None` if it was not computed or is undefined.
    pub scores: Vec<Option<f64>>,
    /// Times and memory.
    pub timing: Timing,
}

/// Times and memory of an epoch. They differ from run to run, so only `timing.csv` has them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// Seconds of the whole epoch, validation included.
    pub seconds: f64,
    /// Seconds of training spent waiting for patches.
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

impl Columns {
    /// Returns the index and the name in words of the score that stands for a run in a line of text, among columns such as
    /// `val_dice_mean`: the mean Dice, or else the first mean over labels.
    pub fn headline<S: AsRef<str>>(metrics: &[S]) -> Option<(usize, String)> {
        let metric = |column: &str| Some(column.strip_prefix("val_")?.strip_suffix("_mean")?.to_owned());
        let means = metrics.iter().enumerate().filter_map(|(index, column)| Some((index, metric(column.as_ref())?)));
        let (index, name) = means.min_by_key(|(index, name)| (name != "dice", *index))?;
        Some((index, if name == "dice" { "Dice".to_owned() } else { name.replace('_', " ") }))
    }
}

/// A receiver of events. A listener may fail the run, but never change its results.
pub trait Listener {
    /// Records an event.
    ///
    /// # Errors
    /// When the record cannot be written.
    fn record(&mut self, event: &Event) -> std::io::Result<()>;

    /// Syncs everything written so far to disk; called before a checkpoint is written.
    ///
    /// # Errors
    /// When it cannot be written.
    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_stands_for_a_run_or_else_the_first_mean() {
        let headline = |columns: &[&str]| Columns::headline(columns);
        let columns = ["epoch", "val_loss", "val_hd95_liver", "val_hd95_mean", "val_dice_mean"];
        assert_eq!(headline(&columns), Some((4, "Dice".to_owned())));
        assert_eq!(headline(&columns[..4]), Some((3, "hd95".to_owned())));
        assert_eq!(headline(&columns[..3]), None);
    }
}
