//! Why a patch cannot be sampled.

/// A volume from which no patch can be sampled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SamplingError {
    /// The patch is larger than the volume.
    #[error(
        "a patch of {patch:?} voxels does not fit into a volume of {volume:?}; make the patch smaller, or pad with crop_or_pad"
    )]
    PatchTooLarge {
        /// Voxels of the patch.
        patch: [usize; 3],
        /// Voxels of the volume after the chain.
        volume: [usize; 3],
    },
    /// No label with a probability is where a patch can be centred.
    #[error(
        "none of the labels {labels:?} is present where a patch of {patch:?} voxels can be centred; \
         give the background a probability, or pad with crop_or_pad"
    )]
    NoCentre {
        /// The labels with a probability above 0.
        labels: Vec<volume::Label>,
        /// Voxels of the patch.
        patch: [usize; 3],
    },
    /// Every weight is 0 where a patch can be centred.
    #[error(
        "every weight is 0 where a patch of {patch:?} voxels can be centred; \
         fix the weight map, or pad with crop_or_pad"
    )]
    NoWeight {
        /// Voxels of the patch.
        patch: [usize; 3],
    },
}
