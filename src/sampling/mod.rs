//! Where patches lie: the trait, and the closed list of patch samplers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline::Origin;
use crate::seed::Rng;

mod index;
mod label;
mod uniform;

pub use index::LabelIndex;

pub use label::LabelSampler;
pub use uniform::UniformSampler;

/// How training patches are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Sampler {
    /// Chooses a label by its probability, then a voxel of that label as the patch's centre.
    Label(LabelSampler),
    /// Every place where the patch fits is equally likely.
    Uniform(UniformSampler),
}

impl Sampler {
    /// The patch's shape in voxels.
    pub fn patch(&self) -> [usize; 3] {
        match self {
            Sampler::Label(sampler) => sampler.patch.0,
            Sampler::Uniform(sampler) => sampler.patch.0,
        }
    }
}

/// A label map after a chain, described without making it.
#[derive(Clone, Copy, Debug)]
pub struct LabelField<'a> {
    /// Where each voxel's label comes from.
    pub origin: &'a Origin,
    /// The label map before the chain.
    pub index: &'a LabelIndex,
}

/// A volume from which no patch can be drawn.
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
    /// No voxel that could be a patch's centre has a label with a probability.
    #[error(
        "none of the labels {labels:?} lies where a patch of {patch:?} voxels can have its centre; \
         give the background a probability, or pad with crop_or_pad"
    )]
    NoCentre {
        /// The labels with a probability above 0.
        labels: Vec<crate::data::volume::Label>,
        /// Voxels of the patch.
        patch: [usize; 3],
    },
}

impl Sampler {
    /// Draws where a patch starts, in voxels of the grid after the chain.
    ///
    /// # Errors
    /// When the patch does not fit or has no possible centre.
    pub fn start(&self, field: &LabelField, rng: &mut Rng) -> Result<[usize; 3], SamplingError> {
        let (patch, volume) = (self.patch(), field.origin.shape);
        if (0..3).any(|axis| patch[axis] > volume[axis]) {
            return Err(SamplingError::PatchTooLarge { patch, volume });
        }
        match self {
            Sampler::Label(sampler) => sampler.start(field, rng),
            Sampler::Uniform(_) => Ok(uniform::start(volume, patch, rng)),
        }
    }
}

/// How many voxels along each axis can be the centre of a patch; 0 where it does not fit.
pub fn valid_centres(volume: [usize; 3], patch: [usize; 3]) -> [usize; 3] {
    std::array::from_fn(|axis| (volume[axis] + 1).saturating_sub(patch[axis]))
}
