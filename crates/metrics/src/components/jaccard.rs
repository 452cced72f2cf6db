//! Jaccard index.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::class_scorer::ClassScorer;
use crate::comparison::{LabelComparison, OverlapCounts};
use crate::{EmptyScore, Regions};
use volume::Label;

/// Jaccard index (intersection over union) `|P ∩ T| / |P ∪ T|` per class and case.
///
/// Equal to MONAI's `MeanIoU` and MedPy's `jc`; both score 1 if both masks are empty (`empty: one`; MONAI with
/// `ignore_empty=False`). A class in only one of the masks scores 0. MONAI's default excludes every case whose truth is
/// empty.
///
/// ```yaml
/// - jaccard: {}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JaccardMetric")]
pub struct Jaccard {
    /// The score of a class that is in neither the prediction nor the truth: `nan`, `one` or `zero`. Default: `nan`.
    #[serde(default)]
    pub empty: EmptyScore,
    /// Named unions of labels to score in addition to the labels, such as `{ whole_liver: [1, 2] }`. Default: none.
    #[serde(default)]
    pub regions: Regions,
}

impl Jaccard {
    fn ratio(&self, overlap: &OverlapCounts) -> Option<f64> {
        self.empty.ratio(overlap.common, overlap.union())
    }
}

impl ClassScorer for Jaccard {
    fn regions(&self) -> &Regions {
        &self.regions
    }

    fn title() -> &'static str {
        "Jaccard index"
    }

    fn score_class(&self, comparison: &mut LabelComparison, class: &[Label]) -> Option<f64> {
        self.ratio(&comparison.overlap(class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_union_is_a_half() {
        assert_eq!(Jaccard::default().ratio(&OverlapCounts { predicted: 3, truth: 3, common: 2 }), Some(0.5));
    }

    #[test]
    fn a_class_in_neither_is_undefined_by_default() {
        let jaccard = |empty| Jaccard { empty, ..Jaccard::default() }.ratio(&OverlapCounts::default());
        assert_eq!((jaccard(EmptyScore::Nan), jaccard(EmptyScore::One)), (None, Some(1.0)));
    }
}
