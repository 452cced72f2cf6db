//! Intersection over union.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::overlap::Overlap;
use super::{Empty, Regions};

/// `|P ∩ T| / |P ∪ T|` per class and case; also called intersection over union.
///
/// It is MONAI's `MeanIoU` and MedPy's `jc`, of which both give 1 where both masks are empty (`empty: one`; MONAI with
/// `ignore_empty=False`). A class that is in one of them only scores 0; MONAI's default leaves out every case whose truth
/// is empty.
///
/// ```yaml
/// - jaccard: {}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jaccard {
    /// The score where a class is in neither the prediction nor the truth.
    #[serde(default)]
    pub empty: Empty,
    /// Named unions of labels, scored beside the labels.
    #[serde(default)]
    pub regions: Regions,
}

impl Jaccard {
    /// The score of one class or region.
    pub(super) fn score(&self, overlap: &Overlap) -> Option<f64> {
        self.empty.share(overlap.common, overlap.union())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_union_is_a_half() {
        assert_eq!(Jaccard::default().score(&Overlap { predicted: 3, truth: 3, common: 2 }), Some(0.5));
    }

    #[test]
    fn a_class_in_neither_is_undefined_unless_said_otherwise() {
        let jaccard = |empty| Jaccard { empty, ..Jaccard::default() }.score(&Overlap::default());
        assert_eq!((jaccard(Empty::Nan), jaccard(Empty::One)), (None, Some(1.0)));
    }
}
