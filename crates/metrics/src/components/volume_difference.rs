//! Difference of volumes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::class_scorer::ClassScorer;
use crate::comparison::{LabelComparison, OverlapCounts};
use crate::{Better, Regions, Unit};
use volume::Label;

/// The predicted minus the true volume of a class. The best value is the one nearest to 0.
///
/// ```yaml
/// - volume_difference: { unit: relative }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "VolumeDifferenceMetric")]
pub struct VolumeDifference {
    /// The unit of the difference: `relative` to the true volume, or `ml`. Default: `relative`.
    #[serde(default)]
    pub unit: VolumeUnit,
    /// Named unions of labels to score in addition to the labels, such as `{ whole_liver: [1, 2] }`. Default: none.
    #[serde(default)]
    pub regions: Regions,
}

/// The unit of a difference of volumes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VolumeUnit {
    /// `(|P| - |T|) / |T|`, MedPy's `ravd`; undefined if the truth is empty, where MedPy raises an error.
    #[default]
    Relative,
    /// Millilitres.
    Ml,
}

impl VolumeDifference {
    fn difference(&self, overlap: &OverlapCounts, spacing: [f64; 3]) -> Option<f64> {
        let voxels = overlap.predicted as f64 - overlap.truth as f64;
        match self.unit {
            VolumeUnit::Relative => (overlap.truth > 0).then(|| voxels / overlap.truth as f64),
            VolumeUnit::Ml => Some(voxels * spacing.iter().product::<f64>() / 1000.0),
        }
    }
}

impl ClassScorer for VolumeDifference {
    fn regions(&self) -> &Regions {
        &self.regions
    }

    fn title() -> &'static str {
        "volume difference"
    }

    fn better() -> Better {
        Better::NearerToZero
    }

    fn unit(&self) -> Unit {
        match self.unit {
            VolumeUnit::Relative => Unit::Ratio,
            VolumeUnit::Ml => Unit::Millilitres,
        }
    }

    fn score_class(&self, comparison: &mut LabelComparison, class: &[Label]) -> Option<f64> {
        self.difference(&comparison.overlap(class), comparison.pair().spacing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVERLAP: OverlapCounts = OverlapCounts { predicted: 3000, truth: 4000, common: 10 };

    #[test]
    fn a_smaller_prediction_has_a_negative_difference() {
        assert_eq!(VolumeDifference::default().difference(&OVERLAP, [1.0; 3]), Some(-0.25));
    }

    #[test]
    fn a_millilitre_is_1000_cubic_millimetres() {
        let metric = VolumeDifference { unit: VolumeUnit::Ml, ..VolumeDifference::default() };
        assert_eq!(metric.difference(&OVERLAP, [0.5, 2.0, 3.0]), Some(-3.0));
    }

    #[test]
    fn the_relative_difference_to_an_empty_truth_is_undefined() {
        assert_eq!(VolumeDifference::default().difference(&OverlapCounts { truth: 0, ..OVERLAP }, [1.0; 3]), None);
    }
}
