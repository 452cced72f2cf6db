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

    fn warning(&self) -> Option<String> {
        option_env!("LIBTORCH_VERSION").and_then(slow_convolutions)
    }
}

/// Returns a warning if a version of LibTorch computes 3-D convolutions on CUDA without cuDNN
/// ([pytorch #166122](https://github.com/pytorch/pytorch/issues/166122)).
fn slow_convolutions(version: &str) -> Option<String> {
    let in_2_9 = version.strip_prefix("2.9").is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    in_2_9.then(|| {
        format!(
            "this binary uses LibTorch {version}, whose 3-D convolutions on CUDA are several times slower and need far more memory (PyTorch issue 166122); build it with LibTorch {RECOMMENDED}, as docs/backends.md describes"
        )
    })
}

/// The version of LibTorch that this project recommends; `docs/backends.md` says why.
const RECOMMENDED: &str = "2.11.0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_2_9_are_warned_about() {
        for version in ["2.9", "2.9.0", "2.9.1"] {
            let warning = slow_convolutions(version).expect("a warning");
            assert!(warning.contains(version) && warning.contains(RECOMMENDED), "{warning}");
        }
        for version in ["2.8.0", "2.10.0", "2.11.0", "2.90.0", "1.2.9", RECOMMENDED] {
            assert_eq!(slow_convolutions(version), None);
        }
    }
}
