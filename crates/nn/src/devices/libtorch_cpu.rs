//! `libtorch:cpu`: the CPU through LibTorch.

use burn::tensor::Device;

use super::{Allocation, Backend};
use crate::FloatFormat;

/// The CPU through LibTorch.
#[derive(Debug)]
pub struct LibtorchCpu;

impl Backend for LibtorchCpu {
    fn name(&self) -> &'static str {
        "libtorch:cpu"
    }

    fn feature(&self) -> &'static str {
        "libtorch"
    }

    fn is_built(&self) -> bool {
        cfg!(feature = "libtorch")
    }

    fn is_indexed(&self) -> bool {
        false
    }

    fn count(&self) -> usize {
        1
    }

    fn description(&self, _: usize) -> &'static str {
        "CPU through LibTorch"
    }

    #[cfg(feature = "libtorch")]
    #[expect(deprecated, reason = "burn 0.22 is the last version with burn-tch, the simplest GPU backend to install")]
    fn open(&self, _: usize) -> Option<Device> {
        Some(Device::new(burn_tch::LibTorchDevice::Cpu))
    }

    #[cfg(not(feature = "libtorch"))]
    fn open(&self, _: usize) -> Option<Device> {
        None
    }

    fn is_host(&self) -> bool {
        true
    }

    fn supports(&self, format: FloatFormat) -> bool {
        matches!(format, FloatFormat::Float32 | FloatFormat::Bfloat16)
    }

    fn allocation(&self) -> Allocation {
        Allocation::Libtorch
    }
}
