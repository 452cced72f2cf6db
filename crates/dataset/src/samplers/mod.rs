//! Patch samplers: which patches of the transformed volumes training sees.
//!
//! A sampler is one file: a struct whose fields are its keys, and its [`PatchSampler`]. It samples in the volume after
//! the chain without computing that volume: the label and the weight of a voxel are looked up through the chain's index
//! mapping. The folder [`sampling`] has the indices and methods that samplers share.

use random::Rng;
use transforms::lazy::IndexMapping;
use values::Diagnostic;
use volume::Label;

mod error;
mod foreground;
mod foreground_oversample;
mod grid;
mod label;
pub mod sampling;
#[cfg(test)]
mod tests;
mod uniform;
mod weighted;

pub use error::SamplingError;
pub use foreground::Foreground;
pub use foreground_oversample::{Border, ForegroundOversampleSampler};
pub use grid::GridSampler;
pub use label::LabelSampler;
pub use sampling::{CumulativeRowSums, LabelIndex, LabelRuns, WeightIndex, check_weights, cumulative_row_sums};
pub use uniform::UniformSampler;
pub use weighted::WeightedSampler;

/// Everything that the program asks of a patch sampler.
pub trait PatchSampler {
    /// Returns the shape of a patch in voxels.
    fn patch(&self) -> [usize; 3];

    /// Samples where a patch starts, in voxels of the grid after the chain; the patch fits into it, unless the sampler
    /// [pads](Self::pads).
    ///
    /// # Errors
    /// When the volume has no such patch.
    fn sample_start(
        &self,
        context: &SamplingContext,
        patch_index: &PatchIndex,
        rng: &mut Rng,
    ) -> Result<[isize; 3], SamplingError>;

    /// Returns whether patches may extend past the volume, which may be smaller than a patch.
    fn pads(&self) -> bool {
        false
    }

    /// Returns whether the sampler counts the patches of each subject, so that epochs must be passes over the subjects.
    fn counts_patches(&self) -> bool {
        false
    }

    /// Returns problems and warnings about the keys together, with batches of this size.
    fn check(&self, _batch_size: usize) -> Vec<Diagnostic> {
        Vec::new()
    }

    /// Returns the labels that the sampler chooses from, and the key of the map that has them as keys.
    fn chosen_labels(&self) -> Option<(&'static str, Vec<Label>)> {
        None
    }

    /// Returns the pattern of the files with the weights of subjects' voxels, for a sampler with such files; its key is `map`.
    fn weight_maps(&self) -> Option<&str> {
        None
    }

    /// Returns the criterion by which patches are centred, for a sampler that never centres one less than half a patch
    /// from the border.
    fn centre_criterion(&self) -> Option<&'static str> {
        None
    }

    /// Returns whether a label map has voxels on which a patch can be centred; `has_label` returns whether it has a label
    /// above 0.
    fn has_centres(&self, _has_label: &dyn Fn(Label) -> bool, _has_foreground: bool) -> bool {
        true
    }
}

values::registry! {
    /// How training patches are chosen.
    pub enum Sampler: PatchSampler {
        /// Chooses a label by the given probabilities, then a voxel with that label as the centre of the patch.
        #[serde(rename = "label")]
        label::LabelSampler,
        /// Every position at which the patch fits into the volume is equally likely.
        #[serde(rename = "uniform")]
        uniform::UniformSampler,
        /// Takes the patches of a regular grid in order.
        #[serde(rename = "grid")]
        grid::GridSampler,
        /// Guarantees that a fraction of each batch contains foreground.
        #[serde(rename = "foreground_oversample")]
        foreground_oversample::ForegroundOversampleSampler,
        /// Samples the centre of the patch with probabilities proportional to a weight map.
        #[serde(rename = "weighted")]
        weighted::WeightedSampler,
    }
}

impl Sampler {
    /// Returns the shape of a patch in voxels.
    pub fn patch(&self) -> [usize; 3] {
        self.component().patch()
    }

    /// Samples where the block that is cut for a patch starts, in voxels of the grid after the chain; the patch is its
    /// centre. A block that is larger than the patch may extend past the volume.
    ///
    /// # Errors
    /// When the patch does not fit or the volume has no such patch.
    pub fn sample_start(
        &self,
        context: &SamplingContext,
        patch_index: &PatchIndex,
        rng: &mut Rng,
    ) -> Result<[isize; 3], SamplingError> {
        let (patch, volume) = (self.patch(), context.mapping.shape);
        if !self.component().pads() && (0..3).any(|axis| patch[axis] > volume[axis]) {
            return Err(SamplingError::PatchTooLarge { patch, volume });
        }
        let start = self.component().sample_start(context, patch_index, rng)?;
        Ok(std::array::from_fn(|axis| start[axis] - (patch_index.margin[axis] / 2) as isize))
    }
}

/// A volume after a chain, described without computing it.
#[derive(Clone, Copy, Debug)]
pub struct SamplingContext<'a> {
    /// Where each voxel's label and weight come from.
    pub mapping: &'a IndexMapping,
    /// The label map before the chain.
    pub labels: &'a LabelIndex,
    /// The weight map before the chain, if the sampler has one.
    pub weights: Option<&'a WeightIndex>,
    /// What counts as foreground.
    pub foreground: &'a Foreground,
}

/// The indices of a patch, and how much more than the patch is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchIndex {
    /// Index among the patches of its subject since the first epoch, from 0.
    pub number: u64,
    /// Index in its batch, from 0.
    pub index_in_batch: usize,
    /// Patches of a full batch.
    pub batch_size: usize,
    /// Voxels along x, y and z that are cut in addition to the patch, on both sides together.
    pub margin: [usize; 3],
}
