//! What numbers convolutions are computed with in training.

use burn::tensor::{FloatDType, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::device::DeviceName;

/// What numbers the convolutions of a training step are computed with. Weights, their moments, normalisations and the loss
/// are 32-bit floats always, and so is validation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FloatFormat {
    /// 32-bit floats.
    #[default]
    Float32,
    /// 32-bit floats whose products have 10 binary digits after the point: what LibTorch does on a GPU.
    Tf32,
    /// 16-bit floats with the range of 32-bit ones.
    Bfloat16,
}

impl FloatFormat {
    /// Why a device cannot compute so.
    pub fn refusal(self, device: DeviceName) -> Option<String> {
        match (self, device) {
            (Self::Bfloat16, DeviceName::Flex | DeviceName::Rocm(_) | DeviceName::Wgpu(_)) => {
                Some(format!("{device} has no bfloat16 convolutions"))
            }
            (Self::Tf32, DeviceName::LibtorchCuda(_)) => None,
            (Self::Tf32, _) => Some(format!("{device} has no tf32")),
            _ => None,
        }
    }

    /// A layer's input or weight, as the layer is computed.
    pub(super) fn lower<const D: usize>(self, tensor: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Float32 | Self::Tf32 => tensor,
            Self::Bfloat16 => tensor.cast(FloatDType::BF16),
        }
    }

    /// A layer's output as 32-bit floats.
    pub(super) fn raise<const D: usize>(self, tensor: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Float32 | Self::Tf32 => tensor,
            Self::Bfloat16 => tensor.cast(FloatDType::F32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_has_what_it_has() {
        let has = |precision: FloatFormat, device: &str| precision.refusal(device.parse().unwrap()).is_none();
        for device in ["flex", "libtorch:cpu", "libtorch:cuda:0", "cuda:0", "rocm:0", "wgpu:0"] {
            assert!(has(FloatFormat::Float32, device), "{device}");
        }
        assert!(has(FloatFormat::Bfloat16, "libtorch:cpu") && !has(FloatFormat::Bfloat16, "flex"));
        assert!(has(FloatFormat::Bfloat16, "cuda:0") && !has(FloatFormat::Bfloat16, "rocm:0"));
        assert!(has(FloatFormat::Tf32, "libtorch:cuda:1") && !has(FloatFormat::Tf32, "libtorch:cpu"));
    }
}
