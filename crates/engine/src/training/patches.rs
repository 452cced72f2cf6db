//! The training patches of an epoch.

use std::sync::Arc;

use super::dataset::{PatchUse, PreprocessedDataset};
use crate::experiment::plan::Plan;
use dataset::queue::{PatchOrder, Queue, assign_batch_indices, delivery_order, epoch_order};
use random::Seed;

/// Returns the number of patches of a full optimizer step.
pub fn patches_per_step(plan: &Plan) -> usize {
    let train = &plan.experiment.train;
    train.batch_size.get() * train.accumulate_batches.get()
}

/// Starts the workers that make the training patches of an epoch, counted from 1, without the first `skip`.
pub fn patches(plan: &Plan, dataset: &Arc<PreprocessedDataset>, epoch: usize, skip: usize) -> Queue {
    let spec = &plan.experiment;
    let seed = Seed(spec.seed);
    let names = Arc::new(plan.parts.train.clone());
    let mut requests = epoch_order(seed, epoch as u64, names.len(), spec.queue.samples_per_volume.get());
    let delivery = delivery_order(seed, epoch as u64, requests.len(), spec.queue.max_length.get());
    assign_batch_indices(&mut requests, &delivery, spec.train.batch_size.get());
    let skip = skip.min(requests.len());
    let dataset = Arc::clone(dataset);
    let subjects = Arc::clone(&names);
    Queue::start(&spec.queue, PatchOrder { names, requests, delivery, skip }, move |request| {
        dataset.patch(PatchUse::Training { epoch }, &subjects[request.subject], request)
    })
}
