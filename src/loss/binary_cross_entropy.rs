//! Binary cross-entropy with logits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::NonNegative;

/// Binary cross-entropy of each class's sigmoid against the one-hot target, averaged over voxels and classes; equal to PyTorch's BCEWithLogitsLoss.
///
/// ```yaml
/// binary_cross_entropy: {}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BinaryCrossEntropy {
    /// A factor for each class, background first, as PyTorch's `weight`; `null` weighs all alike.
    #[serde(default)]
    pub class_weights: Option<Vec<NonNegative>>,
}
