//! Adam.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{UpdateRule, add_weight_decay, default_betas, default_epsilon, no_weight_decay};
use values::{NonNegative, Positive, UnitFraction};

/// Adam (Kingma and Ba 2015); weight decay is added to the gradient, as in PyTorch's `Adam`.
///
/// ```yaml
/// adam: { learning_rate: 1.0e-4 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adam {
    /// Learning rate, before the schedule. Example: `1.0e-4`.
    pub learning_rate: Positive,
    /// Decay rates of the running means of the gradient and of its square. Default: `[0.9, 0.999]`.
    #[serde(default = "default_betas")]
    pub betas: [UnitFraction; 2],
    /// Added to the denominator for numerical stability. Default: `1.0e-8`.
    #[serde(default = "default_epsilon")]
    pub epsilon: Positive,
    /// L2 penalty: this multiple of the weights is added to their gradient. Default: 0.
    #[serde(default = "no_weight_decay")]
    pub weight_decay: NonNegative,
}

/// The names of Adam's moments.
pub(super) const MOMENTS: &[&str] = &["first_moment", "second_moment"];

impl UpdateRule for Adam {
    fn learning_rate(&self) -> Positive {
        self.learning_rate
    }

    fn moments(&self) -> &'static [&'static str] {
        MOMENTS
    }

    fn update(
        &self,
        parameter: Tensor<1>,
        gradient: Tensor<1>,
        moments: &mut [Tensor<1>],
        learning_rate: f64,
        step: usize,
    ) -> Tensor<1> {
        let gradient = add_weight_decay(gradient, &parameter, self.weight_decay);
        update(parameter, gradient, moments, self.betas.map(UnitFraction::get), self.epsilon, learning_rate, step)
    }
}

/// Returns a parameter after a step of Adam without weight decay.
pub(super) fn update(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    moments: &mut [Tensor<1>],
    [beta1, beta2]: [f64; 2],
    epsilon: Positive,
    learning_rate: f64,
    step: usize,
) -> Tensor<1> {
    let [first, second] = moments else { unreachable!("Adam has two moments per parameter") };
    *first = first.clone().mul_scalar(beta1).add(gradient.clone().mul_scalar(1.0 - beta1));
    *second = second.clone().mul_scalar(beta2).add(gradient.square().mul_scalar(1.0 - beta2));
    // Bias correction: both moments start at 0.
    let exponent = i32::try_from(step + 1).unwrap_or(i32::MAX);
    let corrections = [1.0 - beta1.powi(exponent), 1.0 - beta2.powi(exponent)];
    let denominator = second.clone().sqrt().div_scalar(corrections[1].sqrt()).add_scalar(epsilon.get());
    parameter.sub(first.clone().div(denominator).mul_scalar(learning_rate / corrections[0]))
}
