//! Focal loss.

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use values::NonNegative;

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

impl super::Objective for Focal {
    /// The mean over voxels of `-w (1 - p)^gamma ln p`, p being the probability of the true class.
    fn forward(&self, logits: Tensor<5>, target: Tensor<5>) -> Tensor<1> {
        let [batch, _, x, y, z] = target.dims();
        let log_probabilities = log_softmax(logits, 1);
        // Rounding may lift a probability above 1, whose complement has no real power.
        let doubt = log_probabilities.clone().exp().neg().add_scalar(1.0).clamp_min(0.0);
        let factor = match self.gamma.get() {
            0.0 => doubt.ones_like(),
            gamma => doubt.powf_scalar(gamma),
        };
        let loss = factor.mul(log_probabilities).mul(target);
        let loss = match &self.class_weights {
            Some(weights) => {
                let weights = super::weights_like(weights, &loss);
                loss.mul(weights)
            }
            None => loss,
        };
        super::sum(loss).neg().div_scalar((batch * x * y * z) as f64)
    }
}
