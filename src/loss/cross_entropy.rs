//! Cross-entropy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::NonNegative;

/// Cross-entropy of the softmax, averaged over voxels (weighted, where there are weights); equal to PyTorch's CrossEntropyLoss.
///
/// ```yaml
/// cross_entropy: { class_weights: [1, 2, 5] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CrossEntropy {
    /// A factor for each class, background first; `null` weighs all alike.
    #[serde(default)]
    pub class_weights: Option<Vec<NonNegative>>,
}
