//! Random changes of masks: the channels of a label map that is input of a network, one for each label.
//!
//! They make a network robust against errors in the predictions of another one. To add a step: its file, with [`MaskStep`]
//! implemented, its line in the registry below, and the variant of its parameters.

use serde::{Deserialize, Serialize};

use crate::KeyProblem;
use random::Rng;

mod bit_rows;
mod random_morphology;
mod remove_component;

pub use random_morphology::{Morphology, Operation, RandomMorphology};
pub use remove_component::{Removal, RemoveComponent};

/// The masks of the labels of a block of voxels, `[label, x, y, z]`: 1 where a voxel has the label and 0 elsewhere.
#[derive(Debug)]
pub struct Masks<'a> {
    /// The values.
    pub values: &'a mut [f32],
    /// Voxels along x, y and z.
    pub shape: [usize; 3],
}

impl Masks<'_> {
    fn num_voxels(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns the mask of a label by its index.
    fn mask(&mut self, index: usize) -> &mut [f32] {
        let voxels = self.num_voxels();
        &mut self.values[index * voxels..][..voxels]
    }

    /// Returns the number of masks.
    fn count(&self) -> usize {
        self.values.len() / self.num_voxels()
    }
}

/// A step that changes masks. Sampling the parameters has all the randomness.
pub trait MaskStep {
    /// Returns the problems of the keys.
    fn validate(&self) -> Vec<KeyProblem>;

    /// Samples the parameters for this many masks.
    fn sample_params(&self, rng: &mut Rng, num_masks: usize) -> MaskParams;

    /// Changes the masks.
    ///
    /// # Panics
    /// When the parameters are those of another step or of more masks.
    fn apply(&self, params: &MaskParams, masks: &mut Masks);
}

values::registry! {
    /// A random step on the masks of a label map.
    pub enum MaskTransform: MaskStep {
        /// Dilates, erodes, opens or closes masks with a ball.
        random_morphology::RandomMorphology,
        /// Removes a connected component.
        remove_component::RemoveComponent,
    }
}

/// The sampled parameters of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskParams {
    /// The operations of `random_morphology`, in their order.
    RandomMorphology(Vec<Morphology>),
    /// The masks from which `remove_component` removes a component, in their order.
    RemoveComponent(Vec<Removal>),
}

/// The error message for the parameters of another step.
const OTHER_STEP: &str = "the parameters are those of the step";

/// Samples which masks a step changes, in random order: none if the step is skipped.
fn sample_masks(rng: &mut Rng, num_masks: usize, probability: f64, label_probability: f64) -> Vec<usize> {
    if !rng.bernoulli(probability) {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..num_masks).collect();
    rng.shuffle(&mut order);
    order.retain(|_| rng.bernoulli(label_probability));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use random::{Purpose, Seed};

    #[test]
    fn masks_are_chosen_with_their_probability_in_random_order() {
        let mut rng = Seed(1).stream(Purpose::Augment, 0, "", 0);
        let (mut skipped, mut counts, mut first) = (0, [0; 3], [0; 3]);
        for _ in 0..4000 {
            let masks = sample_masks(&mut rng, 3, 0.4, 0.5);
            skipped += usize::from(masks.is_empty());
            masks.iter().for_each(|mask| counts[*mask] += 1);
            if let [mask, _, _] = masks[..] {
                first[mask] += 1;
            }
        }
        // 0.6 + 0.4 * 0.125 of the patches have no changed mask, and 0.4 * 0.125 have three.
        assert!((2470..2730).contains(&skipped), "{skipped}");
        assert!(counts.iter().all(|count| (700..900).contains(count)), "{counts:?}");
        assert!(first.iter().all(|count| (40..95).contains(count)), "{first:?}");
    }
}
