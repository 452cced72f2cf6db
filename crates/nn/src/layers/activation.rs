//! Activation functions.

use burn::tensor::Tensor;
use burn::tensor::activation::{leaky_relu, relu};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The activation function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// ReLU: max(x, 0).
    #[default]
    Relu,
    /// Leaky ReLU: x, or 0.01 x where x is negative.
    LeakyRelu,
}

/// The slope of a leaky ReLU below 0.
const NEGATIVE_SLOPE: f64 = 0.01;

impl Activation {
    /// Returns the slope below 0.
    pub fn negative_slope(self) -> f64 {
        match self {
            Activation::Relu => 0.0,
            Activation::LeakyRelu => NEGATIVE_SLOPE,
        }
    }

    /// Applies the activation.
    ///
    /// # Shapes
    /// - input, output: `[batch, channel, x, y, z]`
    pub fn forward(self, input: Tensor<5>) -> Tensor<5> {
        match self {
            Activation::Relu => relu(input),
            Activation::LeakyRelu => leaky_relu(input, NEGATIVE_SLOPE),
        }
    }
}

/// Applies the activation, if there is one.
pub(super) fn activate(output: Tensor<5>, activation: Option<Activation>) -> Tensor<5> {
    match activation {
        Some(activation) => activation.forward(output),
        None => output,
    }
}
