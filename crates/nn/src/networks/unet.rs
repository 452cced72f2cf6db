//! The U-Net.

use std::num::NonZeroUsize;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::memory::{ActivationMemory, StepSize};
use super::{Architecture, InputSizes, Layers};
use crate::Diagnostic;
use crate::layers::{Activation, Initialization, Norm};
use crate::parameters::Declarations;
use layers::UnetLayers;
use values::UnitFraction;

mod check;
mod gradients;
mod layers;
mod memory;
mod per_level;

pub use per_level::{CountPerLevel, SizePerLevel};

/// U-Net for volumes (Çiçek et al. 2016): convolutions on each level of an encoder and a decoder, which are joined by skip
/// connections, and a 1x1x1 convolution to the classes. `docs/weights.md` has the keys of nnU-Net's networks.
///
/// ```yaml
/// unet: { widths: [32, 64, 128, 256], norm: instance, activation: leaky_relu }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unet {
    /// Channels of each level, from the full resolution down. Example: `[32, 64, 128, 256]`.
    pub widths: Vec<NonZeroUsize>,
    /// Kernel of the convolutions in voxels along x, y and z: for all levels, or a list of three numbers for each level from
    /// the full resolution down; odd numbers. Default: `[3, 3, 3]`. Example for thick slices:
    /// `[[3, 3, 1], [3, 3, 3], [3, 3, 3]]`.
    #[serde(default = "default_kernel_sizes")]
    pub kernel_sizes: SizePerLevel,
    /// Factor by which each level reduces the grid of the level above, along x, y and z; that of the first level is
    /// `[1, 1, 1]`. Default: `null`, 2 along every axis. Example for thick slices: `[[1, 1, 1], [2, 2, 1], [2, 2, 2]]`.
    #[serde(default)]
    pub strides: Option<SizePerLevel>,
    /// Blocks of the encoder: `plain` convolutions, or `residual` blocks of two convolutions each, as nnU-Net's
    /// `ResidualEncoderUNet`. Default: `plain`.
    #[serde(default)]
    pub encoder: Encoder,
    /// Convolutions on each level of the encoder, or blocks where `encoder: residual`; one number for all levels, or a list
    /// from the full resolution down. Default: `null`, 2 convolutions, or 1, 3, 4, 6, 6, ... residual blocks.
    #[serde(default)]
    pub convs_per_level: Option<CountPerLevel>,
    /// Convolutions on each level of the decoder, which has no deepest level; one number for all levels, or a list from the
    /// full resolution down. Default: `null`, 2 convolutions, or 1 where `encoder: residual`.
    #[serde(default)]
    pub decoder_convs_per_level: Option<CountPerLevel>,
    /// Normalization after each convolution, before the activation. Default: `none`; nnU-Net uses `instance`.
    #[serde(default)]
    pub norm: Norm,
    /// Activation function after each convolution. Default: `relu`; nnU-Net uses `leaky_relu`.
    #[serde(default)]
    pub activation: Activation,
    /// Down-sampling between levels of the encoder. Default: `max_pool`; nnU-Net uses `strided_conv`.
    #[serde(default)]
    pub downsample: Downsample,
    /// Up-sampling between levels of the decoder. Default: `trilinear`; nnU-Net uses `transposed_conv`.
    #[serde(default)]
    pub upsample: Upsample,
    /// Channel dropout after each level's convolutions in training: the probability that a channel is zeroed. Default: 0.
    #[serde(default = "no_dropout")]
    pub dropout: UnitFraction,
    /// If true, each level adds its input to its output, through a 1x1x1 convolution where the widths differ; for nnU-Net's
    /// residual blocks see `encoder`. Default: false.
    #[serde(default)]
    pub residual: bool,
    /// Deep supervision: if true, every level of the decoder has a 1x1x1 convolution to the classes. In training the loss is
    /// computed on each, with weights that halve from level to level and are 0 on the lowest one, as in nnU-Net. Default:
    /// false.
    #[serde(default)]
    pub deep_supervision: bool,
    /// Initial weights. Default: `pytorch`; nnU-Net uses `he`.
    #[serde(default)]
    pub initialization: Initialization,
}

/// Blocks of the encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoder {
    /// Convolutions in sequence, as nnU-Net's `PlainConvUNet`.
    #[default]
    Plain,
    /// A stem convolution, then residual blocks of two convolutions, as nnU-Net's `ResidualEncoderUNet`.
    Residual,
}

/// Down-sampling between levels of the encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Downsample {
    /// Max pooling.
    #[default]
    MaxPool,
    /// A stride in the first convolution of the next level.
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
    /// Transposed convolution, whose kernel is its stride.
    TransposedConv,
}

fn no_dropout() -> UnitFraction {
    UnitFraction::new(0.0).expect("0 is a fraction")
}

fn default_kernel_sizes() -> SizePerLevel {
    SizePerLevel::All([3; 3])
}

impl Unet {
    /// Returns the number of levels.
    pub fn depth(&self) -> usize {
        self.widths.len()
    }

    /// Returns the kernel of a level, counted from the full resolution down.
    pub fn kernel(&self, level: usize) -> [usize; 3] {
        self.kernel_sizes.at(level)
    }

    /// Returns the factor by which a level reduces the grid of the level above.
    pub fn stride(&self, level: usize) -> [usize; 3] {
        match (&self.strides, level) {
            (Some(strides @ SizePerLevel::Each(_)), _) => strides.at(level),
            (_, 0) => [1; 3],
            (Some(strides), _) => strides.at(level),
            (None, _) => [2; 3],
        }
    }

    /// Returns the number of input voxels per voxel of a level, along each axis.
    fn reduction(&self, level: usize) -> [usize; 3] {
        let product = |axis: usize| (0..=level).map(|level| self.stride(level)[axis]).product();
        std::array::from_fn(product)
    }

    /// Returns the number of convolutions, or of residual blocks, on a level of the encoder.
    pub fn encoder_convs(&self, level: usize) -> usize {
        /// nnU-Net's numbers of residual blocks.
        const BLOCKS: [usize; 4] = [1, 3, 4, 6];
        match (&self.convs_per_level, self.encoder) {
            (Some(counts), _) => counts.at(level),
            (None, Encoder::Plain) => 2,
            (None, Encoder::Residual) => BLOCKS[level.min(BLOCKS.len() - 1)],
        }
    }

    /// Returns the number of convolutions on a level of the decoder, counted from the full resolution down.
    pub fn decoder_convs(&self, level: usize) -> usize {
        match (&self.decoder_convs_per_level, self.encoder) {
            (Some(counts), _) => counts.at(level),
            (None, Encoder::Plain) => 2,
            (None, Encoder::Residual) => 1,
        }
    }

    /// Returns the number of input voxels along an axis that a voxel of the deepest level depends on, and with it one of the
    /// output, to which the decoder adds its own kernels.
    fn receptive_field_along(&self, axis: usize) -> usize {
        let mut field = 1;
        for level in 0..self.depth() {
            let spacing = self.reduction(level)[axis];
            let above = if level == 0 { 1 } else { self.reduction(level - 1)[axis] };
            let reach = self.kernel(level)[axis] - 1;
            let (first, others) = match self.encoder {
                Encoder::Plain => (reach, (self.encoder_convs(level) - 1) * reach),
                Encoder::Residual => (reach, (2 * self.encoder_convs(level) - 1) * reach),
            };
            // A strided convolution sees the grid above; pooling joins as many voxels of it as its window has.
            field += match self.downsample {
                Downsample::MaxPool => (spacing - above) + (first + others) * spacing,
                Downsample::StridedConv => first * above + others * spacing,
            };
            if level == 0 && self.encoder == Encoder::Residual {
                field += reach;
            }
        }
        field
    }
}

impl Architecture for Unet {
    fn declare(&self, all: &mut Declarations, channels: usize, classes: usize) -> Arc<dyn Layers> {
        Arc::new(UnetLayers::declare(self, all, channels, classes))
    }

    fn input_weight(&self) -> &'static str {
        match self.encoder {
            Encoder::Plain => "encoder.0.conv1.weight",
            Encoder::Residual => "encoder.stem.conv1.weight",
        }
    }

    fn is_input_weight(&self, parameter: &str) -> bool {
        let is_shortcut = self.encoder == Encoder::Plain && self.residual && parameter == "encoder.0.shortcut.weight";
        parameter == self.input_weight() || is_shortcut
    }

    fn is_head(&self, parameter: &str) -> bool {
        let layer = parameter.rsplit_once('.').map_or(parameter, |(layer, _)| layer);
        layer == "head" || layer.ends_with(".head")
    }

    fn receptive_field(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.receptive_field_along(axis))
    }

    fn input_sizes(&self) -> InputSizes {
        InputSizes {
            multiple_of: self.reduction(self.depth().saturating_sub(1)),
            reason: format!("the network has {} levels", self.depth()),
            remedy: "give the network fewer widths",
        }
    }

    fn check(&self) -> Vec<Diagnostic> {
        self.check_keys()
    }

    fn check_training(&self, patch: [usize; 3], batch: usize) -> Vec<Diagnostic> {
        self.check_norm(patch, batch)
    }

    fn is_without_effect(&self, parameter: &str) -> bool {
        let convolution = parameter.strip_suffix(".bias").and_then(|name| name.rsplit('.').next());
        let is_before_norm = convolution.is_some_and(|name| name.starts_with("conv"));
        is_before_norm && matches!(self.norm, Norm::Instance | Norm::Batch)
    }

    fn activation_memory(&self, step: &StepSize) -> ActivationMemory {
        memory::estimate(self, step)
    }
}
