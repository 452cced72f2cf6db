//! The training patches of an epoch.

use std::sync::Arc;

use super::dataset::{PatchUse, PreprocessedDataset};
use crate::experiment::plan::Plan;
use dataset::queue::{PatchOrder, Queue, Request, assign_batch_indices, delivery_order, epoch_order, iteration_order};
use random::{Purpose, Seed};

/// Returns the number of patches of a full optimizer step.
pub fn patches_per_step(plan: &Plan) -> usize {
    plan.experiment.patches_per_step()
}

/// Starts the workers that make the training patches of an epoch, counted from 1, without the first `skip`.
pub fn patches(plan: &Plan, dataset: &Arc<PreprocessedDataset>, epoch: usize, skip: usize) -> Queue {
    let spec = &plan.experiment;
    let names = Arc::new(plan.parts.train.clone());
    let (requests, delivery) = order(plan, epoch as u64, names.len());
    let skip = skip.min(requests.len());
    let dataset = Arc::clone(dataset);
    let subjects = Arc::clone(&names);
    Queue::start(&spec.queue, PatchOrder { names, requests, delivery, skip }, move |request| {
        dataset.patch(PatchUse::Training { epoch }, &subjects[request.subject], request)
    })
}

/// Returns the requests of an epoch and the order of their delivery.
fn order(plan: &Plan, epoch: u64, num_subjects: usize) -> (Vec<Request>, Vec<usize>) {
    let spec = &plan.experiment;
    let (seed, batch_size) = (Seed(spec.seed), spec.train.batch_size.get());
    if let Some(iterations) = spec.train.iterations_per_epoch {
        let stream = (seed, Purpose::Order, epoch);
        let requests = iteration_order(stream, num_subjects, iterations.get(), patches_per_step(plan), batch_size);
        let delivery = (0..requests.len()).collect();
        return (requests, delivery);
    }
    let mut requests = epoch_order(seed, epoch, num_subjects, spec.queue.samples_per_volume.get());
    let delivery = delivery_order(seed, epoch, requests.len(), spec.queue.max_length.get());
    assign_batch_indices(&mut requests, &delivery, batch_size);
    (requests, delivery)
}
