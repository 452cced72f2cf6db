//! Normalised surface Dice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Regions;
use crate::class_scorer::ClassScorer;
use crate::comparison::{Comparison, Surfel};
use values::NonNegative;
use volume::Label;

/// The share of both surfaces of a class that lies within a tolerance of the other: normalised surface Dice.
///
/// It is `compute_surface_dice_at_tolerance` of DeepMind's surface-distance 0.1, which weights pieces of surface by their
/// area, and also MONAI's with `use_subvoxels=True`. It is 0 where one of the masks is empty and undefined where both are.
///
/// ```yaml
/// - nsd: { tolerance_mm: 2.0 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NsdMetric")]
pub struct Nsd {
    /// How far apart surfaces may be, in mm, and still agree: what experts differ by among themselves.
    pub tolerance_mm: NonNegative,
    /// Named unions of labels to score in addition to the labels, such as `{ whole_liver: [1, 2] }`. Default: none.
    #[serde(default)]
    pub regions: Regions,
}

impl ClassScorer for Nsd {
    fn regions(&self) -> &Regions {
        &self.regions
    }

    fn score_class(&self, comparison: &mut Comparison, class: &[Label]) -> Option<f64> {
        let surfels = comparison.surfels(class);
        let both = || surfels.from_prediction.iter().chain(&surfels.from_truth);
        let is_close = |surfel: &&Surfel| surfel.distance <= self.tolerance_mm.get();
        let whole: f64 = both().map(|surfel| surfel.area).sum();
        // A sum of nothing is minus zero.
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
        metric.score_class(&mut Comparison::new(&pair), &[1])
    }

    #[test]
    fn a_tolerance_forgives_what_lies_within_it() {
        let score = |tolerance| score(tolerance, [1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]);
        // Two of the four faces across lie at the same place, the others 2 mm off.
        assert_eq!([1.9, 2.0].map(score), [0.5, 1.0].map(Some));
    }

    #[test]
    fn it_is_zero_where_a_mask_is_empty_and_undefined_where_both_are() {
        assert_eq!((score(2.0, [0; 6], [1; 6]), score(2.0, [0; 6], [0; 6])), (Some(0.0), None));
    }
}
