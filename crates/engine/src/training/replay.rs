//! The first steps of a run once more, without a run folder.

use std::sync::Arc;

use super::TrainError;
use super::cases::Cases;
use super::checkpoint::Progress;
use super::feed::Feed;
use super::step::Trainer;
use crate::experiment::plan::Plan;

/// What a step gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replayed {
    /// Steps since the start of the run, counted from 1.
    pub step: usize,
    /// The loss of the batch.
    pub train_loss: f64,
    /// The norm of all gradients together, before clipping.
    pub grad_norm: f64,
}

/// Takes the first steps of a run from its start; `note` looks at each and says whether to go on.
///
/// # Errors
/// When a patch cannot be made, the device fails, or the loss leaves the finite numbers.
pub fn first_steps(
    plan: &Plan,
    cases: &Arc<Cases>,
    count: usize,
    mut note: impl FnMut(Replayed) -> bool,
) -> Result<(), TrainError> {
    let mut trainer = Trainer::new(plan)?;
    trainer.start(plan)?;
    let mut progress = Progress::start();
    while progress.step < count {
        let mut feed = Feed::start(plan, cases, &progress);
        while progress.steps_in_epoch < plan.steps_per_epoch && progress.step < count {
            let (outcome, _) = feed.take_step(&mut trainer, &mut progress)?;
            let replayed = Replayed { step: progress.step, train_loss: outcome.loss, grad_norm: outcome.grad_norm };
            if !note(replayed) {
                return Ok(());
            }
        }
        (progress.epoch, progress.steps_in_epoch) = (progress.epoch + 1, 0);
    }
    Ok(())
}
