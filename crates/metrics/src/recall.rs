//! The share of true voxels that are predicted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::overlap::Overlap;
use super::{Empty, Regions};

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
pub struct Recall {
    /// The score where a class is not in the truth.
    #[serde(default)]
    pub empty: Empty,
    /// Named unions of labels, scored beside the labels.
    #[serde(default)]
    pub regions: Regions,
}

impl Recall {
    /// The score of one class or region.
    pub(super) fn score(&self, overlap: &Overlap) -> Option<f64> {
        self.empty.share(overlap.common, overlap.truth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needless_voxels_cost_nothing() {
        assert_eq!(Recall::default().score(&Overlap { predicted: 9, truth: 2, common: 1 }), Some(0.5));
    }

    #[test]
    fn it_is_undefined_where_the_truth_is_empty_unless_said_otherwise() {
        let overlap = Overlap { predicted: 4, truth: 0, common: 0 };
        let recall = |empty| Recall { empty, ..Recall::default() }.score(&overlap);
        assert_eq!((recall(Empty::Nan), recall(Empty::Zero)), (None, Some(0.0)));
    }
}
