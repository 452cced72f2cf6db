//! Why an image cannot be predicted.

use std::path::PathBuf;

use crate::experiment::problem::Problems;
use crate::inference::forward::ComputeError;
use crate::previous::PreviousError;
use dataset::queue::MakeError;
use nn::devices::DeviceError;
use nn::weights::WeightsError;
use run_folder::folder::RunError;
use transforms::lazy::PipelineError;
use volume::io::slices_as_channels;

/// A run that cannot predict, or an image that cannot be predicted.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The folder is not a run folder.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The run's plan cannot be read.
    #[error(transparent)]
    Plan(#[from] Problems),
    /// The previous runs of the run cannot predict.
    #[error("the previous runs cannot predict: {0}")]
    Previous(#[from] PreviousError),
    /// The run has no such weights.
    #[error("{} does not exist", path.display())]
    NoWeights {
        /// The file.
        path: PathBuf,
    },
    /// The run's weights cannot be used.
    #[error("{} cannot be used", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: WeightsError,
    },
    /// A file of the run is invalid.
    #[error("{} cannot be used: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The runs of an ensemble do not predict the same labels.
    #[error("{} and {} have different {what}, so they cannot form an ensemble", first.display(), other.display())]
    Differ {
        /// A run.
        first: PathBuf,
        /// Another run.
        other: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// The runs of an ensemble preprocess an image to different shapes, so their logits cannot be averaged.
    #[error(
        "{} and {} preprocess it to {:?} and {:?} voxels, so their logits cannot be averaged; set `inference.average: probabilities` in their plan.yaml",
        first.display(), other.display(), shapes[0], shapes[1]
    )]
    Shapes {
        /// A run.
        first: PathBuf,
        /// Another run.
        other: PathBuf,
        /// The shapes.
        shapes: [[usize; 3]; 2],
    },
    /// The device cannot be opened.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A run has other weights than when it was selected.
    #[error("{} has changed since it was selected", path.display())]
    OtherWeights {
        /// The file of the weights.
        path: PathBuf,
    },
    /// The image cannot be read.
    #[error("{0}")]
    Image(MakeError),
    /// A file of the prediction cannot be written.
    #[error("{0}")]
    Write(MakeError),
    /// The image has another number of channels than the training images.
    #[error(
        "it has {actual} channel{}, but the network was trained with {expected}{}",
        if *actual == 1 { "" } else { "s" },
        advice(*shape)
    )]
    Channels {
        /// Channels of the network.
        expected: usize,
        /// Channels of the image.
        actual: usize,
        /// Voxels of the image along x, y and z.
        shape: [usize; 3],
    },
    /// The preprocess chain cannot be applied to the image.
    #[error("it cannot be preprocessed as in training: {0}")]
    Preprocess(#[from] PipelineError),
    /// The device failed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// The stop flag was set.
    #[error("stopped")]
    Stopped,
}

/// Advises on channels that may be slices.
fn advice(shape: [usize; 3]) -> String {
    slices_as_channels(shape).map(|advice| format!("; {advice}")).unwrap_or_default()
}

impl PredictError {
    /// Returns whether the image is at fault, so that other images may still be predicted.
    pub fn is_of_image(&self) -> bool {
        matches!(self, Self::Image(_) | Self::Channels { .. } | Self::Preprocess(_))
    }
}
