//! Why a run cannot predict.

use std::path::PathBuf;

use crate::experiment::problem::Problems;
use crate::training::input::ComputeError;
use dataset::queue::MakeError;
use nn::device::DeviceError;
use nn::weights::WeightsError;
use run_folder::folder::RunError;
use transforms::lazy::PipelineError;

/// A run that cannot predict, or an image that it cannot take.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The folder is not that of a run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Its plan cannot be read.
    #[error(transparent)]
    Plan(#[from] Problems),
    /// It has no such weights.
    #[error("{} is not there", path.display())]
    NoWeights {
        /// The file.
        path: PathBuf,
    },
    /// Its weights cannot be used.
    #[error("{} cannot be used", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// Why.
        source: WeightsError,
    },
    /// A file of the run is not what it should be.
    #[error("{} cannot be used: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The runs of an ensemble do not say the same things.
    #[error("{} and {} have different {what}, so they are no ensemble", first.display(), other.display())]
    Differ {
        /// A run.
        first: PathBuf,
        /// Another run.
        other: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// The device cannot be opened.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A file cannot be read or written.
    #[error("{0}")]
    Image(MakeError),
    /// The image has another number of channels than those that the network was trained with.
    #[error("it has {found} channels, and the network takes {expected}")]
    Channels {
        /// Those of the network.
        expected: usize,
        /// Those of the image.
        found: usize,
    },
    /// Voxels are no numbers.
    #[error("{count} of its voxels are not finite after preprocess; mend the file")]
    NotFinite {
        /// How many.
        count: usize,
    },
    /// The preprocess chain cannot be applied to the image.
    #[error("it cannot be preprocessed as in training: {0}")]
    Preprocess(#[from] PipelineError),
    /// The device failed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
}
