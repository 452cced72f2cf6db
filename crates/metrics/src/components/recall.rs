//! The share of true voxels that are predicted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::class_scorer::ClassScorer;
use crate::comparison::{Comparison, Overlap};
use crate::{EmptyScore, Regions};
use volume::Label;

/// `|P ∩ T| / |T|` per class and case: the share of true voxels that are predicted; also called sensitivity.
///
/// It is MedPy's `recall` and MONAI's confusion matrix metric of that name; where the truth is empty, MONAI gives not a
/// number (`empty: nan`) and MedPy 0 (`empty: zero`; with NumPy 2.4 not a number).
///
/// ```yaml
/// - recall: {}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RecallMetric")]
pub struct Recall {
    /// The score where a class is not in the truth.
    #[serde(default)]
    pub empty: EmptyScore,
    /// Named unions of labels to score in addition to the labels, such as `{ whole_liver: [1, 2] }`. Default: none.
    #[serde(default)]
    pub regions: Regions,
}

impl Recall {
    fn ratio(&self, overlap: &Overlap) -> Option<f64> {
        self.empty.ratio(overlap.common, overlap.truth)
    }
}

impl ClassScorer for Recall {
    fn regions(&self) -> &Regions {
        &self.regions
    }

    fn score_class(&self, comparison: &mut Comparison, class: &[Label]) -> Option<f64> {
        self.ratio(&comparison.overlap(class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needless_voxels_cost_nothing() {
        assert_eq!(Recall::default().ratio(&Overlap { predicted: 9, truth: 2, common: 1 }), Some(0.5));
    }

    #[test]
    fn it_is_undefined_where_the_truth_is_empty_by_default() {
        let overlap = Overlap { predicted: 4, truth: 0, common: 0 };
        let recall = |empty| Recall { empty, ..Recall::default() }.ratio(&overlap);
        assert_eq!((recall(EmptyScore::Nan), recall(EmptyScore::Zero)), (None, Some(0.0)));
    }
}
