//! Binary cross-entropy with logits.

use burn::tensor::Tensor;
use burn::tensor::activation::{relu, softplus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use values::NonNegative;

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

impl super::Objective for BinaryCrossEntropy {
    /// `max(x, 0) - x t + ln(1 + e^-|x|)`, the form that does not overflow, averaged.
    fn forward(&self, logits: Tensor<5>, target: Tensor<5>) -> Tensor<1> {
        let tail = softplus(logits.clone().abs().neg(), 1.0);
        let loss = relu(logits.clone()).sub(logits.mul(target)).add(tail);
        match &self.class_weights {
            Some(weights) => {
                let weights = super::weights_like(weights, &loss);
                super::mean(loss.mul(weights))
            }
            None => super::mean(loss),
        }
    }
}
