//! Focal loss.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::NonNegative;

/// Cross-entropy of the softmax times `(1 - p)^gamma`, averaged over voxels (Lin et al. 2017).
///
/// ```yaml
/// focal: { gamma: 2 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Focal {
    /// How strongly easy voxels are discounted; 0 is cross-entropy.
    #[serde(default = "default_gamma")]
    pub gamma: NonNegative,
    /// A factor for each class, background first; `null` weighs all alike.
    #[serde(default)]
    pub class_weights: Option<Vec<NonNegative>>,
}

fn default_gamma() -> NonNegative {
    NonNegative::new(2.0).expect("2 is not negative")
}
