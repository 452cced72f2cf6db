//! Weight maps: one number for each voxel of a subject, in a file beside its image.

use std::path::PathBuf;

/// What a weight map is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WeightUse {
    /// The centre of a patch is sampled in proportion to the weights.
    Sampling,
    /// The loss of each voxel is multiplied by its weight.
    Loss,
}

/// Returns the weight map of a subject: `pattern` with the subject's name instead of `{subject}`.
pub fn weight_map(pattern: &str, subject: &str) -> PathBuf {
    pattern.replace("{subject}", subject).into()
}
