//! The U-Net.

use std::num::NonZeroUsize;

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::blocks::{Block, BlockStyle, Convolution, Pass, TransposedConvolution};
use super::parameters::{Declarations, Parameters};
use super::pool::max_pool;
use super::upsample;
use values::UnitFraction;

/// The name of the weights that meet the image: `[width, channel, x, y, z]`.
pub(super) const FIRST_WEIGHT: &str = "encoder.0.conv1.weight";

/// A 3-D U-Net: two 3x3x3 convolutions a level, a 1x1x1 head.
///
/// ```yaml
/// unet: { widths: [32, 64, 128, 256], norm: instance, activation: leaky_relu }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnetSpec {
    /// Channels of each level, from the full resolution down; each further level halves every axis.
    pub widths: Vec<NonZeroUsize>,
    /// What follows each 3x3x3 convolution before its activation.
    #[serde(default)]
    pub norm: Norm,
    /// What follows each 3x3x3 convolution.
    #[serde(default)]
    pub activation: Activation,
    /// How a level is halved.
    #[serde(default)]
    pub downsample: Downsample,
    /// How a level is doubled.
    #[serde(default)]
    pub upsample: Upsample,
    /// The share of channels set to zero after each level's convolutions, in training.
    #[serde(default = "no_dropout")]
    pub dropout: UnitFraction,
    /// Whether each level adds its input to its output, through a 1x1x1 convolution where the widths differ.
    #[serde(default)]
    pub residual: bool,
}

/// What follows each 3x3x3 convolution before its activation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Nothing.
    #[default]
    None,
    /// Each channel of each patch on its own.
    Instance,
    /// Each channel over the batch, with running statistics for inference.
    Batch,
    /// Groups of 8 channels of each patch; fewer where a width has no such divisor.
    Group,
}

/// A nonlinearity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(x, 0).
    #[default]
    Relu,
    /// x, or 0.01 x where x is negative.
    LeakyRelu,
}

/// How a level is halved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Downsample {
    /// The largest of each 2x2x2 voxels.
    #[default]
    MaxPool,
    /// The next level's first convolution takes every second voxel.
    StridedConv,
}

/// How a level is doubled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Upsample {
    /// Trilinear interpolation with aligned corners.
    #[default]
    Trilinear,
    /// Each voxel eight times.
    Nearest,
    /// A learnt 2x2x2 transposed convolution.
    TransposedConv,
}

fn no_dropout() -> UnitFraction {
    UnitFraction::new(0.0).expect("0 is a share")
}

/// A U-Net's layers. Its weights lie in [`Parameters`].
#[derive(Clone, Debug)]
pub struct Unet {
    encoder: Vec<Block>,
    decoder: Vec<Level>,
    head: Convolution,
    downsample: Downsample,
}

/// One level of the decoder.
#[derive(Clone, Debug)]
struct Level {
    up: Up,
    block: Block,
}

/// How a level is doubled, with its layers.
#[derive(Clone, Debug)]
enum Up {
    Trilinear,
    Nearest,
    TransposedConvolution(TransposedConvolution),
}

impl UnetSpec {
    /// Voxels of the input that one voxel of the deepest level covers along each axis.
    pub fn stride(&self) -> usize {
        1 << self.widths.len().saturating_sub(1)
    }

    /// Declares the layers, from the full resolution down and back up.
    pub fn declare(&self, all: &mut Declarations, channels: usize, classes: usize) -> Unet {
        let style = BlockStyle {
            norm: self.norm,
            activation: self.activation,
            dropout: self.dropout.get(),
            residual: self.residual,
        };
        let widths: Vec<usize> = self.widths.iter().map(|width| width.get()).collect();
        let mut encoder = Vec::new();
        let mut input = channels;
        for (level, &width) in widths.iter().enumerate() {
            let stride = if level > 0 && self.downsample == Downsample::StridedConv { 2 } else { 1 };
            encoder.push(Block::declare(all, style, &format!("encoder.{level}"), [input, width], stride));
            input = width;
        }
        let mut decoder = Vec::new();
        for (level, &width) in widths.iter().rev().skip(1).enumerate() {
            let name = format!("decoder.{level}");
            let (up, from_below) = match self.upsample {
                Upsample::Trilinear => (Up::Trilinear, input),
                Upsample::Nearest => (Up::Nearest, input),
                Upsample::TransposedConv => {
                    let up = TransposedConvolution::declare(all, &format!("{name}.up"), [input, width]);
                    (Up::TransposedConvolution(up), width)
                }
            };
            let block = Block::declare(all, style, &name, [from_below + width, width], 1);
            decoder.push(Level { up, block });
            input = width;
        }
        let head = Convolution::declare(all, "head", [input, classes], 1, 1);
        Unet { encoder, decoder, head, downsample: self.downsample }
    }
}

impl Unet {
    /// # Shapes
    /// - input: `[batch, channel, x, y, z]`, each axis a multiple of the stride
    /// - output: logits `[batch, class, x, y, z]`
    pub fn forward(&self, parameters: &Parameters, pass: &mut Pass, input: Tensor<5>) -> Tensor<5> {
        let mut skips = Vec::with_capacity(self.encoder.len());
        let mut hidden = input;
        for level in 0..self.encoder.len() {
            if level > 0 {
                skips.push(hidden.clone());
            }
            hidden = self.encode(level, parameters, pass, hidden);
        }
        for (level, skip) in skips.into_iter().rev().enumerate() {
            hidden = self.decode(level, parameters, pass, [hidden, skip]);
        }
        self.classify(parameters, pass, hidden)
    }

    /// Levels of the encoder; the decoder has one less.
    pub(super) fn depth(&self) -> usize {
        self.encoder.len()
    }

    /// One level of the encoder, from the full resolution down.
    pub(super) fn encode(&self, level: usize, parameters: &Parameters, pass: &mut Pass, above: Tensor<5>) -> Tensor<5> {
        let is_pooled = level > 0 && self.downsample == Downsample::MaxPool;
        let input = if is_pooled { max_pool(above) } else { above };
        self.encoder[level].forward(parameters, pass, vec![input])
    }

    /// One level of the decoder, from the deepest up: what lies below it, and the encoder's output of its resolution.
    pub(super) fn decode(
        &self,
        level: usize,
        parameters: &Parameters,
        pass: &mut Pass,
        [below, skip]: [Tensor<5>; 2],
    ) -> Tensor<5> {
        let Level { up, block } = &self.decoder[level];
        let up = match up {
            Up::Trilinear => upsample::trilinear(below),
            Up::Nearest => upsample::nearest(below),
            Up::TransposedConvolution(up) => up.forward(parameters, pass, below),
        };
        block.forward(parameters, pass, vec![up, skip])
    }

    /// Logits of what the last level of the decoder gives.
    pub(super) fn classify(&self, parameters: &Parameters, pass: &Pass, hidden: Tensor<5>) -> Tensor<5> {
        self.head.forward(parameters, pass, vec![hidden], None)
    }
}
