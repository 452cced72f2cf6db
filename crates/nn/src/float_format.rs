//! The number format of convolutions in training.

use burn::tensor::{FloatDType, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The number format of the convolutions of a training step (mixed precision). Weights, optimizer state, normalizations,
/// the loss and validation always use 32-bit floats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FloatFormat {
    /// 32-bit floats.
    #[default]
    Float32,
    /// TF32: 32-bit floats multiplied with a 10-bit mantissa, which is what LibTorch does on a GPU.
    Tf32,
    /// bfloat16: 16-bit floats with the range of 32-bit floats.
    Bfloat16,
}

impl FloatFormat {
    /// Converts a layer's input or weight into the format of its computation.
    pub(crate) fn lower<const D: usize>(self, tensor: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Float32 | Self::Tf32 => tensor,
            Self::Bfloat16 => tensor.cast(FloatDType::BF16),
        }
    }

    /// Converts a layer's output back into 32-bit floats.
    pub(crate) fn raise<const D: usize>(self, tensor: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Float32 | Self::Tf32 => tensor,
            Self::Bfloat16 => tensor.cast(FloatDType::F32),
        }
    }
}
