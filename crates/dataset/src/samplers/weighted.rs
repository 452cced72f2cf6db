//! Patches around voxels drawn from a map of weights.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::centre::{self, Valid};
use super::{SamplingContext, SamplingError, WeightIndex};
use random::Rng;
use transforms::lazy::{CandidateBoxes, IndexMapping};
use values::Shape;

/// Draws the patch's centre in proportion to a map of weights, as TorchIO's WeightedSampler.
///
/// ```yaml
/// weighted: { patch: [96, 96, 96], map: "weights/{subject}.nii.gz" }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightedSampler {
    /// Voxels along x, y and z.
    pub patch: Shape,
    /// The file of each subject's map, on the grid of its image; `{subject}` stands for the subject's name. Weights are at least 0; through the chain they take the way of the labels, and outside of the image they are 0.
    pub map: String,
}

impl WeightedSampler {
    /// The file of a subject's map.
    pub fn path(&self, subject: &str) -> PathBuf {
        self.map.replace("{subject}", subject).into()
    }

    /// Draws where a patch starts: its centre is a voxel at least half a patch from the border.
    pub(super) fn sample_start(&self, context: &SamplingContext, rng: &mut Rng) -> Result<[usize; 3], SamplingError> {
        let weights = context.weights.expect("a subject has weights where the sampler asks for them");
        let patch = self.patch.0;
        let valid = Valid::new(context.mapping.shape, patch);
        let centre = draw_centre(context.mapping, weights, &valid, rng).ok_or(SamplingError::NoWeight { patch })?;
        Ok(std::array::from_fn(|axis| centre[axis] - patch[axis] / 2))
    }
}

fn draw_centre(mapping: &IndexMapping, weights: &WeightIndex, valid: &Valid, rng: &mut Rng) -> Option<[usize; 3]> {
    if weights.total() == 0.0 {
        return None;
    }
    let source = |rng: &mut Rng| weights.at_share(rng.unit());
    let candidates = CandidateBoxes::new(mapping);
    let drawn = candidates.and_then(|candidates| centre::draw_from_source(mapping, &candidates, valid, source, rng));
    drawn.or_else(|| scan(mapping, weights, valid, rng))
}

/// Looks at every valid voxel: slow, exact, and only where drawing misses too often.
fn scan(mapping: &IndexMapping, weights: &WeightIndex, valid: &Valid, rng: &mut Rng) -> Option<[usize; 3]> {
    let weight = |voxel| mapping.source(voxel).map_or(0.0, |source| weights.weight(source));
    let total: f64 = valid.voxels().map(weight).sum();
    let mut left = rng.unit() * total;
    let mut last = None;
    for voxel in valid.voxels().filter(|voxel| weight(*voxel) > 0.0) {
        left -= weight(voxel);
        last = Some(voxel);
        if left < 0.0 {
            break;
        }
    }
    last
}
