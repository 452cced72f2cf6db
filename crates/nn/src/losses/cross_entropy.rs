//! Cross-entropy.

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LossFunction, Target, class_weights, reduction, top_k};
use values::{NonNegative, PositiveFraction};

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
    /// Top-k: only this fraction of the batch's voxels counts, those with the largest losses. Default: `null`, all voxels.
    /// Example: `0.1`, as nnU-Net's `TopKLoss(k=10)`.
    #[serde(default)]
    pub top_k: Option<PositiveFraction>,
}

impl LossFunction for CrossEntropyLoss {
    fn forward(&self, logits: Tensor<5>, target: Target) -> Tensor<1> {
        from_log_probabilities(log_softmax(logits, 1), target, self.class_weights.as_deref(), self.top_k)
    }

    fn class_weights(&self) -> Option<&[NonNegative]> {
        self.class_weights.as_deref()
    }
}

/// Computes cross-entropy from log-probabilities; a weighted sum is divided by the sum of the weights of the true
/// classes times those of the voxels, apart from that of the largest losses, which is divided by their number, as in nnU-Net.
pub(super) fn from_log_probabilities(
    log_probabilities: Tensor<5>,
    target: Target,
    class_weights: Option<&[NonNegative]>,
    top_k: Option<PositiveFraction>,
) -> Tensor<1> {
    let true_classes = target.weighted(target.classes.clone());
    let true_classes = match class_weights {
        Some(weights) => {
            let weights = class_weights::tensor(weights, &true_classes);
            true_classes.mul(weights)
        }
        None => true_classes,
    };
    if let Some(fraction) = top_k {
        return top_k::mean_of_largest(log_probabilities.mul(true_classes).sum_dim(1).neg(), fraction.get());
    }
    let total = target.divisor(reduction::sum(true_classes.clone()));
    reduction::sum(log_probabilities.mul(true_classes)).neg().div(total)
}
