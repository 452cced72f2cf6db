//! Devices: where a network runs. Only this folder names burn's backends.
//!
//! A [`Backend`] is one kind of device, such as all CUDA GPUs; a [`DeviceName`] is one device of a kind. To add a backend,
//! write a file with its [`Backend`], and add a line to the registry below.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::FloatFormat;

mod cuda;
pub(crate) mod flex;
mod libtorch_cpu;
mod libtorch_cuda;
mod rocm;
mod wgpu;

/// Declares the registry of backends: an enum with a variant for each, which is a struct in the module.
macro_rules! backends {
    ($($module:ident::$kind:ident),+ $(,)?) => {
        /// A kind of device.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DeviceKind {
            $(#[doc = concat!("See `devices/", stringify!($module), ".rs`.")] $kind),+
        }

        impl DeviceKind {
            /// All kinds; `auto` prefers accelerators in this order, then the CPU in this order.
            const ALL: &'static [Self] = &[$(Self::$kind),+];

            fn backend(self) -> &'static dyn Backend {
                match self {
                    $(Self::$kind => &$module::$kind),+
                }
            }
        }
    };
}

backends! {
    flex::Flex,
    libtorch_cpu::LibtorchCpu,
    libtorch_cuda::LibtorchCuda,
    cuda::Cuda,
    rocm::Rocm,
    wgpu::Wgpu,
}

/// One kind of device: what the program asks of a backend.
pub trait Backend {
    /// Returns the name of the kind, such as `libtorch:cuda`.
    fn name(&self) -> &'static str;

    /// Returns the cargo feature that compiles the backend in.
    fn feature(&self) -> &'static str;

    /// Returns whether this binary was built with the backend.
    fn is_built(&self) -> bool;

    /// Returns further cargo features of the backend that this binary was built with.
    fn extra_features(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns whether devices have an index, as in `cuda:0`.
    fn is_indexed(&self) -> bool;

    /// Returns the number of devices of this kind on this machine.
    fn count(&self) -> usize;

    /// Describes a device for `runner devices`.
    fn description(&self, index: usize) -> &'static str;

    /// Opens a device that exists; `None` if the backend was not built.
    fn open(&self, index: usize) -> Option<burn::tensor::Device>;

    /// Returns whether the device computes in the machine's main memory.
    fn is_host(&self) -> bool;

    /// Returns whether a device is emulated in software, which is slower than the CPU itself; `auto` skips it.
    fn is_software(&self, _index: usize) -> bool {
        false
    }

    /// Returns whether the device computes convolutions in a number format.
    fn supports(&self, format: FloatFormat) -> bool {
        format == FloatFormat::Float32
    }

    /// Returns a warning about a supported number format.
    fn format_warning(&self, _format: FloatFormat) -> Option<&'static str> {
        None
    }

    /// Returns how activations are allocated, for the memory estimate.
    fn allocation(&self) -> Allocation {
        Allocation::Burn
    }
}

/// How a backend allocates activations, for the memory estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// By the kernels of this crate.
    Kernels,
    /// By burn's operations.
    Burn,
    /// By LibTorch's operations on the CPU.
    Libtorch,
}

/// A device by its name, such as `cuda:0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceName {
    /// The best device that this binary supports and this machine has.
    #[default]
    Auto,
    /// The device of a kind with an index; 0 where the kind has only one device.
    Device(DeviceKind, usize),
}

impl DeviceName {
    /// The CPU, in pure Rust.
    pub const FLEX: Self = Self::Device(DeviceKind::Flex, 0);

    /// Returns the device that `auto` stands for; any other name is returned as it is.
    ///
    /// # Errors
    /// Returns an error if this binary was built without the device's backend, or if this machine has no such device.
    pub fn resolve(self) -> Result<Self, DeviceError> {
        if self != Self::Auto {
            return self.check_available().map(|()| self);
        }
        let mut preferred = DeviceKind::ALL.to_vec();
        preferred.sort_by_key(|kind| kind.backend().is_host());
        let is_usable =
            |kind: &DeviceKind| Self::Device(*kind, 0).check_available().is_ok() && !kind.backend().is_software(0);
        match preferred.into_iter().find(is_usable) {
            Some(kind) => Ok(Self::Device(kind, 0)),
            None => Err(DeviceError::NotBuilt { name: Self::FLEX, feature: DeviceKind::Flex.backend().feature() }),
        }
    }

    /// Opens the device.
    ///
    /// # Errors
    /// Returns an error if this binary was built without the device's backend, or if this machine has no such device.
    pub fn open(self) -> Result<burn::tensor::Device, DeviceError> {
        let name = self.resolve()?;
        let Self::Device(kind, index) = name else { unreachable!("a resolved name is that of a device") };
        let not_built = DeviceError::NotBuilt { name, feature: kind.backend().feature() };
        kind.backend().open(index).ok_or(not_built)
    }

    /// Returns whether the device computes in the machine's main memory; false for `auto`.
    pub fn is_host(self) -> bool {
        self.backend().is_some_and(Backend::is_host)
    }

    /// Returns how the device allocates activations.
    pub fn allocation(self) -> Allocation {
        self.backend().map_or(Allocation::Burn, Backend::allocation)
    }

    /// Returns why the device cannot compute convolutions in a number format, if it cannot.
    pub fn unsupported(self, format: FloatFormat) -> Option<String> {
        if self.backend()?.supports(format) {
            return None;
        }
        match format {
            FloatFormat::Float32 => Some(format!("{self} has no float32 convolutions")),
            FloatFormat::Tf32 => Some(format!("{self} has no tf32")),
            FloatFormat::Bfloat16 => Some(format!("{self} has no bfloat16 convolutions")),
        }
    }

    /// Returns a warning about a number format on this device.
    pub fn format_warning(self, format: FloatFormat) -> Option<&'static str> {
        self.backend()?.format_warning(format)
    }

    fn backend(self) -> Option<&'static dyn Backend> {
        match self {
            Self::Auto => None,
            Self::Device(kind, _) => Some(kind.backend()),
        }
    }

    fn check_available(self) -> Result<(), DeviceError> {
        let Self::Device(kind, index) = self else { return Ok(()) };
        let backend = kind.backend();
        if !backend.is_built() {
            return Err(DeviceError::NotBuilt { name: self, feature: backend.feature() });
        }
        let count = backend.count();
        if backend.is_indexed() && index >= count {
            return Err(DeviceError::Missing { name: self, reason: format!("this machine has {count} of its kind") });
        }
        Ok(())
    }
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let index = |backend: &dyn Backend| match backend.is_indexed() {
            true => text.strip_prefix(backend.name())?.strip_prefix(':')?.parse().ok(),
            false => (text == backend.name()).then_some(0),
        };
        let device = |kind: &DeviceKind| Some(Self::Device(*kind, index(kind.backend())?));
        DeviceKind::ALL.iter().find_map(device).ok_or_else(|| {
            format!("unknown device `{text}`, expected {}", list(&patterns("N"), |name| name.to_owned()))
        })
    }
}

/// Returns the names of all devices, with a placeholder for indices.
fn patterns(index: &str) -> Vec<String> {
    let pattern = |kind: &DeviceKind| match kind.backend() {
        backend if backend.is_indexed() => format!("{}:{index}", backend.name()),
        backend => backend.name().to_owned(),
    };
    std::iter::once("auto".to_owned()).chain(DeviceKind::ALL.iter().map(pattern)).collect()
}

/// Joins names to `a, b or c`.
fn list(names: &[String], format: impl Fn(&str) -> String) -> String {
    let names: Vec<String> = names.iter().map(|name| format(name)).collect();
    let (last, rest) = names.split_last().expect("auto is always a name");
    format!("{} or {last}", rest.join(", "))
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Device(kind, index) if kind.backend().is_indexed() => write!(f, "{}:{index}", kind.backend().name()),
            Self::Device(kind, _) => f.write_str(kind.backend().name()),
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
            "description": format!("{}.", list(&patterns("N"), |name| format!("`{name}`"))),
            "type": "string",
            "pattern": format!("^({})$", patterns("[0-9]+").join("|"))
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
        /// The cargo feature of its backend.
        feature: &'static str,
    },
    /// The machine has no such device.
    #[error("{name} does not exist: {reason}")]
    Missing {
        /// The device.
        name: DeviceName,
        /// What the machine has instead.
        reason: String,
    },
}

/// A device of this machine, or a kind of which it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its name.
    pub name: DeviceName,
    /// What it is, or why it cannot be used.
    pub description: String,
    /// Whether it can be used.
    pub usable: bool,
}

/// Returns the cargo features of the backends that this binary was built with.
pub fn features() -> Vec<&'static str> {
    let mut features = Vec::new();
    for backend in DeviceKind::ALL.iter().map(|kind| kind.backend()).filter(|backend| backend.is_built()) {
        features.push(backend.feature());
        features.extend(backend.extra_features());
    }
    features.dedup();
    features
}

/// Returns every device of this machine, and for each kind without devices the reason.
pub fn available() -> Vec<DeviceInfo> {
    let devices =
        DeviceKind::ALL.iter().flat_map(|kind| (0..kind.backend().count().max(1)).map(|index| (*kind, index)));
    let describe = |(kind, index): (DeviceKind, usize)| {
        let name = DeviceName::Device(kind, index);
        match name.check_available() {
            Ok(()) => DeviceInfo { name, description: kind.backend().description(index).to_owned(), usable: true },
            Err(error) => DeviceInfo { name, description: format!("not usable: {error}"), usable: false },
        }
    };
    devices.map(describe).collect()
}

#[cfg(any(feature = "cuda", feature = "rocm"))]
fn num_devices(kind: burn::tensor::DeviceType) -> usize {
    burn::tensor::Device::enumerate(kind).into_vec().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(text: &str) -> DeviceName {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_written_as_they_were_read() {
        for text in ["auto", "flex", "libtorch:cpu", "libtorch:cuda:1", "cuda:0", "rocm:3", "wgpu:2"] {
            assert_eq!(device(text).to_string(), text);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = "gpu".parse::<DeviceName>().unwrap_err();
        let expected = "expected auto, flex, libtorch:cpu, libtorch:cuda:N, cuda:N, rocm:N or wgpu:N";
        assert_eq!(error, format!("unknown device `gpu`, {expected}"));
    }

    #[test]
    fn the_schema_accepts_the_names_of_all_kinds() {
        let schema = schemars::schema_for!(DeviceName);
        let expected = "^(auto|flex|libtorch:cpu|libtorch:cuda:[0-9]+|cuda:[0-9]+|rocm:[0-9]+|wgpu:[0-9]+)$";
        assert_eq!(schema.get("pattern").unwrap(), expected);
    }

    #[test]
    fn each_device_supports_its_number_formats() {
        let supports = |format: FloatFormat, name: &str| device(name).unsupported(format).is_none();
        for name in ["flex", "libtorch:cpu", "libtorch:cuda:0", "cuda:0", "rocm:0", "wgpu:0"] {
            assert!(supports(FloatFormat::Float32, name), "{name}");
        }
        assert!(supports(FloatFormat::Bfloat16, "libtorch:cpu") && !supports(FloatFormat::Bfloat16, "flex"));
        assert!(supports(FloatFormat::Bfloat16, "cuda:0") && !supports(FloatFormat::Bfloat16, "rocm:0"));
        assert!(supports(FloatFormat::Tf32, "libtorch:cuda:1") && !supports(FloatFormat::Tf32, "libtorch:cpu"));
    }

    #[cfg(not(feature = "wgpu"))]
    #[test]
    fn a_device_that_was_not_built_names_its_feature() {
        let error = device("wgpu:0").open().unwrap_err();
        assert!(error.to_string().contains("--features wgpu"), "{error}");
    }
}
