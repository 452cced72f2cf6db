//! Errors of evaluating a chain.

use super::finite::NotFinite;
use crate::TransformError;

/// A chain that cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    /// A step cannot be applied to this volume.
    #[error(transparent)]
    Transform(#[from] TransformError),
    /// The output of a step does not fit into memory.
    #[error(
        "{name}: {shape:?} voxels of {channels} channels do not fit into the machine's memory; take fewer voxels or a coarser spacing"
    )]
    TooLarge {
        /// Name of the step.
        name: &'static str,
        /// Requested voxels along x, y and z.
        shape: [usize; 3],
        /// Image channels.
        channels: usize,
    },
    /// The image has voxels that are NaN or infinite.
    #[error("{voxels}; fix the image, or train with `- replace_non_finite: {{ with: 0 }}` first in `preprocess`")]
    NotFiniteImage {
        /// The voxels.
        voxels: NotFinite,
    },
    /// A step computes values that are NaN or infinite from finite ones.
    #[error("{name} computes values that are not finite: {voxels}; its keys are too extreme for these intensities")]
    NotFinite {
        /// Name of the step.
        name: &'static str,
        /// The voxels, after the step.
        voxels: NotFinite,
    },
    /// A window extends past the volume.
    #[error("a window of {shape:?} voxels at {start:?} does not fit into a volume of {volume:?}")]
    Outside {
        /// First voxel of the window.
        start: [usize; 3],
        /// Voxels of the window along x, y and z.
        shape: [usize; 3],
        /// Voxels of the volume after the chain.
        volume: [usize; 3],
    },
}
