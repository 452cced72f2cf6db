//! Prefetching: while the device computes a step, the batches of the next one are transferred to it.

use std::sync::Arc;

use super::TrainError;
use super::checkpoint::TrainingProgress;
use super::dataset::PreprocessedDataset;
use super::patches::{patches, patches_per_step};
use super::step::{DeviceBatches, StepResult, Trainer};
use crate::experiment::plan::Plan;
use dataset::patch::Patch;
use dataset::queue::Queue;

/// The remaining steps of an epoch, with batches prefetched.
pub(super) struct PrefetchedSteps<'a> {
    plan: &'a Plan,
    queue: Queue,
    /// The number of steps whose batches have not been taken from the queue.
    remaining: usize,
    prefetched: Option<Step>,
}

struct Step {
    /// Also on the host, for the error message if the loss is not finite.
    patches: Vec<Patch>,
    batches: DeviceBatches,
}

impl<'a> PrefetchedSteps<'a> {
    /// Starts the workers that make the patches of the remaining steps.
    pub(super) fn start(plan: &'a Plan, dataset: &Arc<PreprocessedDataset>, progress: &TrainingProgress) -> Self {
        let queue = patches(plan, dataset, progress.epoch, progress.steps_in_epoch * patches_per_step(plan));
        Self { plan, queue, remaining: plan.steps_per_epoch - progress.steps_in_epoch, prefetched: None }
    }

    /// Returns the seconds spent waiting for patches so far.
    pub(super) fn wait_seconds(&self) -> f64 {
        self.queue.wait_seconds()
    }

    /// Takes the next step and counts it in `progress`; returns its result and its number of patches.
    ///
    /// # Errors
    /// When a patch cannot be made, the device fails, or the loss or the gradient is not finite; the weights are then
    /// unchanged.
    pub(super) fn take_step(
        &mut self,
        trainer: &mut Trainer,
        progress: &mut TrainingProgress,
    ) -> Result<(StepResult, usize), TrainError> {
        let step = match self.prefetched.take() {
            Some(step) => step,
            None => self.fetch(trainer)?,
        };
        let learning_rate = trainer.learning_rate(progress.step, self.plan);
        let pending = trainer.begin(step.batches, learning_rate, progress.step);
        if self.remaining > 0 {
            self.prefetched = Some(self.fetch(trainer)?);
        }
        let result = trainer.finish(pending)?;
        for (quantity, value) in [("the loss", result.loss), ("the gradient", result.grad_norm)] {
            if !value.is_finite() {
                let (epoch, number) = (progress.epoch, progress.step + 1);
                return Err(TrainError::NotFinite { quantity, epoch, step: number, patches: step.patches });
            }
        }
        progress.step += 1;
        progress.steps_in_epoch += 1;
        progress.loss_sum += result.loss;
        progress.learning_rate = learning_rate;
        Ok((result, step.patches.len()))
    }

    /// Transfers the batches of the next step; the last step of an epoch may have fewer and smaller ones.
    fn fetch(&mut self, trainer: &Trainer) -> Result<Step, TrainError> {
        self.remaining -= 1;
        let train = &self.plan.experiment.train;
        let mut batches = Vec::new();
        for _ in 0..train.accumulate_batches.get() {
            let batch = self.queue.by_ref().take(train.batch_size.get()).collect::<Result<Vec<_>, _>>()?;
            if !batch.is_empty() {
                batches.push(batch);
            }
        }
        let on_device = trainer.transfer(&batches)?;
        Ok(Step { patches: batches.into_iter().flatten().collect(), batches: on_device })
    }
}
