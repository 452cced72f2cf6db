//! AdamW.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{UpdateRule, adam, default_betas, default_epsilon};
use values::{NonNegative, Positive, UnitFraction};

/// AdamW (Loshchilov and Hutter 2019): Adam with decoupled weight decay, as PyTorch's `AdamW`.
///
/// ```yaml
/// adamw: { learning_rate: 1.0e-3, weight_decay: 0.01 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adamw {
    /// Learning rate, before the schedule. Example: `1.0e-3`.
    pub learning_rate: Positive,
    /// Decay rates of the running means of the gradient and of its square. Default: `[0.9, 0.999]`.
    #[serde(default = "default_betas")]
    pub betas: [UnitFraction; 2],
    /// Added to the denominator for numerical stability. Default: `1.0e-8`.
    #[serde(default = "default_epsilon")]
    pub epsilon: Positive,
    /// Decoupled weight decay: each step multiplies the weights by 1 - learning rate * weight decay. Default: 0.01.
    #[serde(default = "default_weight_decay")]
    pub weight_decay: NonNegative,
}

fn default_weight_decay() -> NonNegative {
    NonNegative::new(0.01).expect("0.01 is not negative")
}

impl UpdateRule for Adamw {
    fn learning_rate(&self) -> Positive {
        self.learning_rate
    }

    fn moments(&self) -> &'static [&'static str] {
        adam::MOMENTS
    }

    fn update(
        &self,
        parameter: Tensor<1>,
        gradient: Tensor<1>,
        moments: &mut [Tensor<1>],
        learning_rate: f64,
        step: usize,
    ) -> Tensor<1> {
        let parameter = parameter.mul_scalar(1.0 - learning_rate * self.weight_decay.get());
        let betas = self.betas.map(UnitFraction::get);
        adam::update(parameter, gradient, moments, betas, self.epsilon, learning_rate, step)
    }
}
