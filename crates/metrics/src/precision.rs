//! The share of predicted voxels that are true.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::overlap::Overlap;
use super::{Empty, Regions};

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
pub struct Precision {
    /// The score where a class is not in the prediction.
    #[serde(default)]
    pub empty: Empty,
    /// Named unions of labels, scored beside the labels.
    #[serde(default)]
    pub regions: Regions,
}

impl Precision {
    /// The score of one class or region.
    pub(super) fn score(&self, overlap: &Overlap) -> Option<f64> {
        self.empty.share(overlap.common, overlap.predicted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_voxels_cost_nothing() {
        assert_eq!(Precision::default().score(&Overlap { predicted: 2, truth: 9, common: 1 }), Some(0.5));
    }

    #[test]
    fn it_is_undefined_where_nothing_is_predicted_unless_said_otherwise() {
        let overlap = Overlap { predicted: 0, truth: 4, common: 0 };
        let precision = |empty| Precision { empty, ..Precision::default() }.score(&overlap);
        assert_eq!((precision(Empty::Nan), precision(Empty::Zero)), (None, Some(0.0)));
    }
}
