//! Dice overlap.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Regions;

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
