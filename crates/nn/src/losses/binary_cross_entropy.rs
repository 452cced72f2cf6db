//! Binary cross-entropy with logits.

use burn::tensor::Tensor;
use burn::tensor::activation::{relu, softplus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LossFunction, OutputActivation, Target, class_weights, reduction};
use values::NonNegative;

/// Binary cross-entropy of each class's sigmoid with the one-hot target, averaged over voxels and classes; equal to
/// PyTorch's `BCEWithLogitsLoss`. The mean over voxels leaves out ignored voxels.
///
/// ```yaml
/// binary_cross_entropy: {}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BinaryCrossEntropyLoss {
    /// Weight of each class, background first, or of each region, as PyTorch's `weight`. Default: `null`, the same weight for
    /// all. Example: `[1, 2, 5]`.
    #[serde(default)]
    pub class_weights: Option<Vec<NonNegative>>,
}

impl LossFunction for BinaryCrossEntropyLoss {
    fn forward(&self, logits: Tensor<5>, target: Target) -> Tensor<1> {
        let loss = self.per_voxel(logits, &target);
        match target.weights {
            Some(_) => {
                let classes = loss.dims()[1];
                target.mean_over_voxels(loss).div_scalar(classes as f64)
            }
            None => reduction::mean(loss),
        }
    }

    fn output_activation(&self) -> OutputActivation {
        OutputActivation::Sigmoid
    }

    fn class_weights(&self) -> Option<&[NonNegative]> {
        self.class_weights.as_deref()
    }
}

impl BinaryCrossEntropyLoss {
    /// Computes `max(x, 0) - x t + ln(1 + e^-|x|)` of each voxel and class, the form that does not overflow.
    pub(super) fn per_voxel(&self, logits: Tensor<5>, target: &Target) -> Tensor<5> {
        let tail = softplus(logits.clone().abs().neg(), 1.0);
        let loss = relu(logits.clone()).sub(logits.mul(target.classes.clone())).add(tail);
        match &self.class_weights {
            Some(weights) => {
                let weights = class_weights::tensor(weights, &loss);
                loss.mul(weights)
            }
            None => loss,
        }
    }
}
