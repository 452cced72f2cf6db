//! Activation functions.

use burn::tensor::Tensor;
use burn::tensor::activation::{leaky_relu, relu};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(feature = "flex")]
use crate::kernels;
use crate::onnx::{GraphBuilder, Value, builder};

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

    /// Applies the activation to the sum of two inputs.
    ///
    /// # Shapes
    /// - inputs, output: `[batch, channel, x, y, z]`
    pub fn of_sum(self, first: Tensor<5>, second: Tensor<5>) -> Tensor<5> {
        #[cfg(feature = "flex")]
        if kernels::support(&first) {
            return kernels::add_activate(first, second, self.negative_slope());
        }
        self.forward(first.add(second))
    }

    /// Adds the activation to an ONNX graph.
    pub(crate) fn add_to_graph(self, graph: &mut GraphBuilder, input: &Value) -> Value {
        match self {
            Activation::Relu => graph.node("Relu", "relu", &[Some(input)], Vec::new()),
            Activation::LeakyRelu => {
                let slope = builder::float("alpha", NEGATIVE_SLOPE);
                graph.node("LeakyRelu", "leaky_relu", &[Some(input)], vec![slope])
            }
        }
    }
}

/// Adds the activation to an ONNX graph, if there is one.
pub(super) fn add_activation(graph: &mut GraphBuilder, input: Value, activation: Option<Activation>) -> Value {
    match activation {
        Some(activation) => activation.add_to_graph(graph, &input),
        None => input,
    }
}

/// Applies the activation, if there is one.
pub(super) fn activate(output: Tensor<5>, activation: Option<Activation>) -> Tensor<5> {
    match activation {
        Some(activation) => activation.forward(output),
        None => output,
    }
}
