//! Average symmetric surface distance.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::class_scorer::ClassScorer;
use crate::comparison::LabelComparison;
use crate::{Better, Regions, Unit};
use volume::Label;

/// Average symmetric surface distance: the mean distance in mm from the surface voxels of both masks of a class to the other
/// surface.
///
/// ```yaml
/// - assd: { variant: monai }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AssdMetric")]
pub struct Assd {
    /// The implementation to reproduce: `monai` or `medpy`; they differ for empty masks. Default: `monai`.
    #[serde(default)]
    pub variant: AssdVariant,
    /// Named unions of labels to score in addition to the labels, such as `{ whole_liver: [1, 2] }`. Default: none.
    #[serde(default)]
    pub regions: Regions,
}

/// The implementation of the average distance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssdVariant {
    /// MONAI 1.6.1, `compute_average_surface_distance(symmetric=True)`: infinite if one of the masks is
    /// empty, undefined if both are.
    #[default]
    Monai,
    /// MedPy 0.5.2, `assd`: undefined if a mask is empty, where MedPy raises an error.
    Medpy,
}

impl ClassScorer for Assd {
    fn regions(&self) -> &Regions {
        &self.regions
    }

    fn title() -> &'static str {
        "ASSD"
    }

    fn better() -> Better {
        Better::Lower
    }

    fn unit(&self) -> Unit {
        Unit::Millimetres
    }

    fn score_class(&self, comparison: &mut LabelComparison, class: &[Label]) -> Option<f64> {
        let edges = comparison.edges(class);
        let count = edges.from_prediction.len() + edges.from_truth.len();
        let mean = (count > 0).then(|| edges.both().sum::<f64>() / count as f64);
        match self.variant {
            AssdVariant::Monai => mean,
            AssdVariant::Medpy => mean.filter(|mean| mean.is_finite()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pair;

    /// Voxels in a row, 3 mm apart.
    fn score(variant: AssdVariant, prediction: [Label; 6], truth: [Label; 6]) -> Option<f64> {
        let pair = Pair { prediction: &prediction, truth: &truth, shape: [6, 1, 1], spacing: [3.0, 1.0, 1.0] };
        Assd { variant, ..Assd::default() }.score_class(&mut LabelComparison::new(&pair), &[1])
    }

    #[test]
    fn every_surface_voxel_counts_once() {
        // Predicted voxels are 0 and 6 mm off, the true one 0.
        assert_eq!(score(AssdVariant::Monai, [1, 0, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]), Some(2.0));
    }

    #[test]
    fn variants_differ_for_empty_masks() {
        let variants = [AssdVariant::Monai, AssdVariant::Medpy];
        assert_eq!(variants.map(|variant| score(variant, [0; 6], [1; 6])), [Some(f64::INFINITY), None]);
        assert_eq!(variants.map(|variant| score(variant, [0; 6], [0; 6])), [None, None]);
    }
}
