//! The U-Net.

use std::num::NonZeroUsize;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::memory::{ActivationMemory, StepSize};
use super::{Architecture, InputSizes, Layers};
use crate::Diagnostic;
use crate::layers::{Activation, Norm};
use crate::parameters::Declarations;
use layers::UnetLayers;
use values::UnitFraction;

mod gradients;
mod layers;
mod memory;

/// U-Net for volumes (Çiçek et al. 2016): two 3x3x3 convolutions per level and a 1x1x1 convolution to the classes.
///
/// ```yaml
/// unet: { widths: [32, 64, 128, 256], norm: instance, activation: leaky_relu }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unet {
    /// Channels of each level, from the full resolution down; each further level halves every axis. Example:
    /// `[32, 64, 128, 256]`.
    pub widths: Vec<NonZeroUsize>,
    /// Normalization after each 3x3x3 convolution, before the activation. Default: `none`; nnU-Net uses `instance`.
    #[serde(default)]
    pub norm: Norm,
    /// Activation function after each 3x3x3 convolution. Default: `relu`.
    #[serde(default)]
    pub activation: Activation,
    /// Down-sampling between levels of the encoder. Default: `max_pool`.
    #[serde(default)]
    pub downsample: Downsample,
    /// Up-sampling between levels of the decoder. Default: `trilinear`.
    #[serde(default)]
    pub upsample: Upsample,
    /// Channel dropout after each level's convolutions in training: the probability that a channel is zeroed. Default: 0.
    #[serde(default = "no_dropout")]
    pub dropout: UnitFraction,
    /// Residual blocks: if true, each level adds its input to its output, through a 1x1x1 convolution where the widths
    /// differ. Default: false.
    #[serde(default)]
    pub residual: bool,
}

/// Down-sampling between levels of the encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Downsample {
    /// 2x2x2 max pooling.
    #[default]
    MaxPool,
    /// Stride 2 in the first convolution of the next level.
    StridedConv,
}

/// Up-sampling between levels of the decoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Upsample {
    /// Trilinear interpolation with aligned corners.
    #[default]
    Trilinear,
    /// Nearest-neighbour interpolation.
    Nearest,
    /// 2x2x2 transposed convolution with stride 2.
    TransposedConv,
}

fn no_dropout() -> UnitFraction {
    UnitFraction::new(0.0).expect("0 is a fraction")
}

/// The maximum number of levels; more would halve the axes of any volume to nothing.
const MAX_LEVELS: usize = 16;
/// The maximum number of channels of a level.
const MAX_WIDTH: usize = 65_536;

impl Unet {
    /// Returns the number of input voxels that one voxel of the deepest level covers along each axis.
    fn stride(&self) -> usize {
        1 << self.widths.len().saturating_sub(1)
    }
}

impl Architecture for Unet {
    fn declare(&self, all: &mut Declarations, channels: usize, classes: usize) -> Arc<dyn Layers> {
        Arc::new(UnetLayers::declare(self, all, channels, classes))
    }

    fn input_weight(&self) -> &'static str {
        "encoder.0.conv1.weight"
    }

    fn input_sizes(&self) -> InputSizes {
        InputSizes {
            multiple_of: self.stride(),
            reason: format!("the network has {} levels", self.widths.len()),
            remedy: "give the network fewer widths",
        }
    }

    fn check(&self) -> Vec<Diagnostic> {
        if self.widths.is_empty() {
            let message = "expected at least one width, got none";
            return vec![Diagnostic::problem("widths", message, "for example widths: [32, 64, 128, 256]")];
        }
        if self.widths.len() > MAX_LEVELS {
            let message = format!("expected at most {MAX_LEVELS} levels, got {}", self.widths.len());
            let help = "each further level halves every axis; give fewer widths";
            return vec![Diagnostic::problem("widths", message, help)];
        }
        let too_wide = self.widths.iter().enumerate().filter(|(_, width)| width.get() > MAX_WIDTH);
        let problem = |(level, width): (usize, &NonZeroUsize)| {
            let message = format!("expected at most {MAX_WIDTH}, got {width}");
            Diagnostic::problem(format!("widths.{level}"), message, "use a smaller number")
        };
        too_wide.map(problem).collect()
    }

    fn check_training(&self, patch: [usize; 3], batch: usize) -> Vec<Diagnostic> {
        let has_one_deep_voxel = patch.map(|size| size / self.stride()).iter().product::<usize>() == 1;
        match self.norm {
            Norm::None => vec![Diagnostic::Warning(
                "the network has no normalization layers; `norm: instance` usually trains faster and to a better Dice"
                    .to_owned(),
            )],
            Norm::Instance if has_one_deep_voxel => {
                let message = "the deepest level has one voxel, and instance normalization of one voxel is always 0";
                vec![Diagnostic::problem("norm", message, "use a larger patch, fewer widths, or another norm")]
            }
            Norm::Batch if batch == 1 => vec![Diagnostic::Warning(
                "batch normalization with a batch of 1 has noisy statistics; `norm: instance` does not depend on the batch"
                    .to_owned(),
            )],
            Norm::Instance | Norm::Batch | Norm::Group => Vec::new(),
        }
    }

    fn is_without_effect(&self, parameter: &str) -> bool {
        let is_before_norm = parameter.ends_with(".conv1.bias") || parameter.ends_with(".conv2.bias");
        is_before_norm && matches!(self.norm, Norm::Instance | Norm::Batch)
    }

    fn activation_memory(&self, step: &StepSize) -> ActivationMemory {
        memory::estimate(self, step)
    }
}
