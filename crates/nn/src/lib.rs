//! Networks: their written form, and the closed list of what there is.
//!
//! Each network takes `[batch, channel, x, y, z]` and gives logits `[batch, class, x, y, z]`.

use std::path::Path;

use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use random::Seed;

mod blocks;
pub mod device;
mod float_format;
#[cfg(feature = "flex")]
mod kernels;
pub mod losses;
mod memory;
mod norm;
pub mod optimizers;
pub mod parameters;
mod pool;
mod recompute;
pub mod sealed;
pub mod state_dict;
pub mod unet;
mod upsample;
pub mod weights;

pub use blocks::Pass;
pub use float_format::FloatFormat;
pub use memory::StepSize;
pub use pool::max_pool;
pub use unet::UnetSpec;
pub use upsample::{nearest, trilinear};

use parameters::{Declarations, Parameters};
use unet::Unet;
use weights::{NamedTensor, WeightsError};

/// The version of burn that Cargo.toml asks for.
pub const BURN_VERSION: &str = "0.22.1";

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Model {
    /// An encoder and a decoder of convolutions, joined by skip connections.
    Unet(UnetSpec),
}

impl Model {
    /// How many numbers training changes.
    pub fn num_parameters(&self, channels: usize, classes: usize) -> usize {
        let mut declarations = Declarations::default();
        self.declare(&mut declarations, channels, classes);
        declarations.num_trained()
    }

    /// Reads weights to start from, which PyTorch may have saved, and sees to it that they fit.
    ///
    /// # Errors
    /// When the file cannot be read, or names or shapes do not fit.
    pub fn read_weights(&self, path: &Path, channels: usize, classes: usize) -> Result<Vec<NamedTensor>, WeightsError> {
        let mut declarations = Declarations::default();
        self.declare(&mut declarations, channels, classes);
        let tensors = state_dict::read(path, unet::FIRST_WEIGHT)?;
        declarations.check(&tensors)?;
        Ok(tensors)
    }

    /// How many image channels a network with these weights takes.
    ///
    /// # Errors
    /// When they are not those of such a network.
    pub fn channels_of(&self, weights: &[NamedTensor]) -> Result<usize, WeightsError> {
        let Model::Unet(_) = self;
        let first = weights.iter().find(|tensor| tensor.name == unet::FIRST_WEIGHT);
        match first.map(|tensor| tensor.shape.as_slice()) {
            Some([_, channels, ..]) => Ok(*channels),
            _ => Err(WeightsError::Misfit(format!("`{}` is missing", unet::FIRST_WEIGHT))),
        }
    }

    /// The number of which every axis of the input must be a multiple.
    pub fn stride(&self) -> usize {
        match self {
            Model::Unet(unet) => unet.stride(),
        }
    }

    /// Whether the network normalises its activations.
    pub fn has_norm(&self) -> bool {
        match self {
            Model::Unet(unet) => unet.norm != unet::Norm::None,
        }
    }

    /// Whether a parameter changes nothing: the bias of a convolution whose channel is normalised right after it.
    pub fn is_without_effect(&self, parameter: &str) -> bool {
        let Model::Unet(unet) = self;
        let is_before_norm = parameter.ends_with(".conv1.bias") || parameter.ends_with(".conv2.bias");
        is_before_norm && matches!(unet.norm, unet::Norm::Instance | unet::Norm::Batch)
    }

    /// An estimate of the bytes that a training step needs at its peak.
    pub fn training_bytes(&self, step: StepSize) -> u64 {
        memory::training_bytes(self, step)
    }

    /// Builds the network with its initial weights on a device; with gradients where the device has autodiff.
    pub fn build(&self, channels: usize, classes: usize, seed: Seed, device: &Device) -> Network {
        let mut declarations = Declarations::default();
        let architecture = self.declare(&mut declarations, channels, classes);
        Network { architecture, parameters: Parameters::draw(declarations, seed, device) }
    }

    fn declare(&self, all: &mut Declarations, channels: usize, classes: usize) -> Architecture {
        match self {
            Model::Unet(unet) => Architecture::Unet(unet.declare(all, channels, classes)),
        }
    }
}

/// A network with its weights.
#[derive(Clone, Debug)]
pub struct Network {
    architecture: Architecture,
    /// Its weights, by name.
    pub parameters: Parameters,
}

#[derive(Clone, Debug)]
enum Architecture {
    Unet(Unet),
}

impl Network {
    /// Logits of a batch.
    ///
    /// # Shapes
    /// - input: `[batch, channel, x, y, z]`
    /// - output: `[batch, class, x, y, z]`
    pub fn forward(&self, pass: &mut Pass, input: Tensor<5>) -> Tensor<5> {
        match &self.architecture {
            Architecture::Unet(unet) => unet.forward(&self.parameters, pass, input),
        }
    }

    /// The loss of a batch, and its gradient by each trained parameter, with the activations of one block at a time, as
    /// [`forward`](Self::forward) and the way back from its loss give them.
    pub fn gradients_block_by_block(
        &self,
        pass: &mut Pass,
        input: Tensor<5>,
        loss: impl FnOnce(Tensor<5>) -> Tensor<1>,
    ) -> (Tensor<1>, Vec<Option<Tensor<1>>>) {
        match &self.architecture {
            Architecture::Unet(unet) => recompute::gradients(unet, &self.parameters, pass, input, loss),
        }
    }

    /// The same network without gradients, sharing its weights.
    pub fn without_gradients(&self) -> Self {
        Self { architecture: self.architecture.clone(), parameters: self.parameters.without_gradients() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_burn_is_the_one_that_is_built() {
        let manifest = include_str!("../../../Cargo.toml");
        assert!(manifest.contains(&format!("burn = {{ version = \"={BURN_VERSION}\"")));
    }
}
