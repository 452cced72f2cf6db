//! Batches ahead of their step: while the device is at work, the next ones are moved to it.

use std::sync::Arc;

use super::TrainError;
use super::cases::Cases;
use super::checkpoint::Progress;
use super::step::{StepOutcome, Trainer, Uploaded};
use super::{patches, patches_per_step};
use crate::experiment::plan::Plan;
use dataset::patch::Patch;
use dataset::queue::Queue;

/// The steps of an epoch that are still to come.
pub(super) struct Feed<'a> {
    plan: &'a Plan,
    queue: Queue,
    /// Steps whose batches have not been taken from the queue.
    left: usize,
    ahead: Option<Step>,
}

struct Step {
    /// On the host too, for a message if the step goes wrong.
    patches: Vec<Patch>,
    batches: Uploaded,
}

impl<'a> Feed<'a> {
    /// The steps after those that are done.
    pub(super) fn start(plan: &'a Plan, cases: &Arc<Cases>, progress: &Progress) -> Self {
        let queue = patches(plan, cases, progress.epoch, progress.steps_in_epoch * patches_per_step(plan));
        Self { plan, queue, left: plan.steps_per_epoch - progress.steps_in_epoch, ahead: None }
    }

    /// Seconds that were spent waiting for patches so far.
    pub(super) fn wait_seconds(&self) -> f64 {
        self.queue.wait_seconds()
    }

    /// Takes the next step and counts it; gives its patches too.
    ///
    /// # Errors
    /// When a patch cannot be made, the device fails, or the loss or the gradient is not finite; the network stays as
    /// it was then.
    pub(super) fn take_step(
        &mut self,
        trainer: &mut Trainer,
        progress: &mut Progress,
    ) -> Result<(StepOutcome, usize), TrainError> {
        let step = match self.ahead.take() {
            Some(step) => step,
            None => self.fetch(trainer)?,
        };
        let learning_rate = trainer.learning_rate(progress.step, self.plan.num_steps());
        let pending = trainer.begin(step.batches, learning_rate, progress.step);
        if self.left > 0 {
            self.ahead = Some(self.fetch(trainer)?);
        }
        let outcome = trainer.finish(pending)?;
        for (what, value) in [("the loss", outcome.loss), ("the gradient", outcome.grad_norm)] {
            if !value.is_finite() {
                let (epoch, number) = (progress.epoch, progress.step + 1);
                return Err(TrainError::NotFinite { what, epoch, step: number, patches: step.patches });
            }
        }
        progress.step += 1;
        progress.steps_in_epoch += 1;
        progress.loss_sum += outcome.loss;
        progress.learning_rate = learning_rate;
        Ok((outcome, step.patches.len()))
    }

    /// The batches of the next step: as many as are accumulated, fewer and smaller ones at the end of an epoch.
    fn fetch(&mut self, trainer: &Trainer) -> Result<Step, TrainError> {
        self.left -= 1;
        let train = &self.plan.experiment.train;
        let mut batches = Vec::new();
        for _ in 0..train.accumulate_batches.get() {
            let batch = self.queue.by_ref().take(train.batch_size.get()).collect::<Result<Vec<_>, _>>()?;
            if !batch.is_empty() {
                batches.push(batch);
            }
        }
        let uploaded = trainer.upload(&batches)?;
        Ok(Step { patches: batches.into_iter().flatten().collect(), batches: uploaded })
    }
}
