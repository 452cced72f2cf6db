//! Cross-entropy.

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LossFunction, class_weights, reduction};
use values::NonNegative;

/// Cross-entropy of the softmax, averaged over voxels, with class weights as a weighted mean; equal to PyTorch's
/// `CrossEntropyLoss`.
///
/// ```yaml
/// cross_entropy: { class_weights: [1, 2, 5] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CrossEntropyLoss {
    /// Weight of each class, background first. Default: `null`, the same weight for all. Example: `[1, 2, 5]`.
    #[serde(default)]
    pub class_weights: Option<Vec<NonNegative>>,
}

impl LossFunction for CrossEntropyLoss {
    fn forward(&self, logits: Tensor<5>, target: Tensor<5>) -> Tensor<1> {
        from_log_probabilities(log_softmax(logits, 1), target, self.class_weights.as_deref())
    }

    fn class_weights(&self) -> Option<&[NonNegative]> {
        self.class_weights.as_deref()
    }
}

/// Computes cross-entropy from log-probabilities; a weighted sum is divided by the sum of the weights of the true classes.
pub(super) fn from_log_probabilities(
    log_probabilities: Tensor<5>,
    target: Tensor<5>,
    class_weights: Option<&[NonNegative]>,
) -> Tensor<1> {
    let target = match class_weights {
        Some(weights) => {
            let weights = class_weights::tensor(weights, &target);
            target.mul(weights)
        }
        None => target,
    };
    let total = reduction::sum(target.clone());
    reduction::sum(log_probabilities.mul(target)).neg().div(total)
}
