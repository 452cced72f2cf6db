//! Patches centred at voxels sampled from a weight map.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sampling::centres;
use super::sampling::region::Region;
use super::{PatchIndex, PatchSampler, SamplingContext, SamplingError, WeightIndex};
use random::Rng;
use transforms::lazy::{CandidateBoxes, IndexMapping};
use values::Shape;

/// Samples the centre of the patch with probabilities proportional to a weight map, as TorchIO's `WeightedSampler`.
///
/// ```yaml
/// weighted: { patch: [96, 96, 96], map: "weights/{subject}.nii.gz" }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightedSampler {
    /// Shape of a patch: voxels along x, y and z, such as `[96, 96, 96]`.
    pub patch: Shape,
    /// File of each subject's weight map, such as `weights/{subject}.nii.gz`; `{subject}` is replaced by the subject's name. The map has the grid of the subject's image and values of at least 0. Spatial transforms are applied to it as to labels, and weights outside the image are 0.
    pub map: String,
}

impl PatchSampler for WeightedSampler {
    fn patch(&self) -> [usize; 3] {
        self.patch.0
    }

    /// The centre is a voxel at least half a patch from the border.
    fn sample_start(
        &self,
        context: &SamplingContext,
        _patch_index: &PatchIndex,
        rng: &mut Rng,
    ) -> Result<[isize; 3], SamplingError> {
        let weights = context.weights.expect("every subject of this sampler has a weight map");
        let patch = self.patch.0;
        let region = Region::of_centres(context.mapping.shape, patch);
        let centre = sample_centre(context.mapping, weights, &region, rng).ok_or(SamplingError::NoWeight { patch })?;
        Ok(std::array::from_fn(|axis| (centre[axis] - patch[axis] / 2) as isize))
    }

    fn weight_maps(&self) -> Option<&str> {
        Some(&self.map)
    }

    fn centre_criterion(&self) -> Option<&'static str> {
        Some("weights")
    }
}

fn sample_centre(mapping: &IndexMapping, weights: &WeightIndex, region: &Region, rng: &mut Rng) -> Option<[usize; 3]> {
    if weights.total() == 0.0 {
        return None;
    }
    let sample_source = |rng: &mut Rng| weights.voxel_at_quantile(rng.unit());
    let candidates = CandidateBoxes::new(mapping);
    let centre =
        candidates.and_then(|candidates| centres::sample_from_source(mapping, &candidates, region, sample_source, rng));
    centre.or_else(|| scan(mapping, weights, region, rng))
}

/// Samples from the weights of all voxels of a region: slow, and only used if rejection sampling rejects too often.
fn scan(mapping: &IndexMapping, weights: &WeightIndex, region: &Region, rng: &mut Rng) -> Option<[usize; 3]> {
    let weight = |voxel| mapping.source(voxel).map_or(0.0, |source| weights.weight(source));
    let total: f64 = region.voxels().map(weight).sum();
    let mut left = rng.unit() * total;
    let mut last = None;
    for voxel in region.voxels().filter(|voxel| weight(*voxel) > 0.0) {
        left -= weight(voxel);
        last = Some(voxel);
        if left < 0.0 {
            break;
        }
    }
    last
}
