//! The order in which the patches of an epoch are made and delivered.

use std::sync::Arc;

use random::{Purpose, Seed};

/// A patch to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The subject, as an index into the list of names.
    pub subject: usize,
    /// Index among the subject's patches of the epoch, from 0; in epochs of a number of iterations, among all patches.
    pub index: usize,
    /// Index in its batch, from 0.
    pub index_in_batch: usize,
}

/// The patches of an epoch and the order of their delivery.
pub struct PatchOrder {
    /// Names of the subjects.
    pub names: Arc<Vec<String>>,
    /// Every patch of the epoch.
    pub requests: Vec<Request>,
    /// The patches in the order of their delivery, as indices into `requests`.
    pub delivery: Vec<usize>,
    /// Number of patches at the start that are not delivered, because the run was resumed after them.
    pub skip: usize,
}

/// Returns the requests of an epoch: subjects in shuffled order, all patches of a subject together. Their indices in
/// batches are set by [`assign_batch_indices`].
pub fn epoch_order(seed: Seed, epoch: u64, num_subjects: usize, samples_per_volume: usize) -> Vec<Request> {
    let mut subjects: Vec<usize> = (0..num_subjects).collect();
    seed.stream(Purpose::Order, epoch, "subjects", 0).shuffle(&mut subjects);
    let request = |subject, index| Request { subject, index, index_in_batch: 0 };
    let patches = |subject| (0..samples_per_volume).map(move |index| request(subject, index));
    subjects.into_iter().flat_map(patches).collect()
}

/// Returns the requests of an epoch of a number of iterations, in the order of their delivery: every patch is of a subject
/// that is chosen uniformly with replacement. The patches of an iteration depend on the seed, the purpose, the epoch and the
/// iteration only.
pub fn iteration_order(
    (seed, purpose, epoch): (Seed, Purpose, u64),
    num_subjects: usize,
    iterations: usize,
    patches: usize,
    batch_size: usize,
) -> Vec<Request> {
    let requests = |iteration: usize| {
        let mut rng = seed.stream(purpose, epoch, "", iteration as u64);
        let request = move |patch| Request {
            subject: rng.below(num_subjects as u64) as usize,
            index: iteration * patches + patch,
            index_in_batch: patch % batch_size,
        };
        (0..patches).map(request)
    };
    (0..iterations).flat_map(requests).collect()
}

/// Returns the requests in the order of their delivery: they enter a shuffle buffer of `max_length` in order, and a random
/// one leaves it.
///
/// So request r is delivered at index `r + 1 - max_length` or later, and at most `max_length` patches have to be in memory.
pub fn delivery_order(seed: Seed, epoch: u64, num_requests: usize, max_length: usize) -> Vec<usize> {
    let mut rng = seed.stream(Purpose::Order, epoch, "patches", 0);
    let mut entering = 0..num_requests;
    let mut buffer: Vec<usize> = entering.by_ref().take(max_length).collect();
    let mut order = Vec::with_capacity(num_requests);
    while !buffer.is_empty() {
        let chosen = rng.below(buffer.len() as u64) as usize;
        order.push(match entering.next() {
            Some(next) => std::mem::replace(&mut buffer[chosen], next),
            None => buffer.swap_remove(chosen),
        });
    }
    order
}

/// Sets the index of each request in its batch: batches are filled in the order of delivery.
pub fn assign_batch_indices(requests: &mut [Request], delivery: &[usize], batch_size: usize) {
    for (index, request) in delivery.iter().enumerate() {
        requests[*request].index_in_batch = index % batch_size;
    }
}
