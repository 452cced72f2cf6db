//! `libtorch:cuda:N`: a CUDA GPU through LibTorch.

use burn::tensor::Device;

use super::Backend;
use crate::FloatFormat;

/// CUDA GPUs through LibTorch.
#[derive(Debug)]
pub struct LibtorchCuda;

impl Backend for LibtorchCuda {
    fn name(&self) -> &'static str {
        "libtorch:cuda"
    }

    fn feature(&self) -> &'static str {
        "libtorch"
    }

    fn is_built(&self) -> bool {
        cfg!(feature = "libtorch")
    }

    fn is_indexed(&self) -> bool {
        true
    }

    #[cfg(feature = "libtorch")]
    #[expect(deprecated, reason = "burn 0.22 is the last version with burn-tch, the simplest GPU backend to install")]
    fn count(&self) -> usize {
        let cpu = Device::new(burn_tch::LibTorchDevice::Cpu);
        let devices = Device::enumerate(burn::tensor::DeviceType::LibTorch).into_vec();
        devices.into_iter().filter(|device| *device != cpu).count()
    }

    #[cfg(not(feature = "libtorch"))]
    fn count(&self) -> usize {
        0
    }

    fn description(&self, _: usize) -> &'static str {
        "CUDA GPU through LibTorch"
    }

    #[cfg(feature = "libtorch")]
    #[expect(deprecated, reason = "burn 0.22 is the last version with burn-tch, the simplest GPU backend to install")]
    fn open(&self, index: usize) -> Option<Device> {
        Some(Device::new(burn_tch::LibTorchDevice::Cuda(index)))
    }

    #[cfg(not(feature = "libtorch"))]
    fn open(&self, _: usize) -> Option<Device> {
        None
    }

    fn is_host(&self) -> bool {
        false
    }

    fn supports(&self, format: FloatFormat) -> bool {
        matches!(format, FloatFormat::Float32 | FloatFormat::Tf32 | FloatFormat::Bfloat16)
    }

    fn format_warning(&self, format: FloatFormat) -> Option<&'static str> {
        (format == FloatFormat::Float32).then_some(
            "libtorch computes convolutions on a GPU in tf32 unless NVIDIA_TF32_OVERRIDE=0 is set in the environment; write train.precision: tf32 if that is intended",
        )
    }
}
