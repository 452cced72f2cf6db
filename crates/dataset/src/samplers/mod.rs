//! Where patches lie: the trait, and the closed list of patch samplers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use random::Rng;
use transforms::lazy::IndexMapping;

mod centre;
mod foreground_oversample;
mod grid;
mod index;
mod label;
#[cfg(test)]
mod tests;
mod uniform;
mod weighted;
mod weights;

pub use index::{LabelIndex, LabelRuns};
pub use weights::{CumulativeRowSums, WeightIndex, check_weights, cumulative_row_sums};

pub use foreground_oversample::ForegroundOversampleSampler;
pub use grid::GridSampler;
pub use label::LabelSampler;
pub use uniform::UniformSampler;
pub use weighted::WeightedSampler;

/// How training patches are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Sampler {
    /// Chooses a label by its probability, then a voxel of that label as the patch's centre.
    Label(LabelSampler),
    /// Every place where the patch fits is equally likely.
    Uniform(UniformSampler),
    /// Takes the places of a regular grid in turn.
    Grid(GridSampler),
    /// Forces a share of each batch to lie around foreground.
    ForegroundOversample(ForegroundOversampleSampler),
    /// Draws the patch's centre in proportion to a map of weights.
    Weighted(WeightedSampler),
}

impl Sampler {
    /// The patch's shape in voxels.
    pub fn patch(&self) -> [usize; 3] {
        match self {
            Sampler::Label(sampler) => sampler.patch.0,
            Sampler::Uniform(sampler) => sampler.patch.0,
            Sampler::Grid(sampler) => sampler.patch.0,
            Sampler::ForegroundOversample(sampler) => sampler.patch.0,
            Sampler::Weighted(sampler) => sampler.patch.0,
        }
    }

    /// Its name in an experiment.
    pub fn name(&self) -> &'static str {
        match self {
            Sampler::Label(_) => "label",
            Sampler::Uniform(_) => "uniform",
            Sampler::Grid(_) => "grid",
            Sampler::ForegroundOversample(_) => "foreground_oversample",
            Sampler::Weighted(_) => "weighted",
        }
    }
}

/// A volume after a chain, as samplers see it: described without making it.
#[derive(Clone, Copy, Debug)]
pub struct SamplingContext<'a> {
    /// Where each voxel's label and weight come from.
    pub mapping: &'a IndexMapping,
    /// The label map before the chain.
    pub labels: &'a LabelIndex,
    /// The map of weights before the chain, where the sampler asks for one.
    pub weights: Option<&'a WeightIndex>,
}

/// Which of a run's patches is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchIndex {
    /// Patches of the subject that epochs hold before it, from the first epoch on.
    pub number: u64,
    /// Its place in its batch, counted from 0.
    pub index_in_batch: usize,
    /// Patches of a full batch.
    pub batch_size: usize,
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
        labels: Vec<volume::Label>,
        /// Voxels of the patch.
        patch: [usize; 3],
    },
    /// No voxel that could be a patch's centre has a weight.
    #[error(
        "no voxel with a weight above 0 lies where a patch of {patch:?} voxels can have its centre; \
         mend the map of weights, or pad with crop_or_pad"
    )]
    NoWeight {
        /// Voxels of the patch.
        patch: [usize; 3],
    },
}

impl Sampler {
    /// Draws where a patch starts, in voxels of the grid after the chain.
    ///
    /// # Errors
    /// When the patch does not fit or has no possible centre.
    pub fn sample_start(
        &self,
        context: &SamplingContext,
        patch_index: &PatchIndex,
        rng: &mut Rng,
    ) -> Result<[usize; 3], SamplingError> {
        let (patch, volume) = (self.patch(), context.mapping.shape);
        if (0..3).any(|axis| patch[axis] > volume[axis]) {
            return Err(SamplingError::PatchTooLarge { patch, volume });
        }
        match self {
            Sampler::Label(sampler) => sampler.sample_start(context, rng),
            Sampler::Uniform(_) => Ok(uniform::start(volume, patch, rng)),
            Sampler::Grid(sampler) => Ok(sampler.start_of(volume, patch_index.number)),
            Sampler::ForegroundOversample(sampler) => Ok(sampler.sample_start(context, patch_index, rng)),
            Sampler::Weighted(sampler) => sampler.sample_start(context, rng),
        }
    }
}

/// How many voxels along each axis can be the centre of a patch; 0 where it does not fit.
pub fn valid_centres(volume: [usize; 3], patch: [usize; 3]) -> [usize; 3] {
    std::array::from_fn(|axis| (volume[axis] + 1).saturating_sub(patch[axis]))
}
