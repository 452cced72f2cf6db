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
    /// A GPU through WebGPU, by its index.
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
                .or_else(|| index("wgpu:").map(Self::Wgpu))
                .ok_or_else(|| {
                    format!(
                        "unknown device `{text}`, expected auto, flex, libtorch:cpu, libtorch:cuda:N, cuda:N or wgpu:N"
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
            "description": "`auto`, `flex`, `libtorch:cpu`, `libtorch:cuda:N`, `cuda:N` or `wgpu:N`.",
            "type": "string",
            "pattern": "^(auto|flex|libtorch:cpu|libtorch:cuda:[0-9]+|cuda:[0-9]+|wgpu:[0-9]+)$"
        })
    }
}
