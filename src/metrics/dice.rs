//! Dice overlap.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Regions;
use super::overlap::Overlap;

/// `2 |P ∩ T| / (|P| + |T|)` per class and case, on the grid of the image file; background is in no mean.
///
/// ```yaml
/// - dice: { empty: nan }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dice {
    /// The score where a class is in neither the prediction nor the truth.
    #[serde(default)]
    pub empty: Empty,
    /// Whether a summary also has `dice_global_<label>`: the Dice of the voxels of all cases counted together.
    #[serde(default)]
    pub global: bool,
    /// Named unions of labels, scored beside the labels.
    #[serde(default)]
    pub regions: Regions,
}

/// The score where a class is in neither the prediction nor the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Empty {
    /// Not a number, left out of means (nnU-Net).
    #[default]
    Nan,
    /// 1 (LiTS).
    One,
    /// 0.
    Zero,
}

impl Dice {
    /// The score of one class or region.
    pub(super) fn score(&self, overlap: &Overlap) -> Option<f64> {
        let sum = overlap.predicted + overlap.truth;
        match (sum, self.empty) {
            (0, Empty::Nan) => None,
            (0, Empty::One) => Some(1.0),
            (0, Empty::Zero) => Some(0.0),
            _ => Some(2.0 * overlap.common as f64 / sum as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_in_neither_is_undefined_unless_said_otherwise() {
        let dice = |empty| Dice { empty, ..Dice::default() }.score(&Overlap::default());
        assert_eq!((dice(Empty::Nan), dice(Empty::One), dice(Empty::Zero)), (None, Some(1.0), Some(0.0)));
    }

    #[test]
    fn a_class_that_was_only_predicted_scores_zero() {
        let overlap = Overlap { predicted: 3, truth: 0, common: 0 };
        assert_eq!(Dice::default().score(&overlap), Some(0.0));
    }
}
