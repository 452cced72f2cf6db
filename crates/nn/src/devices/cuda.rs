//! `cuda:N`: a CUDA GPU through burn's own kernels.

use burn::tensor::Device;

use super::Backend;
use crate::FloatFormat;

/// CUDA GPUs.
#[derive(Debug)]
pub struct Cuda;

impl Backend for Cuda {
    fn name(&self) -> &'static str {
        "cuda"
    }

    fn feature(&self) -> &'static str {
        "cuda"
    }

    fn is_built(&self) -> bool {
        cfg!(feature = "cuda")
    }

    fn is_indexed(&self) -> bool {
        true
    }

    #[cfg(feature = "cuda")]
    fn count(&self) -> usize {
        super::num_devices(burn::tensor::DeviceType::Cuda)
    }

    #[cfg(not(feature = "cuda"))]
    fn count(&self) -> usize {
        0
    }

    fn description(&self, _: usize) -> &'static str {
        "CUDA GPU"
    }

    #[cfg(feature = "cuda")]
    fn open(&self, index: usize) -> Option<Device> {
        Some(Device::cuda(index))
    }

    #[cfg(not(feature = "cuda"))]
    fn open(&self, _: usize) -> Option<Device> {
        None
    }

    fn is_host(&self) -> bool {
        false
    }

    fn supports(&self, format: FloatFormat) -> bool {
        matches!(format, FloatFormat::Float32 | FloatFormat::Bfloat16)
    }
}
