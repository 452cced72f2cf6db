//! What a share of nothing is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The score where there is nothing to take a share of.
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

impl Empty {
    /// `part / whole`, or what stands for it where the whole is 0.
    pub(super) fn share(self, part: u64, whole: u64) -> Option<f64> {
        match (whole, self) {
            (0, Empty::Nan) => None,
            (0, Empty::One) => Some(1.0),
            (0, Empty::Zero) => Some(0.0),
            _ => Some(part as f64 / whole as f64),
        }
    }
}
