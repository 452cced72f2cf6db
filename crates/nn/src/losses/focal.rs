//! Focal loss.

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LossFunction, Target, class_weights};
use values::NonNegative;

/// Focal loss (Lin et al. 2017): cross-entropy of the softmax times `(1 - p)^gamma`, averaged over voxels.
///
/// ```yaml
/// focal: { gamma: 2 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FocalLoss {
    /// Focusing parameter: how strongly easy voxels are down-weighted; 0 is cross-entropy. Default: 2.
    #[serde(default = "default_gamma")]
    pub gamma: NonNegative,
    /// Weight of each class, background first. Default: `null`, the same weight for all. Example: `[1, 2, 5]`.
    #[serde(default)]
    pub class_weights: Option<Vec<NonNegative>>,
}

fn default_gamma() -> NonNegative {
    NonNegative::new(2.0).expect("2 is not negative")
}

impl LossFunction for FocalLoss {
    /// Computes the mean over voxels of `-w (1 - p)^gamma ln p`, where p is the probability of the true class.
    fn forward(&self, logits: Tensor<5>, target: Target) -> Tensor<1> {
        let log_probabilities = log_softmax(logits, 1);
        // Rounding may raise a probability above 1; a power of the negative complement would be not a number.
        let complement = log_probabilities.clone().exp().neg().add_scalar(1.0).clamp_min(0.0);
        let factor = match self.gamma.get() {
            0.0 => complement.ones_like(),
            gamma => complement.powf_scalar(gamma),
        };
        let loss = factor.mul(log_probabilities).mul(target.classes.clone());
        let loss = match &self.class_weights {
            Some(weights) => {
                let weights = class_weights::tensor(weights, &loss);
                loss.mul(weights)
            }
            None => loss,
        };
        target.mean_over_voxels(loss).neg()
    }

    fn class_weights(&self) -> Option<&[NonNegative]> {
        self.class_weights.as_deref()
    }
}
