//! The U-Net.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::Share;

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
    pub dropout: Share,
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

fn no_dropout() -> Share {
    Share::new(0.0).expect("0 is a share")
}
