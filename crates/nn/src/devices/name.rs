//! Devices by name.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::{Allocation, Backend, DeviceKind};
use crate::FloatFormat;

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

    /// Resolves `auto` to a device; any other name is returned unchanged.
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
        let Self::Device(kind, index) = name else { unreachable!("a resolved name is not `auto`") };
        let not_built = DeviceError::NotBuilt { name, feature: kind.backend().feature() };
        kind.backend().open(index).ok_or(not_built)
    }

    /// Returns whether the device computes in the machine's main memory; false for `auto`.
    pub fn is_host(self) -> bool {
        self.backend().is_some_and(Backend::is_host)
    }

    /// Returns whether the process should retain freed memory while it trains on the device.
    pub fn retains_freed_memory(self) -> bool {
        self.backend().is_some_and(Backend::retains_freed_memory)
    }

    /// Returns how the device allocates activations.
    pub fn allocation(self) -> Allocation {
        self.backend().map_or(Allocation::Burn, Backend::allocation)
    }

    /// Returns the reason why the device cannot compute convolutions in a number format; `None` if it can.
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

    /// Returns a warning about this device's backend in this binary, with the way out.
    pub fn warning(self) -> Option<String> {
        self.backend()?.warning()
    }

    fn backend(self) -> Option<&'static dyn Backend> {
        match self {
            Self::Auto => None,
            Self::Device(kind, _) => Some(kind.backend()),
        }
    }

    pub(super) fn check_available(self) -> Result<(), DeviceError> {
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

/// Formats names and joins them as `a, b or c`.
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
    /// The binary was built without the device's backend.
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
        /// The devices that the machine has.
        reason: String,
    },
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
