//! Where a network runs; the only place that knows burn's backends.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// A device by the name that a person writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceName {
    /// The best that this binary has and this machine offers.
    #[default]
    Auto,
    /// The CPU, in pure Rust.
    Flex,
    /// The CPU through LibTorch.
    LibtorchCpu,
    /// A CUDA GPU through LibTorch, by its index.
    LibtorchCuda(usize),
    /// A CUDA GPU, by its index.
    Cuda(usize),
    /// An AMD GPU through ROCm, by its index.
    Rocm(usize),
    /// An adapter of Vulkan, Metal or DirectX 12, by its index: GPUs first, software last.
    Wgpu(usize),
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let index = |prefix: &str| text.strip_prefix(prefix).and_then(|index| index.parse().ok());
        match text {
            "auto" => Ok(Self::Auto),
            "flex" => Ok(Self::Flex),
            "libtorch:cpu" => Ok(Self::LibtorchCpu),
            _ => index("libtorch:cuda:")
                .map(Self::LibtorchCuda)
                .or_else(|| index("cuda:").map(Self::Cuda))
                .or_else(|| index("rocm:").map(Self::Rocm))
                .or_else(|| index("wgpu:").map(Self::Wgpu))
                .ok_or_else(|| {
                    format!(
                        "unknown device `{text}`, expected auto, flex, libtorch:cpu, libtorch:cuda:N, cuda:N, rocm:N or \
                         wgpu:N"
                    )
                }),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Flex => f.write_str("flex"),
            Self::LibtorchCpu => f.write_str("libtorch:cpu"),
            Self::LibtorchCuda(index) => write!(f, "libtorch:cuda:{index}"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Rocm(index) => write!(f, "rocm:{index}"),
            Self::Wgpu(index) => write!(f, "wgpu:{index}"),
        }
    }
}

impl Serialize for DeviceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for DeviceName {
    fn schema_name() -> Cow<'static, str> {
        "DeviceName".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`auto`, `flex`, `libtorch:cpu`, `libtorch:cuda:N`, `cuda:N`, `rocm:N` or `wgpu:N`.",
            "type": "string",
            "pattern": "^(auto|flex|libtorch:cpu|libtorch:cuda:[0-9]+|cuda:[0-9]+|rocm:[0-9]+|wgpu:[0-9]+)$"
        })
    }
}

/// A device that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The binary was built without its backend.
    #[error("this binary was built without {name}; build it with `cargo build --release --features {feature}`")]
    NotBuilt {
        /// The device.
        name: DeviceName,
        /// The cargo feature that brings it.
        feature: &'static str,
    },
    /// The machine lacks it.
    #[error("{name} is not there: {reason}")]
    Absent {
        /// The device.
        name: DeviceName,
        /// What was found instead.
        reason: String,
    },
}

/// A device that this binary knows and whether it can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its name.
    pub name: DeviceName,
    /// What it is, or why it cannot be used.
    pub description: String,
    /// Whether it can be used.
    pub usable: bool,
}

impl DeviceName {
    /// The device that `auto` means; any other name is itself.
    ///
    /// # Errors
    /// When the binary has no such device or the machine lacks it.
    pub fn resolve(self) -> Result<Self, DeviceError> {
        if self != Self::Auto {
            return self.present().map(|()| self);
        }
        let preferred =
            [Self::LibtorchCuda(0), Self::Cuda(0), Self::Rocm(0), Self::Wgpu(0), Self::Flex, Self::LibtorchCpu];
        let found = preferred.into_iter().find(|name| name.present().is_ok() && !name.is_software());
        found.ok_or(DeviceError::NotBuilt { name: Self::Flex, feature: "flex" })
    }

    /// The cargo feature that brings the device.
    pub fn feature(self) -> &'static str {
        match self {
            Self::Auto | Self::Flex => "flex",
            Self::LibtorchCpu | Self::LibtorchCuda(_) => "libtorch",
            Self::Cuda(_) => "cuda",
            Self::Rocm(_) => "rocm",
            Self::Wgpu(_) => "wgpu",
        }
    }

    /// Whether this binary was built with the device's backend.
    pub fn is_built(self) -> bool {
        features().contains(&self.feature())
    }

    fn present(self) -> Result<(), DeviceError> {
        if !self.is_built() {
            return Err(DeviceError::NotBuilt { name: self, feature: self.feature() });
        }
        match self {
            Self::LibtorchCuda(index) | Self::Cuda(index) | Self::Rocm(index) | Self::Wgpu(index) => {
                let count = self.count();
                if index < count {
                    return Ok(());
                }
                Err(DeviceError::Absent { name: self, reason: format!("this machine offers {count} of its kind") })
            }
            Self::Auto | Self::Flex | Self::LibtorchCpu => Ok(()),
        }
    }

    /// How many of its kind this machine offers.
    fn count(self) -> usize {
        match self {
            Self::Auto | Self::Flex | Self::LibtorchCpu => 1,
            Self::LibtorchCuda(_) => libtorch::num_gpus(),
            #[cfg(feature = "cuda")]
            Self::Cuda(_) => num_devices(burn::tensor::DeviceType::Cuda),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => 0,
            #[cfg(feature = "rocm")]
            Self::Rocm(_) => num_devices(burn::tensor::DeviceType::Rocm),
            #[cfg(not(feature = "rocm"))]
            Self::Rocm(_) => 0,
            Self::Wgpu(_) => wgpu::num_adapters(),
        }
    }

    /// Whether it is the adapter of a software driver, which is slower than the CPU by itself.
    fn is_software(self) -> bool {
        matches!(self, Self::Wgpu(index) if wgpu::is_software(index))
    }

    fn description(self) -> &'static str {
        match self {
            Self::Auto => "the best that there is",
            Self::Flex => "CPU, pure Rust",
            Self::LibtorchCpu => "CPU through LibTorch",
            Self::LibtorchCuda(_) => "CUDA GPU through LibTorch",
            Self::Cuda(_) => "CUDA GPU",
            Self::Rocm(_) => "AMD GPU through ROCm",
            Self::Wgpu(index) => wgpu::description(index),
        }
    }

    /// Opens the device.
    ///
    /// # Errors
    /// When the binary has no such device or the machine lacks it.
    pub fn open(self) -> Result<burn::tensor::Device, DeviceError> {
        let name = self.resolve()?;
        match name {
            #[cfg(feature = "flex")]
            Self::Flex => Ok(burn::tensor::Device::flex()),
            #[cfg(feature = "libtorch")]
            Self::LibtorchCpu => Ok(libtorch::cpu()),
            #[cfg(feature = "libtorch")]
            Self::LibtorchCuda(index) => Ok(libtorch::cuda(index)),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => Ok(burn::tensor::Device::cuda(index)),
            #[cfg(feature = "rocm")]
            Self::Rocm(index) => Ok(burn::tensor::Device::rocm(index)),
            #[cfg(feature = "wgpu")]
            Self::Wgpu(index) => Ok(wgpu::adapter(index).expect("a device that is present has an adapter")),
            _ => Err(DeviceError::NotBuilt { name, feature: name.feature() }),
        }
    }
}

/// Whether a device is `flex`, with or without gradients.
#[cfg(feature = "flex")]
pub(super) fn is_flex(device: &burn::tensor::Device) -> bool {
    *device == burn::tensor::Device::flex()
}

/// The backends that this binary was built with, by their cargo features.
pub fn features() -> Vec<&'static str> {
    let all = [
        ("flex", cfg!(feature = "flex")),
        ("libtorch", cfg!(feature = "libtorch")),
        ("cuda", cfg!(feature = "cuda")),
        ("rocm", cfg!(feature = "rocm")),
        ("wgpu", cfg!(feature = "wgpu")),
        ("metal", cfg!(feature = "metal")),
    ];
    all.into_iter().filter(|(_, built)| *built).map(|(name, _)| name).collect()
}

/// Every device that can be used here, and for each kind that is missing, why.
pub fn available() -> Vec<DeviceInfo> {
    let kinds: [fn(usize) -> DeviceName; 6] = [
        |_| DeviceName::Flex,
        |_| DeviceName::LibtorchCpu,
        DeviceName::LibtorchCuda,
        DeviceName::Cuda,
        DeviceName::Rocm,
        DeviceName::Wgpu,
    ];
    let names = kinds.into_iter().flat_map(|kind| (0..kind(0).count().max(1)).map(kind));
    let describe = |name: DeviceName| match name.present() {
        Ok(()) => DeviceInfo { name, description: name.description().to_owned(), usable: true },
        Err(error) => DeviceInfo { name, description: format!("not usable: {error}"), usable: false },
    };
    names.map(describe).collect()
}

/// LibTorch through burn-tch, which upstream has deprecated: burn 0.22 is the last to have it.
#[cfg(feature = "libtorch")]
#[expect(deprecated, reason = "it is the simplest way to a GPU; nothing else names it")]
mod libtorch {
    use burn::tensor::{Device, DeviceType};
    use burn_tch::LibTorchDevice;

    pub(super) fn cpu() -> Device {
        Device::new(LibTorchDevice::Cpu)
    }

    pub(super) fn cuda(index: usize) -> Device {
        Device::new(LibTorchDevice::Cuda(index))
    }

    pub(super) fn num_gpus() -> usize {
        Device::enumerate(DeviceType::LibTorch).into_vec().into_iter().filter(|device| *device != cpu()).count()
    }
}

#[cfg(not(feature = "libtorch"))]
mod libtorch {
    pub(super) fn num_gpus() -> usize {
        0
    }
}

#[cfg(any(feature = "cuda", feature = "rocm"))]
fn num_devices(kind: burn::tensor::DeviceType) -> usize {
    burn::tensor::Device::enumerate(kind).into_vec().len()
}

/// Adapters of the one graphics API that wgpu settles on: the first that has a GPU, else the first that has anything.
#[cfg(feature = "wgpu")]
mod wgpu {
    use std::sync::OnceLock;

    use burn::backend::{CubeDevice, DispatchDevice, WgpuDeviceKind};
    use burn::tensor::{Device, DeviceType};

    /// What a graphics API says of an adapter, the best first.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Kind {
        Discrete,
        Integrated,
        Virtual,
        Other,
        Software,
    }

    impl Kind {
        fn of(adapter: &Device) -> Self {
            let DispatchDevice::Cube(CubeDevice::Wgpu(adapter)) = adapter.as_dispatch() else { return Self::Other };
            match adapter.kind {
                WgpuDeviceKind::DiscreteGpu(_) => Self::Discrete,
                WgpuDeviceKind::IntegratedGpu(_) => Self::Integrated,
                WgpuDeviceKind::VirtualGpu(_) => Self::Virtual,
                WgpuDeviceKind::Cpu => Self::Software,
                _ => Self::Other,
            }
        }
    }

    pub(super) fn num_adapters() -> usize {
        adapters().len()
    }

    pub(super) fn adapter(index: usize) -> Option<Device> {
        adapters().get(index).cloned()
    }

    pub(super) fn is_software(index: usize) -> bool {
        adapter(index).is_some_and(|adapter| Kind::of(&adapter) == Kind::Software)
    }

    pub(super) fn description(index: usize) -> &'static str {
        match adapter(index).as_ref().map(Kind::of) {
            Some(Kind::Discrete) => "discrete GPU through WebGPU",
            Some(Kind::Integrated) => "integrated GPU through WebGPU",
            Some(Kind::Virtual) => "virtual GPU through WebGPU",
            Some(Kind::Software) => "CPU through WebGPU, by a software driver: for trying only",
            Some(Kind::Other) | None => "adapter of WebGPU",
        }
    }

    /// Asked of the driver once, since each time takes a part of a second.
    fn adapters() -> &'static [Device] {
        static ADAPTERS: OnceLock<Vec<Device>> = OnceLock::new();
        ADAPTERS.get_or_init(|| best_first(Device::enumerate(DeviceType::Wgpu).into_vec()))
    }

    /// Adapters of one kind stay in the order of the driver.
    fn best_first(mut adapters: Vec<Device>) -> Vec<Device> {
        adapters.sort_by_key(Kind::of);
        adapters
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use burn::tensor::DeviceKind;

        #[test]
        fn gpus_come_before_software_and_keep_their_order() {
            let [software, integrated, first, second] =
                [DeviceKind::Cpu, DeviceKind::IntegratedGpu(0), DeviceKind::DiscreteGpu(0), DeviceKind::DiscreteGpu(1)]
                    .map(Device::wgpu);
            let found = vec![software.clone(), integrated.clone(), first.clone(), second.clone()];
            assert_eq!(best_first(found), [first, second, integrated, software]);
        }
    }
}

#[cfg(not(feature = "wgpu"))]
mod wgpu {
    pub(super) fn num_adapters() -> usize {
        0
    }

    pub(super) fn is_software(_: usize) -> bool {
        false
    }

    pub(super) fn description(_: usize) -> &'static str {
        "adapter of WebGPU"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_they_were_written() {
        for text in ["auto", "flex", "libtorch:cpu", "libtorch:cuda:1", "cuda:0", "rocm:3", "wgpu:2"] {
            assert_eq!(text.parse::<DeviceName>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = "gpu".parse::<DeviceName>().unwrap_err();
        assert!(error.contains("libtorch:cuda:N"), "{error}");
    }

    #[cfg(not(feature = "wgpu"))]
    #[test]
    fn a_device_that_was_not_built_names_its_feature() {
        let error = DeviceName::Wgpu(0).open().unwrap_err();
        assert!(error.to_string().contains("--features wgpu"), "{error}");
    }
}
