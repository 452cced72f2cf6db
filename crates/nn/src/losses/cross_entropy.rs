//! Cross-entropy.

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use values::NonNegative;

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

impl super::Objective for CrossEntropy {
    fn forward(&self, logits: Tensor<5>, target: Tensor<5>) -> Tensor<1> {
        of_log_probabilities(log_softmax(logits, 1), target, self.class_weights.as_deref())
    }
}

/// Cross-entropy from logarithms of probabilities; a weighted sum is divided by the sum of the weights of the true classes.
pub(super) fn of_log_probabilities(
    log_probabilities: Tensor<5>,
    target: Tensor<5>,
    class_weights: Option<&[NonNegative]>,
) -> Tensor<1> {
    let target = match class_weights {
        Some(weights) => {
            let weights = super::weights_like(weights, &target);
            target.mul(weights)
        }
        None => target,
    };
    let total = super::sum(target.clone());
    super::sum(log_probabilities.mul(target)).neg().div(total)
}
