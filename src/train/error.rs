//! Why training could not go on.

use super::checkpoint::CheckpointError;
use crate::data::cache::CacheError;
use crate::model::device::DeviceError;
use crate::model::input::{ComputeError, InputError};
use crate::model::weights::WeightsError;
use crate::queue::QueueError;
use crate::run::folder::RunError;

/// Why training could not go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A subject's files cannot be used.
    #[error("subject {subject} cannot be prepared")]
    Subject {
        /// The subject's name.
        subject: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The run folder cannot be written.
    #[error(transparent)]
    Folder(#[from] RunError),
    /// The training subjects do not teach a step of the chain what it needs.
    #[error("{step} cannot learn from the training subjects: {reason}")]
    Learn {
        /// The step.
        step: &'static str,
        /// Why.
        reason: String,
    },
    /// A patch cannot be cut.
    #[error("patch {index} of subject {subject} cannot be made")]
    Patch {
        /// The subject's name.
        subject: String,
        /// Which of its patches.
        index: usize,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(CacheError),
    /// The queue ended.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A patch does not fit the network.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Weights do not fit the network.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The device failed in the middle of its work.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// It was told to stop in the middle of a volume.
    #[error("stopped")]
    Stopped,
    /// A checkpoint could not be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A listener could not write what happened.
    #[error("the run's records cannot be written")]
    Record(#[from] std::io::Error),
    /// Training left the finite numbers.
    #[error(
        "{what} is not finite in step {step}; its patches: {patches}; lower the learning rate, or set train.clip_gradient_norm"
    )]
    NotFinite {
        /// The loss or the gradient.
        what: &'static str,
        /// Steps since the start of the run, counted from 1.
        step: usize,
        /// Subjects, patch indices and draws of the step.
        patches: String,
    },
}
