//! Random morphological operations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bit_rows::{BitRows, StructuringElement};
use super::{MaskParams, MaskStep, Masks, OTHER_STEP, sample_masks};
use crate::KeyProblem;
use crate::validation::require;
use random::Rng;
use values::{Probability, Range};

/// Dilates, erodes, opens or closes the mask of a label with a ball, like nnU-Net's ApplyRandomBinaryOperatorTransform. Voxels
/// that a mask gains are removed from the masks of the other labels.
///
/// ```yaml
/// - random_morphology: { probability: 0.4, label_probability: 0.5, radius: [1, 8] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomMorphology {
    /// Probability that the step is applied to a patch, for example 0.4, that of nnU-Net.
    pub probability: Probability,
    /// Probability that the mask of a label is changed where the step is applied, for example 0.5, that of nnU-Net; default 1.
    #[serde(default = "super::remove_component::certain")]
    pub label_probability: Probability,
    /// Range of the ball's radius in voxels, from 1 to 32, for example `[1, 8]`, that of nnU-Net.
    pub radius: Range,
}

/// A morphological operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Dilation.
    Dilation,
    /// Erosion.
    Erosion,
    /// Dilation and then erosion.
    Closing,
    /// Erosion and then dilation.
    Opening,
}

/// One operation on a mask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Morphology {
    /// The index of the mask.
    pub mask: usize,
    /// The operation.
    pub operation: Operation,
    /// The radius of the ball in voxels.
    pub radius: f64,
}

/// The radii that are allowed, in voxels.
const RADII: [f64; 2] = [1.0, 32.0];

impl MaskStep for RandomMorphology {
    fn validate(&self) -> Vec<KeyProblem> {
        let Range { low, high } = self.radius;
        let radius = require(low >= RADII[0] && high <= RADII[1], "radius", || {
            format!("expected a radius from {} to {} voxels, got [{low}, {high}]", RADII[0], RADII[1])
        });
        radius.into_iter().collect()
    }

    fn sample_params(&self, rng: &mut Rng, num_masks: usize) -> MaskParams {
        const OPERATIONS: [Operation; 4] =
            [Operation::Dilation, Operation::Erosion, Operation::Closing, Operation::Opening];
        let masks = sample_masks(rng, num_masks, self.probability.get(), self.label_probability.get());
        let sample = |mask| Morphology {
            mask,
            operation: OPERATIONS[rng.below(OPERATIONS.len() as u64) as usize],
            radius: rng.uniform(self.radius),
        };
        MaskParams::RandomMorphology(masks.into_iter().map(sample).collect())
    }

    fn apply(&self, params: &MaskParams, masks: &mut Masks) {
        let MaskParams::RandomMorphology(operations) = params else { panic!("{OTHER_STEP}") };
        let shape = masks.shape;
        for Morphology { mask, operation, radius } in operations {
            let before = BitRows::new(masks.mask(*mask), shape);
            let after = applied(*operation, &before, &StructuringElement::ball(*radius));
            for index in 0..masks.count() {
                let is_own = index == *mask;
                for (voxel, value) in masks.mask(index).iter_mut().enumerate() {
                    let is_inside = after.contains(voxel);
                    if is_own {
                        *value = f32::from(u8::from(is_inside));
                    } else if is_inside && !before.contains(voxel) {
                        *value = 0.0;
                    }
                }
            }
        }
    }
}

/// Returns a mask after an operation. To an erosion, all voxels outside the volume belong to the mask.
fn applied(operation: Operation, mask: &BitRows, element: &StructuringElement) -> BitRows {
    let dilate = |mask: &BitRows| mask.dilated(element);
    let erode = |mask: BitRows| mask.complement().dilated(element).complement();
    match operation {
        Operation::Dilation => dilate(mask),
        Operation::Erosion => erode(mask.clone()),
        Operation::Closing => erode(dilate(mask)),
        Operation::Opening => dilate(&erode(mask.clone())),
    }
}
