//! Dice overlap.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::overlap::Overlap;
use super::{Empty, Regions};

/// `2 |P ∩ T| / (|P| + |T|)` per class and case, on the grid of the image file; background is in no mean.
///
/// A class that is in one of the two only scores 0. Where it is in neither, nnU-Net leaves the case out (`empty: nan`),
/// LiTS, and MONAI with `ignore_empty=False`, give 1 (`empty: one`), and MedPy 0 (`empty: zero`; with NumPy 2.4 not a
/// number). MONAI's default leaves out every case whose truth is empty.
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

impl Dice {
    /// The score of one class or region.
    pub(super) fn score(&self, overlap: &Overlap) -> Option<f64> {
        self.empty.share(2 * overlap.common, overlap.predicted + overlap.truth)
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
