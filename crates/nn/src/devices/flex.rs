//! `flex`: the CPU, in pure Rust, with the kernels of this crate.

use burn::tensor::Device;

use super::{Allocation, Backend};

/// The CPU, in pure Rust.
#[derive(Debug)]
pub struct Flex;

impl Backend for Flex {
    fn name(&self) -> &'static str {
        "flex"
    }

    fn feature(&self) -> &'static str {
        "flex"
    }

    fn is_built(&self) -> bool {
        cfg!(feature = "flex")
    }

    fn is_indexed(&self) -> bool {
        false
    }

    fn count(&self) -> usize {
        1
    }

    fn description(&self, _: usize) -> &'static str {
        "CPU, pure Rust"
    }

    #[cfg(feature = "flex")]
    fn open(&self, _: usize) -> Option<Device> {
        Some(Device::flex())
    }

    #[cfg(not(feature = "flex"))]
    fn open(&self, _: usize) -> Option<Device> {
        None
    }

    fn is_host(&self) -> bool {
        true
    }

    fn retains_freed_memory(&self) -> bool {
        true
    }

    fn allocation(&self) -> Allocation {
        Allocation::Kernels
    }
}

/// Returns whether a device is `flex`, with or without autodiff.
#[cfg(feature = "flex")]
pub(crate) fn is_flex(device: &Device) -> bool {
    *device == Device::flex()
}
