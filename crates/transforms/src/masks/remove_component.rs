//! Removal of random connected components.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{MaskParams, MaskStep, Masks, OTHER_STEP, sample_masks};
use crate::KeyProblem;
use random::Rng;
use values::{PositiveFraction, Probability};
use volume::connected_components::{Connectivity, connected_components_by};

/// Removes a random connected component from the mask of a label, like nnU-Net's
/// RemoveRandomConnectedComponentFromOneHotEncodingTransform. Voxels are connected by faces, edges and corners.
///
/// ```yaml
/// - remove_component: { probability: 0.2, label_probability: 0.5, max_fraction: 0.15 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveComponent {
    /// Probability that the step is applied to a patch, for example 0.2, that of nnU-Net.
    pub probability: Probability,
    /// Probability that a component of a label is removed where the step is applied, for example 0.5, that of nnU-Net; default 1.
    #[serde(default = "certain")]
    pub label_probability: Probability,
    /// Only components that cover less than this fraction of the patch are removed, for example 0.15, that of nnU-Net; default 0.15.
    #[serde(default = "default_max_fraction")]
    pub max_fraction: PositiveFraction,
    /// Probability that the removed voxels get another label instead of none, for example 0.25; nnU-Net uses 0, the default.
    #[serde(default = "never")]
    pub relabel_probability: Probability,
}

/// The removal of a component from a mask. Which components there are is known only when the step is applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Removal {
    /// The index of the mask.
    pub mask: usize,
    /// Selects one of the components: in `[0, 1)`, from the first to the last in the order of their first voxels.
    pub component: f64,
    /// The index of the mask that gets the voxels, if one does.
    pub into: Option<usize>,
}

pub(super) fn certain() -> Probability {
    Probability::new(1.0).expect("1 is a probability")
}

fn never() -> Probability {
    Probability::new(0.0).expect("0 is a probability")
}

fn default_max_fraction() -> PositiveFraction {
    PositiveFraction::new(0.15).expect("0.15 is a fraction")
}

impl MaskStep for RemoveComponent {
    fn validate(&self) -> Vec<KeyProblem> {
        Vec::new()
    }

    fn sample_params(&self, rng: &mut Rng, num_masks: usize) -> MaskParams {
        let masks = sample_masks(rng, num_masks, self.probability.get(), self.label_probability.get());
        let sample = |mask: usize| {
            let component = rng.unit();
            let is_relabelled = rng.bernoulli(self.relabel_probability.get()) && num_masks > 1;
            let into = is_relabelled.then(|| {
                let other = rng.below(num_masks as u64 - 1) as usize;
                other + usize::from(other >= mask)
            });
            Removal { mask, component, into }
        };
        MaskParams::RemoveComponent(masks.into_iter().map(sample).collect())
    }

    fn apply(&self, params: &MaskParams, masks: &mut Masks) {
        let MaskParams::RemoveComponent(removals) = params else { panic!("{OTHER_STEP}") };
        let (shape, max_voxels) = (masks.shape, masks.num_voxels() as f64 * self.max_fraction.get());
        for Removal { mask, component, into } in removals {
            let values = masks.mask(*mask);
            let components = connected_components_by(Connectivity::Corners, shape, |voxel| values[voxel] != 0.0);
            let sizes = components.sizes.iter().enumerate();
            let small: Vec<usize> = sizes.filter(|(_, size)| (**size as f64) < max_voxels).map(|(id, _)| id).collect();
            let Some(id) = small.get((component * small.len() as f64) as usize) else { continue };
            let is_removed = |voxel: usize| components.ids[voxel] as usize == id + 1;
            for (index, new) in [(Some(*mask), 0.0), (*into, 1.0)] {
                let Some(index) = index else { continue };
                let values = masks.mask(index).iter_mut().enumerate();
                values.filter(|(voxel, _)| is_removed(*voxel)).for_each(|(_, value)| *value = new);
            }
        }
    }
}
