//! Recall.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::class_scorer::ClassScorer;
use crate::comparison::{LabelComparison, OverlapCounts};
use crate::{EmptyScore, Regions};
use volume::Label;

/// Recall (sensitivity) `|P ∩ T| / |T|` per class and case: the fraction of true voxels that are predicted.
///
/// Equal to MedPy's `recall` and MONAI's confusion matrix metric of that name. For an empty truth, MONAI returns NaN
/// (`empty: nan`) and MedPy 0 (`empty: zero`; NaN with NumPy 2.4).
///
/// ```yaml
/// - recall: {}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RecallMetric")]
pub struct Recall {
    /// The score of a class that is not in the truth: `nan`, `one` or `zero`. Default: `nan`.
    #[serde(default)]
    pub empty: EmptyScore,
    /// Named unions of labels to score in addition to the labels, such as `{ whole_liver: [1, 2] }`. Default: none.
    #[serde(default)]
    pub regions: Regions,
}

impl Recall {
    fn ratio(&self, overlap: &OverlapCounts) -> Option<f64> {
        self.empty.ratio(overlap.common, overlap.truth)
    }
}

impl ClassScorer for Recall {
    fn regions(&self) -> &Regions {
        &self.regions
    }

    fn title() -> &'static str {
        "recall"
    }

    fn score_class(&self, comparison: &mut LabelComparison, class: &[Label]) -> Option<f64> {
        self.ratio(&comparison.overlap(class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn false_positives_do_not_matter() {
        assert_eq!(Recall::default().ratio(&OverlapCounts { predicted: 9, truth: 2, common: 1 }), Some(0.5));
    }

    #[test]
    fn an_empty_truth_is_undefined_by_default() {
        let overlap = OverlapCounts { predicted: 4, truth: 0, common: 0 };
        let recall = |empty| Recall { empty, ..Recall::default() }.ratio(&overlap);
        assert_eq!((recall(EmptyScore::Nan), recall(EmptyScore::Zero)), (None, Some(0.0)));
    }
}
