//! Keys of the U-Net that have a value for each level.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};

/// Voxels along x, y and z for each level: one number or three numbers for all levels, or a list of three numbers for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum SizePerLevel {
    /// The same for all levels.
    All([usize; 3]),
    /// One for each level, from the full resolution down.
    Each(Vec<[usize; 3]>),
}

impl SizePerLevel {
    /// Returns the size at a level.
    pub fn at(&self, level: usize) -> [usize; 3] {
        match self {
            Self::All(size) => *size,
            Self::Each(sizes) => sizes.get(level).copied().unwrap_or([1; 3]),
        }
    }

    /// Returns the number of levels that have a size of their own; `None` if all have the same.
    pub fn num_own(&self) -> Option<usize> {
        match self {
            Self::All(_) => None,
            Self::Each(sizes) => Some(sizes.len()),
        }
    }
}

impl<'de> Deserialize<'de> for SizePerLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(usize),
            Numbers(Vec<usize>),
            Lists(Vec<[usize; 3]>),
        }
        let expected = "expected one number or three numbers for all levels, or a list of three numbers for each level";
        match Written::deserialize(deserializer).map_err(|_| de::Error::custom(expected))? {
            Written::Number(size) => Ok(Self::All([size; 3])),
            Written::Numbers(sizes) => {
                let sizes = <[usize; 3]>::try_from(sizes).map_err(|_| de::Error::custom(expected))?;
                Ok(Self::All(sizes))
            }
            Written::Lists(sizes) => Ok(Self::Each(sizes)),
        }
    }
}

impl JsonSchema for SizePerLevel {
    fn schema_name() -> Cow<'static, str> {
        "SizePerLevel".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let number = serde_json::json!({ "type": "integer", "minimum": 1 });
        let three = serde_json::json!({ "type": "array", "items": number, "minItems": 3, "maxItems": 3 });
        json_schema!({
            "description": "One number or three numbers (x, y, z) for all levels, or a list of three numbers for each level.",
            "anyOf": [number, three, { "type": "array", "items": three }]
        })
    }
}

/// A number for each level: one for all levels, or a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CountPerLevel {
    /// The same for all levels.
    All(usize),
    /// One for each level.
    Each(Vec<usize>),
}

impl CountPerLevel {
    /// Returns the number at a level.
    pub fn at(&self, level: usize) -> usize {
        match self {
            Self::All(count) => *count,
            Self::Each(counts) => counts.get(level).copied().unwrap_or(1),
        }
    }

    /// Returns the number of levels that have a number of their own; `None` if all have the same.
    pub fn num_own(&self) -> Option<usize> {
        match self {
            Self::All(_) => None,
            Self::Each(counts) => Some(counts.len()),
        }
    }
}
