//! `rocm:N`: an AMD GPU through ROCm.

use burn::tensor::Device;

use super::Backend;

/// AMD GPUs through ROCm.
#[derive(Debug)]
pub struct Rocm;

impl Backend for Rocm {
    fn name(&self) -> &'static str {
        "rocm"
    }

    fn feature(&self) -> &'static str {
        "rocm"
    }

    fn is_built(&self) -> bool {
        cfg!(feature = "rocm")
    }

    fn is_indexed(&self) -> bool {
        true
    }

    #[cfg(feature = "rocm")]
    fn count(&self) -> usize {
        super::num_devices(burn::tensor::DeviceType::Rocm)
    }

    #[cfg(not(feature = "rocm"))]
    fn count(&self) -> usize {
        0
    }

    fn description(&self, _: usize) -> &'static str {
        "AMD GPU through ROCm"
    }

    #[cfg(feature = "rocm")]
    fn open(&self, index: usize) -> Option<Device> {
        Some(Device::rocm(index))
    }

    #[cfg(not(feature = "rocm"))]
    fn open(&self, _: usize) -> Option<Device> {
        None
    }

    fn is_host(&self) -> bool {
        false
    }
}
