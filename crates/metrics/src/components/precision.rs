//! Precision.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::class_scorer::ClassScorer;
use crate::comparison::{LabelComparison, OverlapCounts};
use crate::{EmptyScore, Regions};
use volume::Label;

/// Precision `|P ∩ T| / |P|` per class and case: the fraction of predicted voxels that are true.
///
/// Equal to MedPy's `precision` and MONAI's confusion matrix metric of that name. For an empty prediction, MONAI returns NaN
/// (`empty: nan`) and MedPy 0 (`empty: zero`; NaN with NumPy 2.4).
///
/// ```yaml
/// - precision: {}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PrecisionMetric")]
pub struct Precision {
    /// The score of a class that is not in the prediction: `nan`, `one` or `zero`. Default: `nan`.
    #[serde(default)]
    pub empty: EmptyScore,
    /// Named unions of labels to score in addition to the labels, such as `{ whole_liver: [1, 2] }`. Default: none.
    #[serde(default)]
    pub regions: Regions,
}

impl Precision {
    fn ratio(&self, overlap: &OverlapCounts) -> Option<f64> {
        self.empty.ratio(overlap.common, overlap.predicted)
    }
}

impl ClassScorer for Precision {
    fn regions(&self) -> &Regions {
        &self.regions
    }

    fn title() -> &'static str {
        "precision"
    }

    fn score_class(&self, comparison: &mut LabelComparison, class: &[Label]) -> Option<f64> {
        self.ratio(&comparison.overlap(class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn false_negatives_do_not_matter() {
        assert_eq!(Precision::default().ratio(&OverlapCounts { predicted: 2, truth: 9, common: 1 }), Some(0.5));
    }

    #[test]
    fn an_empty_prediction_is_undefined_by_default() {
        let overlap = OverlapCounts { predicted: 0, truth: 4, common: 0 };
        let precision = |empty| Precision { empty, ..Precision::default() }.ratio(&overlap);
        assert_eq!((precision(EmptyScore::Nan), precision(EmptyScore::Zero)), (None, Some(0.0)));
    }
}
