//! Networks: the trait, the registry, and a network with its weights.
//!
//! A network maps `[batch, channel, x, y, z]` to logits `[batch, class, x, y, z]`. [`Model`] is its specification in an
//! experiment; [`Model::build`] builds a [`Network`] from it. To add an architecture, write one file with its keys, an
//! [`Architecture`] and its [`Layers`], and add a line to the registry.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};

use crate::Diagnostic;
use crate::layers::Pass;
use crate::onnx::{GraphBuilder, Value};
use crate::parameters::{Declarations, Parameters};
use crate::weights::initial::closeness;
use crate::weights::{self, InitialWeights, LoadedWeights, NamedTensor, WeightsError};
use memory::{ActivationMemory, StepSize};
use random::Seed;

mod block_gradients;
pub mod memory;
pub mod unet;

pub use unet::Unet;

values::registry! {
    /// The network.
    pub enum Model: Architecture {
        /// U-Net: a convolutional encoder and decoder, joined by skip connections.
        unet::Unet,
    }
}

/// Returns the channels of the first convolution from the shape of its weights.
fn input_channels(name: &str, shape: Option<&[usize]>) -> Result<usize, WeightsError> {
    match shape {
        Some([_, channels, ..]) => Ok(*channels),
        _ => Err(WeightsError::Misfit(format!("`{name}` is missing"))),
    }
}

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
    /// Computes logits; see [`Network::forward`].
    fn forward(&self, parameters: &Parameters, pass: &mut Pass, input: Tensor<5>) -> Tensor<5>;

    /// Computes the logits that the loss is computed from; see [`Network::forward_supervised`].
    fn forward_supervised(&self, parameters: &Parameters, pass: &mut Pass, input: Tensor<5>) -> Vec<Tensor<5>> {
        vec![self.forward(parameters, pass, input)]
    }

    /// Adds the computation of [`forward`](Self::forward) at inference to an ONNX graph, and returns the logits.
    fn add_to_graph(&self, graph: &mut GraphBuilder, input: Value) -> Value;

    /// Computes loss and gradients with gradient checkpointing; see [`Network::gradients_block_by_block`].
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

impl Model {
    /// Returns the number of trained values.
    pub fn num_parameters(&self, channels: usize, classes: usize) -> usize {
        self.declarations(channels, classes).0.num_trained()
    }

    /// Reads initial weights, which may have been saved by PyTorch.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or if names or shapes do not match those of the network.
    pub fn read_weights(
        &self,
        weights: &InitialWeights,
        channels: usize,
        classes: usize,
    ) -> Result<LoadedWeights, WeightsError> {
        weights.read(self.component(), &self.declarations(channels, classes).0)
    }

    /// Checks that tensors have the names and shapes of the network's parameters.
    ///
    /// # Errors
    /// Returns an error that names the first difference.
    pub fn check_weights(&self, weights: &[NamedTensor], channels: usize, classes: usize) -> Result<(), WeightsError> {
        self.declarations(channels, classes).0.check(weights)
    }

    /// Returns the names of the trained parameters.
    pub fn trained_names(&self, channels: usize, classes: usize) -> Vec<String> {
        let (declarations, _) = self.declarations(channels, classes);
        declarations.iter().filter(|declaration| declaration.trained).map(|one| one.name.clone()).collect()
    }

    /// Returns whether a parameter belongs to a layer, such as `encoder` or `decoder.0`: whether its name starts with the
    /// parts of the layer's name. `head` is every convolution to the classes, also those of deep supervision.
    pub fn is_in_layer(&self, parameter: &str, layer: &str) -> bool {
        closeness(self.component(), parameter, layer).is_some()
    }

    /// Returns the one of some layers that describes a parameter most closely.
    pub fn closest_layer<'a>(&self, parameter: &str, layers: impl Iterator<Item = &'a String>) -> Option<&'a String> {
        let close = layers.filter_map(|layer| Some((closeness(self.component(), parameter, layer)?, layer)));
        close.max_by_key(|(closeness, _)| *closeness).map(|(_, layer)| layer)
    }

    /// Returns the number of image channels of a network with these weights.
    ///
    /// # Errors
    /// Returns an error if the weights are not those of such a network.
    pub fn num_channels(&self, weights: &[NamedTensor]) -> Result<usize, WeightsError> {
        let name = self.component().input_weight();
        let input = weights.iter().find(|tensor| tensor.name == name);
        input_channels(name, input.map(|tensor| tensor.shape.as_slice()))
    }

    /// Returns the number of image channels of a network with the weights of a file, of which only the header is read.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or the weights are not those of such a network.
    pub fn num_channels_of(&self, path: &Path) -> Result<usize, WeightsError> {
        let name = self.component().input_weight();
        let shape = weights::read_shape(path, name)?;
        input_channels(name, shape.as_deref())
    }

    /// Returns the voxels of the input along each axis on which a voxel of the deepest level depends.
    pub fn receptive_field(&self) -> [usize; 3] {
        self.component().receptive_field()
    }

    /// Returns the numbers that the axes of the input must be multiples of.
    pub fn stride(&self) -> [usize; 3] {
        self.component().input_sizes().multiple_of
    }

    /// Estimates the peak memory of a training step in bytes.
    pub fn training_bytes(&self, step: &StepSize) -> u64 {
        let num_parameters = self.num_parameters(step.channels, step.classes);
        memory::training_bytes(self.component().activation_memory(step), num_parameters, step)
    }

    /// Builds the network with its initial weights on a device; with gradients if the device has autodiff.
    pub fn build(&self, channels: usize, classes: usize, seed: Seed, device: &Device) -> Network {
        let (declarations, layers) = self.declarations(channels, classes);
        Network { layers, parameters: Parameters::initialize(declarations, seed, device) }
    }

    pub(crate) fn declarations(&self, channels: usize, classes: usize) -> (Declarations, Arc<dyn Layers>) {
        let mut declarations = Declarations::default();
        let layers = self.component().declare(&mut declarations, channels, classes);
        (declarations, layers)
    }
}

/// A network with its weights.
#[derive(Clone, Debug)]
pub struct Network {
    pub(crate) layers: Arc<dyn Layers>,
    /// Weights and running statistics.
    pub parameters: Parameters,
}

impl Network {
    /// Computes the logits of a batch.
    ///
    /// # Shapes
    /// - input: `[batch, channel, x, y, z]`
    /// - output: `[batch, class, x, y, z]`
    pub fn forward(&self, pass: &mut Pass, input: Tensor<5>) -> Tensor<5> {
        self.layers.forward(&self.parameters, pass, input)
    }

    /// Computes the logits of a batch from which the loss is computed: those of [`forward`](Self::forward), and with deep
    /// supervision those of the decoder's lower levels.
    ///
    /// # Shapes
    /// - input: `[batch, channel, x, y, z]`
    /// - outputs: `[batch, class, x / n, y / n, z / n]`, from the full resolution down, with a factor `n` for each axis
    pub fn forward_supervised(&self, pass: &mut Pass, input: Tensor<5>) -> Vec<Tensor<5>> {
        self.layers.forward_supervised(&self.parameters, pass, input)
    }

    /// Computes the loss of a batch and the gradient of each trained parameter with gradient checkpointing: the activations
    /// of only one block at a time are stored, and are recomputed in the backward pass.
    ///
    /// The loss is a function of the outputs of [`forward_supervised`](Self::forward_supervised). The gradient of a parameter
    /// on which it does not depend is `None`.
    ///
    /// # Shapes
    /// - input: `[batch, channel, x, y, z]`, without autodiff
    pub fn gradients_block_by_block(
        &self,
        pass: &mut Pass,
        input: Tensor<5>,
        loss: impl FnOnce(Vec<Tensor<5>>) -> Tensor<1>,
    ) -> (Tensor<1>, Vec<Option<Tensor<1>>>) {
        self.layers.gradients_block_by_block(&self.parameters, pass, input, Box::new(loss))
    }

    /// Returns the same network, in which the parameters that `is_frozen` selects by name have no gradient; both share the
    /// weights.
    pub fn frozen(&self, is_frozen: impl Fn(&str) -> bool) -> Self {
        Self { layers: Arc::clone(&self.layers), parameters: self.parameters.frozen(is_frozen) }
    }

    /// Returns the same network without gradients; both share the weights.
    pub fn without_gradients(&self) -> Self {
        Self { layers: Arc::clone(&self.layers), parameters: self.parameters.without_gradients() }
    }

    /// Returns the same network, detached from autodiff, with other values of the trained parameters, in order.
    pub fn with_trained(&self, values: &[Tensor<1>]) -> Self {
        Self { layers: Arc::clone(&self.layers), parameters: self.parameters.with_trained(values) }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::FloatFormat;
    use crate::parameters::to_host;
    use random::Purpose;

    /// Returns the gradient of each trained parameter, with or without gradient checkpointing.
    fn gradients(network: &Network, is_checkpointed: bool) -> Vec<Option<Vec<f32>>> {
        let values = (0..1024).map(|index| (index as f32 * 0.37).sin()).collect::<Vec<_>>();
        let input = Tensor::<5>::from_data(TensorData::new(values, [2, 1, 8, 8, 8]), &Device::flex());
        let mut pass = Pass::training(Seed(1).stream(Purpose::Dropout, 0, "", 0), FloatFormat::default());
        let loss = |logits: Vec<Tensor<5>>| logits[0].clone().square().mean();
        let gradients = if is_checkpointed {
            network.gradients_block_by_block(&mut pass, input, loss).1
        } else {
            let mut tape = loss(network.forward_supervised(&mut pass, input.autodiff())).backward();
            network.parameters.trained_values().map(|value| value.grad_remove(&mut tape)).collect()
        };
        gradients.into_iter().map(|gradient| Some(to_host(&gradient?))).collect()
    }

    #[test]
    fn frozen_layers_have_no_gradient_and_the_others_the_same_bits() {
        let unet = "{ \"unet\": { \"widths\": [2, 3, 4], \"norm\": \"instance\", \"downsample\": \"strided_conv\" } }";
        let model: Model = serde_json::from_str(unet).unwrap();
        let network = model.build(1, 2, Seed(1), &Device::flex().autodiff());
        let names: Vec<String> = network.parameters.trained_names().map(str::to_owned).collect();
        for is_checkpointed in [false, true] {
            let all = gradients(&network, is_checkpointed);
            assert!(all.iter().all(Option::is_some));
            for layer in ["encoder", "encoder.1", "decoder", "head"] {
                let frozen = network.frozen(|name| model.is_in_layer(name, layer));
                for ((name, frozen), all) in names.iter().zip(gradients(&frozen, is_checkpointed)).zip(&all) {
                    let expected = if name.starts_with(layer) { &None } else { all };
                    assert_eq!(frozen, *expected, "{name} with {layer} frozen");
                }
            }
        }
    }
}
