//! Dice coefficient.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::class_scorer::ClassScorer;
use crate::comparison::{LabelComparison, OverlapCounts};
use crate::{EmptyScore, Regions};
use volume::Label;

/// Dice coefficient `2 |P ∩ T| / (|P| + |T|)` per class and case, on the grid of the image file. Means exclude the
/// background.
///
/// A class that is only predicted, or only true, scores 0. If it is in neither map, nnU-Net excludes the case (`empty: nan`),
/// LiTS and MONAI with `ignore_empty=False` score 1 (`empty: one`), and MedPy 0 (`empty: zero`; NaN with NumPy 2.4). MONAI's
/// default excludes every case whose truth is empty.
///
/// ```yaml
/// - dice: { empty: nan }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DiceMetric")]
pub struct Dice {
    /// The score of a class that is in neither the prediction nor the truth: `nan`, `one` or `zero`. Default: `nan`.
    #[serde(default)]
    pub empty: EmptyScore,
    /// If true, a summary also has `dice_global_<label>`: the Dice of the voxels of all cases together. Default: false.
    #[serde(default)]
    pub global: bool,
    /// Named unions of labels to score in addition to the labels, such as `{ whole_liver: [1, 2] }`. Default: none.
    #[serde(default)]
    pub regions: Regions,
}

impl Dice {
    fn ratio(&self, overlap: &OverlapCounts) -> Option<f64> {
        self.empty.ratio(2 * overlap.common, overlap.predicted + overlap.truth)
    }
}

impl ClassScorer for Dice {
    fn regions(&self) -> &Regions {
        &self.regions
    }

    fn title() -> &'static str {
        "Dice"
    }

    fn score_class(&self, comparison: &mut LabelComparison, class: &[Label]) -> Option<f64> {
        self.ratio(&comparison.overlap(class))
    }

    fn is_global(&self) -> bool {
        self.global
    }

    fn score_overlap(&self, overlap: &OverlapCounts) -> Option<f64> {
        self.ratio(overlap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_in_neither_is_undefined_by_default() {
        let dice = |empty| Dice { empty, ..Dice::default() }.ratio(&OverlapCounts::default());
        assert_eq!(
            (dice(EmptyScore::Nan), dice(EmptyScore::One), dice(EmptyScore::Zero)),
            (None, Some(1.0), Some(0.0))
        );
    }

    #[test]
    fn a_class_that_was_only_predicted_scores_zero() {
        let overlap = OverlapCounts { predicted: 3, truth: 0, common: 0 };
        assert_eq!(Dice::default().ratio(&overlap), Some(0.0));
    }
}
