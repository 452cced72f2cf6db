//! Training: the loop, and what it is made of.
//!
//! [`train()`] is the loop. It has no hooks: all that varies is data in the plan. It emits events and does not know who
//! listens. [`dataset`] preprocesses the subjects and samples patches, [`step`] is the network with its loss and
//! optimizer, `prefetch` transfers batches ahead of their step, [`validate`] computes the validation loss and the
//! metrics, [`pseudo_dice`] the Dice of random validation patches, and [`checkpoint`] stores the state. [`replay`] and [`parity`] repeat steps to compare machines and
//! devices.

pub mod batch;
pub mod checkpoint;
mod context;
pub mod dataset;
mod error;
pub mod estimate;
mod fine_tuning;
pub mod parity;
mod patches;
mod prefetch;
pub mod pseudo_dice;
pub mod replay;
pub mod step;
mod train;
pub mod validate;
mod weight_average;

pub use context::TrainingContext;
pub use error::TrainError;
pub use patches::{patches, patches_per_step};
pub use train::{Outcome, train};
