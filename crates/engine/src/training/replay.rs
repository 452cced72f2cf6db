//! Repeating the first steps of a run, without a run folder.

use std::sync::Arc;

use super::TrainError;
use super::checkpoint::TrainingProgress;
use super::dataset::PreprocessedDataset;
use super::prefetch::PrefetchedSteps;
use super::step::Trainer;
use crate::experiment::plan::Plan;

/// The result of a repeated step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReplayedStep {
    /// Steps since the start of the run, counted from 1.
    pub step: usize,
    /// The loss of the batch.
    pub train_loss: f64,
    /// The norm of all gradients together, before clipping.
    pub grad_norm: f64,
}

/// Repeats the first steps of a run; `compare` gets the result of each and returns whether to continue.
///
/// # Errors
/// When a patch cannot be made, the device fails, or the loss or the gradient is not finite.
pub fn first_steps(
    plan: &Plan,
    dataset: &Arc<PreprocessedDataset>,
    count: usize,
    mut compare: impl FnMut(ReplayedStep) -> bool,
) -> Result<(), TrainError> {
    let mut trainer = Trainer::new(plan)?;
    trainer.load_initial_weights(plan)?;
    let mut progress = TrainingProgress::start();
    while progress.step < count {
        let mut steps = PrefetchedSteps::start(plan, dataset, &progress);
        while progress.steps_in_epoch < plan.steps_per_epoch && progress.step < count {
            let (result, _) = steps.take_step(&mut trainer, &mut progress)?;
            let replayed = ReplayedStep { step: progress.step, train_loss: result.loss, grad_norm: result.grad_norm };
            if !compare(replayed) {
                return Ok(());
            }
        }
        (progress.epoch, progress.steps_in_epoch) = (progress.epoch + 1, 0);
    }
    Ok(())
}
