//! The score of an empty class.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The score of a ratio whose denominator is 0, because the class is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EmptyScore {
    /// Not a number; excluded from means (nnU-Net).
    #[default]
    Nan,
    /// 1 (LiTS).
    One,
    /// 0.
    Zero,
}

impl EmptyScore {
    /// Returns `numerator / denominator`, or the score of an empty class where the denominator is 0.
    pub(crate) fn ratio(self, numerator: u64, denominator: u64) -> Option<f64> {
        match (denominator, self) {
            (0, Self::Nan) => None,
            (0, Self::One) => Some(1.0),
            (0, Self::Zero) => Some(0.0),
            _ => Some(numerator as f64 / denominator as f64),
        }
    }
}
