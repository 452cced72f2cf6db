//! Networks: the trait, the registry, and a network with its weights.
//!
//! A network maps `[batch, channel, x, y, z]` to logits `[batch, class, x, y, z]`. [`Model`] is its specification in an
//! experiment; [`Model::build`] builds a [`Network`] from it. To add an architecture, write one file with its keys, an
//! [`Architecture`] and its [`Layers`], and add a line to the registry.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;

use crate::parameters::{Declarations, Parameters};
use crate::weights::initial::closeness;
use crate::weights::{self, InitialWeights, LoadedWeights, NamedTensor, WeightsError};
use memory::StepSize;
use random::Seed;

mod architecture;
mod block_gradients;
pub mod memory;
mod network;
pub mod unet;

pub use architecture::{Architecture, InputSizes, Layers};
pub use network::Network;
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
