//! Stochastic gradient descent.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{UpdateRule, add_weight_decay, no_weight_decay};
use crate::Diagnostic;
use values::{NonNegative, Positive, UnitFraction};

/// SGD: stochastic gradient descent with momentum, as PyTorch's `SGD`.
///
/// ```yaml
/// sgd: { learning_rate: 0.01, momentum: 0.99, nesterov: true, weight_decay: 3.0e-5 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sgd {
    /// Learning rate, before the schedule. Example: `0.01`.
    pub learning_rate: Positive,
    /// Momentum: decay rate of the running sum of gradients. Default: 0, no momentum.
    #[serde(default = "no_momentum")]
    pub momentum: UnitFraction,
    /// Nesterov momentum; needs `momentum` above 0. Default: false.
    #[serde(default)]
    pub nesterov: bool,
    /// L2 penalty: this multiple of the weights is added to their gradient. Default: 0.
    #[serde(default = "no_weight_decay")]
    pub weight_decay: NonNegative,
}

fn no_momentum() -> UnitFraction {
    UnitFraction::new(0.0).expect("0 is a fraction")
}

impl UpdateRule for Sgd {
    fn learning_rate(&self) -> Positive {
        self.learning_rate
    }

    fn moments(&self) -> &'static [&'static str] {
        if self.momentum.get() > 0.0 { &["momentum"] } else { &[] }
    }

    fn update(
        &self,
        parameter: Tensor<1>,
        gradient: Tensor<1>,
        moments: &mut [Tensor<1>],
        learning_rate: f64,
        _: usize,
    ) -> Tensor<1> {
        let gradient = add_weight_decay(gradient, &parameter, self.weight_decay);
        let direction = match moments {
            [momentum] => {
                let decay = self.momentum.get();
                *momentum = momentum.clone().mul_scalar(decay).add(gradient.clone());
                if self.nesterov { gradient.add(momentum.clone().mul_scalar(decay)) } else { momentum.clone() }
            }
            _ => gradient,
        };
        parameter.sub(direction.mul_scalar(learning_rate))
    }

    fn check(&self) -> Vec<Diagnostic> {
        if self.nesterov && self.momentum.get() == 0.0 {
            let message = "Nesterov momentum needs momentum, but `momentum` is 0";
            return vec![Diagnostic::problem("nesterov", message, "set momentum, for example 0.99")];
        }
        Vec::new()
    }
}
