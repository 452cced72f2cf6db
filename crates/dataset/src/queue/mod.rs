//! The patch queue: worker threads that make the patches of an epoch ahead of training, in shuffled order.
//!
//! The order of delivery is a pure function of the seed and the epoch, computed before the first patch is
//! made. So neither the number of workers nor their speed changes a result.

mod order;
mod settings;
#[cfg(test)]
mod tests;
mod workers;

pub use order::{PatchOrder, Request, assign_batch_indices, delivery_order, epoch_order, iteration_order};
pub use settings::QueueSpec;
pub use workers::{MakeError, Queue, QueueError, panic_message};
