//! The share of predicted voxels that are true.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::class_scorer::ClassScorer;
use crate::comparison::{Comparison, Overlap};
use crate::{EmptyScore, Regions};
use volume::Label;

/// `|P ∩ T| / |P|` per class and case: the share of predicted voxels that are true.
///
/// It is MedPy's `precision` and MONAI's confusion matrix metric of that name; where nothing is predicted, MONAI gives not
/// a number (`empty: nan`) and MedPy 0 (`empty: zero`; with NumPy 2.4 not a number).
///
/// ```yaml
/// - precision: {}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PrecisionMetric")]
pub struct Precision {
    /// The score where a class is not in the prediction.
    #[serde(default)]
    pub empty: EmptyScore,
    /// Named unions of labels to score in addition to the labels, such as `{ whole_liver: [1, 2] }`. Default: none.
    #[serde(default)]
    pub regions: Regions,
}

impl Precision {
    fn ratio(&self, overlap: &Overlap) -> Option<f64> {
        self.empty.ratio(overlap.common, overlap.predicted)
    }
}

impl ClassScorer for Precision {
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
    fn missed_voxels_cost_nothing() {
        assert_eq!(Precision::default().ratio(&Overlap { predicted: 2, truth: 9, common: 1 }), Some(0.5));
    }

    #[test]
    fn it_is_undefined_where_nothing_is_predicted_by_default() {
        let overlap = Overlap { predicted: 0, truth: 4, common: 0 };
        let precision = |empty| Precision { empty, ..Precision::default() }.ratio(&overlap);
        assert_eq!((precision(EmptyScore::Nan), precision(EmptyScore::Zero)), (None, Some(0.0)));
    }
}
