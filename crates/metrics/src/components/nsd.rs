//! Normalized surface Dice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Regions;
use crate::class_scorer::ClassScorer;
use crate::comparison::{LabelComparison, Surfel};
use values::NonNegative;
use volume::Label;

/// Normalized surface Dice: the fraction of both surfaces of a class that is within a tolerance of the other surface.
///
/// Equal to `compute_surface_dice_at_tolerance` of DeepMind's surface-distance 0.1, which weights surface elements by area,
/// and to MONAI's with `use_subvoxels=True`. 0 if one of the masks is empty, undefined if both are.
///
/// ```yaml
/// - nsd: { tolerance_mm: 2.0 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NsdMetric")]
pub struct Nsd {
    /// The tolerance in mm, such as the typical distance between the annotations of two experts: `2.0`. Required.
    pub tolerance_mm: NonNegative,
    /// Named unions of labels to score in addition to the labels, such as `{ whole_liver: [1, 2] }`. Default: none.
    #[serde(default)]
    pub regions: Regions,
}

impl ClassScorer for Nsd {
    fn regions(&self) -> &Regions {
        &self.regions
    }

    fn title() -> &'static str {
        "NSD"
    }

    fn score_class(&self, comparison: &mut LabelComparison, class: &[Label]) -> Option<f64> {
        let surfels = comparison.surfels(class);
        let both = || surfels.from_prediction.iter().chain(&surfels.from_truth);
        let is_close = |surfel: &&Surfel| surfel.distance <= self.tolerance_mm.get();
        let whole: f64 = both().map(|surfel| surfel.area).sum();
        // An empty sum is -0.
        let close: f64 = both().filter(is_close).map(|surfel| surfel.area).sum::<f64>() + 0.0;
        (whole > 0.0).then_some(close / whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pair;

    fn score(tolerance_mm: f64, prediction: [Label; 6], truth: [Label; 6]) -> Option<f64> {
        let pair = Pair { prediction: &prediction, truth: &truth, shape: [6, 1, 1], spacing: [2.0, 1.0, 1.0] };
        let metric = Nsd { tolerance_mm: NonNegative::new(tolerance_mm).unwrap(), regions: Regions::new() };
        metric.score_class(&mut LabelComparison::new(&pair), &[1])
    }

    #[test]
    fn distances_up_to_the_tolerance_count_as_agreement() {
        let score = |tolerance| score(tolerance, [1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]);
        // Two of the four faces across coincide, the others are 2 mm apart.
        assert_eq!([1.9, 2.0].map(score), [0.5, 1.0].map(Some));
    }

    #[test]
    fn one_empty_mask_scores_zero_and_two_are_undefined() {
        assert_eq!((score(2.0, [0; 6], [1; 6]), score(2.0, [0; 6], [0; 6])), (Some(0.0), None));
    }
}
