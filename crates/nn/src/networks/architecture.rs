//! What a network architecture is: its settings, which declare its parameters, and its layers, which compute with them.

use std::fmt::Debug;
use std::sync::Arc;

use burn::tensor::Tensor;

use super::memory::{ActivationMemory, StepSize};
use crate::Diagnostic;
use crate::layers::Pass;
use crate::onnx::{GraphBuilder, Value};
use crate::parameters::{Declarations, Parameters};

/// A network architecture with its settings.
pub trait Architecture {
    /// Declares all parameters, in the order of weight files, and returns the layers that use them.
    fn declare(&self, all: &mut Declarations, channels: usize, classes: usize) -> Arc<dyn Layers>;

    /// Returns the name of the weights that are applied to the image, `[output, channel, x, y, z]`.
    fn input_weight(&self) -> &'static str;

    /// Returns whether a parameter is one of those that are applied to the image, with its channels as second axis.
    fn is_input_weight(&self, parameter: &str) -> bool {
        parameter == self.input_weight()
    }

    /// Returns whether a parameter belongs to a convolution to the classes, with the classes as first axis.
    fn is_head(&self, parameter: &str) -> bool;

    /// Returns the input sizes that the network can process.
    fn input_sizes(&self) -> InputSizes;

    /// Returns the voxels of the input along each axis on which a voxel of the deepest level depends.
    fn receptive_field(&self) -> [usize; 3];

    /// Validates the keys; problems end the validation of the network.
    fn check(&self) -> Vec<Diagnostic> {
        Vec::new()
    }

    /// Validates the keys against the patch shape and the batch size of training.
    fn check_training(&self, _patch: [usize; 3], _batch: usize) -> Vec<Diagnostic> {
        Vec::new()
    }

    /// Returns whether a parameter has no effect on the output, such as the bias of a convolution that is normalized.
    fn is_without_effect(&self, _parameter: &str) -> bool {
        false
    }

    /// Estimates the memory of a training step apart from weights and their optimizer state.
    fn activation_memory(&self, step: &StepSize) -> ActivationMemory;
}

/// The layers of a network, which compute with given parameters.
pub trait Layers: Debug + Send + Sync {
    /// Computes logits; see [`Network::forward`](super::Network::forward).
    fn forward(&self, parameters: &Parameters, pass: &mut Pass, input: Tensor<5>) -> Tensor<5>;

    /// Computes the logits that the loss is computed from; see [`Network::forward_supervised`](super::Network::forward_supervised).
    fn forward_supervised(&self, parameters: &Parameters, pass: &mut Pass, input: Tensor<5>) -> Vec<Tensor<5>> {
        vec![self.forward(parameters, pass, input)]
    }

    /// Adds the computation of [`forward`](Self::forward) at inference to an ONNX graph, and returns the logits.
    fn add_to_graph(&self, graph: &mut GraphBuilder, input: Value) -> Value;

    /// Computes loss and gradients with gradient checkpointing; see [`Network::gradients_block_by_block`](super::Network::gradients_block_by_block).
    ///
    /// By default all activations are stored.
    fn gradients_block_by_block(
        &self,
        parameters: &Parameters,
        pass: &mut Pass,
        input: Tensor<5>,
        loss: Box<dyn FnOnce(Vec<Tensor<5>>) -> Tensor<1> + '_>,
    ) -> (Tensor<1>, Vec<Option<Tensor<1>>>) {
        let loss = loss(self.forward_supervised(parameters, pass, input.autodiff()));
        let mut gradients = loss.backward();
        (loss.inner(), parameters.trained_values().map(|value| value.grad_remove(&mut gradients)).collect())
    }
}

/// The input sizes that a network can process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputSizes {
    /// Each axis must be a multiple of its number.
    pub multiple_of: [usize; 3],
    /// The reason, as the end of a sentence: "the network has 4 levels".
    pub reason: String,
    /// What to change instead of the size: "give the network fewer widths".
    pub remedy: &'static str,
}
