//! Sizes of volumes and of voxels.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};

/// Voxels along x, y and z, each at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Shape(pub [usize; 3]);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shape = <[usize; 3]>::deserialize(deserializer)?;
        check_shape(shape.iter().copied()).map_err(de::Error::custom)?;
        Ok(Self(shape))
    }
}

impl JsonSchema for Shape {
    fn schema_name() -> Cow<'static, str> {
        "Shape".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Voxels along x, y and z.",
            "type": "array", "items": { "type": "integer", "minimum": 1, "maximum": 65535 }, "minItems": 3, "maxItems": 3
        })
    }
}

/// A [`Shape`] in which `null` keeps an axis as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PartialShape(pub [Option<usize>; 3]);

impl PartialShape {
    /// Returns the full shape: `null` becomes the size of `incoming`.
    pub fn resolve(&self, incoming: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|axis| self.0[axis].unwrap_or(incoming[axis]))
    }
}

impl<'de> Deserialize<'de> for PartialShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shape = <[Option<usize>; 3]>::deserialize(deserializer)?;
        check_shape(shape.iter().flatten().copied()).map_err(de::Error::custom)?;
        Ok(Self(shape))
    }
}

impl JsonSchema for PartialShape {
    fn schema_name() -> Cow<'static, str> {
        "PartialShape".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Voxels along x, y and z; `null` keeps an axis.",
            "type": "array", "items": { "type": ["integer", "null"], "minimum": 1, "maximum": 65535 }, "minItems": 3, "maxItems": 3
        })
    }
}

/// The overlap of neighbouring patches along x, y and z in voxels: even numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Overlap(pub [usize; 3]);

impl<'de> Deserialize<'de> for Overlap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let overlap = <[usize; 3]>::deserialize(deserializer)?;
        match overlap.iter().find(|size| *size % 2 == 1 || **size > MAX_AXIS) {
            Some(size) => Err(de::Error::custom(format!("expected an even number of voxels on each axis, got {size}"))),
            None => Ok(Self(overlap)),
        }
    }
}

impl JsonSchema for Overlap {
    fn schema_name() -> Cow<'static, str> {
        "Overlap".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Voxels along x, y and z, even numbers.",
            "type": "array",
            "items": { "type": "integer", "minimum": 0, "maximum": 65534, "multipleOf": 2 },
            "minItems": 3, "maxItems": 3
        })
    }
}

/// Numbers of voxels at one end of x, y and z, such as those to crop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Margins(pub [usize; 3]);

impl<'de> Deserialize<'de> for Margins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let margins = <[usize; 3]>::deserialize(deserializer)?;
        match margins.iter().find(|size| **size > MAX_AXIS) {
            Some(size) => {
                Err(de::Error::custom(format!("expected at most {MAX_AXIS} voxels on each axis, got {size}")))
            }
            None => Ok(Self(margins)),
        }
    }
}

impl JsonSchema for Margins {
    fn schema_name() -> Cow<'static, str> {
        "Margins".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Voxels at one end of x, y and z.",
            "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": 65535 }, "minItems": 3, "maxItems": 3
        })
    }
}

/// The maximum length of an axis in voxels; NIfTI-1 stores sizes in 16 bits.
const MAX_AXIS: usize = 65_535;

fn check_shape(mut sizes: impl Iterator<Item = usize>) -> Result<(), String> {
    match sizes.find(|size| !(1..=MAX_AXIS).contains(size)) {
        Some(size) => Err(format!("expected between 1 and {MAX_AXIS} voxels on each axis, got {size}")),
        None => Ok(()),
    }
}

/// A voxel's extent along x, y and z in millimetres, each above zero.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Spacing(pub [f64; 3]);

impl<'de> Deserialize<'de> for Spacing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spacing = <[f64; 3]>::deserialize(deserializer)?;
        match spacing.iter().find(|mm| !(mm.is_finite() && **mm > 0.0)) {
            Some(mm) => Err(de::Error::custom(format!("expected a spacing above 0 mm on each axis, got {mm}"))),
            None => Ok(Self(spacing)),
        }
    }
}

impl JsonSchema for Spacing {
    fn schema_name() -> Cow<'static, str> {
        "Spacing".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Millimetres per voxel along x, y and z.",
            "type": "array", "items": { "type": "number", "exclusiveMinimum": 0 }, "minItems": 3, "maxItems": 3
        })
    }
}

/// A [`Spacing`] in which `null` keeps an axis as it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct PartialSpacing(pub [Option<f64>; 3]);

impl PartialSpacing {
    /// Returns the full spacing: `null` becomes that of `incoming`.
    pub fn resolve(&self, incoming: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|axis| self.0[axis].unwrap_or(incoming[axis]))
    }
}

impl From<Spacing> for PartialSpacing {
    fn from(spacing: Spacing) -> Self {
        Self(spacing.0.map(Some))
    }
}

impl<'de> Deserialize<'de> for PartialSpacing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spacing = <[Option<f64>; 3]>::deserialize(deserializer)?;
        match spacing.iter().flatten().find(|mm| !(mm.is_finite() && **mm > 0.0)) {
            Some(mm) => Err(de::Error::custom(format!("expected a spacing above 0 mm on each axis, got {mm}"))),
            None => Ok(Self(spacing)),
        }
    }
}

impl JsonSchema for PartialSpacing {
    fn schema_name() -> Cow<'static, str> {
        "PartialSpacing".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Millimetres per voxel along x, y and z; `null` keeps an axis.",
            "type": "array", "items": { "type": ["number", "null"], "exclusiveMinimum": 0 }, "minItems": 3, "maxItems": 3
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_keeps_an_axis() {
        let spacing = serde_yaml::from_str::<PartialSpacing>("[0.5, null, 2]").unwrap();
        assert_eq!(spacing.resolve([3.0, 4.0, 5.0]), [0.5, 4.0, 2.0]);
    }

    #[test]
    fn a_zero_axis_is_rejected() {
        assert!(serde_yaml::from_str::<Shape>("[4, 0, 4]").is_err());
        assert!(serde_yaml::from_str::<PartialShape>("[4, 0, null]").is_err());
        assert!(serde_yaml::from_str::<PartialSpacing>("[1, 0, null]").is_err());
        assert_eq!(serde_yaml::from_str::<Margins>("[4, 0, 65535]").unwrap(), Margins([4, 0, 65_535]));
        assert!(serde_yaml::from_str::<Margins>("[4, 0, 65536]").is_err());
    }
}
