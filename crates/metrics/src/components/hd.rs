//! Hausdorff distance.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::class_scorer::ClassScorer;
use crate::comparison::{LabelComparison, Surfel};
use crate::{Better, Regions, Unit};
use volume::Label;

/// Hausdorff distance: the largest distance in mm from a point on the surface of the prediction or the truth to the other
/// surface.
///
/// ```yaml
/// - hd: { variant: monai }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HdMetric")]
pub struct Hd {
    /// The implementation to reproduce: `monai`, `deepmind` or `medpy`. Default: `monai`.
    #[serde(default)]
    pub variant: HdVariant,
    /// Named unions of labels to score in addition to the labels, such as `{ whole_liver: [1, 2] }`. Default: none.
    #[serde(default)]
    pub regions: Regions,
}

/// The implementation of the Hausdorff distance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HdVariant {
    /// MONAI 1.6.1, `compute_hausdorff_distance`: between voxels with a face neighbour outside the mask. Infinite if one of
    /// the masks is empty, undefined if both are.
    #[default]
    Monai,
    /// DeepMind's surface-distance 0.1, `compute_robust_hausdorff`: between the corners of voxels. Infinite if a mask is
    /// empty.
    Deepmind,
    /// MedPy 0.5.2, `hd`: between the same voxels as MONAI's. Undefined if a mask is empty, where MedPy raises an error.
    Medpy,
}

impl ClassScorer for Hd {
    fn regions(&self) -> &Regions {
        &self.regions
    }

    fn title() -> &'static str {
        "Hausdorff distance"
    }

    fn better() -> Better {
        Better::Lower
    }

    fn unit(&self) -> Unit {
        Unit::Millimetres
    }

    fn score_class(&self, comparison: &mut LabelComparison, class: &[Label]) -> Option<f64> {
        match self.variant {
            HdVariant::Monai => largest(comparison.edges(class).both()),
            HdVariant::Medpy => largest(comparison.edges(class).both()).filter(|distance| distance.is_finite()),
            HdVariant::Deepmind => {
                let surfels = comparison.surfels(class);
                let side = |side: &[Surfel]| largest(side.iter().map(|surfel| surfel.distance));
                let sides = [side(&surfels.from_prediction), side(&surfels.from_truth)];
                largest(sides.map(|side| side.unwrap_or(f64::INFINITY)))
            }
        }
    }
}

/// Returns the largest distance.
fn largest(distances: impl IntoIterator<Item = f64>) -> Option<f64> {
    distances.into_iter().reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pair;

    /// Voxels in a row, 2 mm apart.
    fn score(variant: HdVariant, prediction: [Label; 6], truth: [Label; 6]) -> Option<f64> {
        let pair = Pair { prediction: &prediction, truth: &truth, shape: [6, 1, 1], spacing: [2.0, 1.0, 1.0] };
        Hd { variant, ..Hd::default() }.score_class(&mut LabelComparison::new(&pair), &[1])
    }

    #[test]
    fn the_farthest_voxel_determines_the_distance() {
        let score = |variant| score(variant, [1, 1, 0, 0, 0, 1], [1, 1, 0, 0, 0, 0]);
        // The last voxel is between corners 5 and 6, the truth between 0 and 2.
        assert_eq!([HdVariant::Monai, HdVariant::Medpy, HdVariant::Deepmind].map(score), [Some(8.0); 3]);
    }

    #[test]
    fn variants_differ_for_empty_masks() {
        let variants = [HdVariant::Monai, HdVariant::Medpy, HdVariant::Deepmind];
        let infinite = Some(f64::INFINITY);
        assert_eq!(variants.map(|variant| score(variant, [0; 6], [1; 6])), [infinite, None, infinite]);
        assert_eq!(variants.map(|variant| score(variant, [0; 6], [0; 6])), [None, None, infinite]);
    }
}
