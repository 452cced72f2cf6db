//! Why training failed.

use std::path::PathBuf;

use super::batch::BatchError;
use super::checkpoint::CheckpointError;
use crate::inference::forward::ComputeError;
use crate::preprocessing::PreprocessError;
use dataset::cache::CacheError;
use dataset::patch::Patch;
use dataset::queue::QueueError;
use nn::devices::DeviceError;
use nn::weights::WeightsError;
use run_folder::folder::RunError;

/// Why training failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The subjects cannot be preprocessed.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// The run folder cannot be written.
    #[error(transparent)]
    Folder(#[from] RunError),
    /// A patch cannot be sampled.
    #[error("patch {index} of subject {subject} cannot be made")]
    Patch {
        /// The subject's name.
        subject: String,
        /// The index of the patch among those of the subject.
        index: usize,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Input files have changed since the run started.
    #[error(
        "{} changed since the run started, such as {}; restore the data, or start a new run",
        files(.0),
        .0[0].display()
    )]
    InputsChanged(Vec<PathBuf>),
    /// The cache cannot be read or written.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A worker of the patch queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A patch cannot be trained on.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Weights do not match the network.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The device cannot be opened.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The device failed while it computed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// The stop flag was set during the prediction of a volume.
    #[error("stopped")]
    Stopped,
    /// A checkpoint could not be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A listener could not write its record.
    #[error("the run's records cannot be written")]
    Record(#[from] std::io::Error),
    /// The loss or the gradient is infinite or NaN.
    #[error(
        "{quantity} is not finite in step {step}, epoch {epoch}; lower the learning rate, or set train.clip_gradient_norm; its patches: {}",
        describe(patches)
    )]
    NotFinite {
        /// The loss or the gradient.
        quantity: &'static str,
        /// The epoch, counted from 1.
        epoch: usize,
        /// Steps since the start of the run, counted from 1.
        step: usize,
        /// The patches of the step.
        patches: Vec<Patch>,
    },
}

fn files(paths: &[PathBuf]) -> String {
    if let [_] = paths { "1 input file has".to_owned() } else { format!("{} input files have", paths.len()) }
}

/// Maximum length of the sampled parameters of a patch in a message, in characters; an elastic field has thousands.
const MAX_PARAMS: usize = 400;

/// Subject, index and sampled parameters of each patch.
fn describe(patches: &[Patch]) -> String {
    let describe = |patch: &Patch| {
        let mut params = patch.params_json().to_string();
        if params.chars().count() > MAX_PARAMS {
            params = params.chars().take(MAX_PARAMS).chain(['…']).collect();
        }
        format!("{} #{} at {:?} {params}", patch.subject, patch.index, patch.start)
    };
    patches.iter().map(describe).collect::<Vec<_>>().join("; ")
}
