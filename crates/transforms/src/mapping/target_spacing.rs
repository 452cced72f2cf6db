//! The spacing that `resample` resamples to.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use values::{PartialSpacing, Spacing};

/// A spacing to resample to, given or computed from the training subjects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TargetSpacing {
    /// A given spacing.
    Given(PartialSpacing),
    /// The median of the training subjects' spacings along each axis, written as `median`. Once it has been computed, it is
    /// written as `{ median: [x, y, z] }`, and no longer depends on them.
    Median(Option<Spacing>),
}

/// How a computed median is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Computed {
    median: Spacing,
}

/// How a median is written before it has been computed.
const MEDIAN: &str = "median";

impl TargetSpacing {
    /// Returns the spacing; `None` if it has not been computed.
    pub fn get(self) -> Option<PartialSpacing> {
        match self {
            Self::Given(spacing) => Some(spacing),
            Self::Median(spacing) => spacing.map(PartialSpacing::from),
        }
    }
}

impl Serialize for TargetSpacing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Given(spacing) => spacing.serialize(serializer),
            Self::Median(None) => serializer.serialize_str(MEDIAN),
            Self::Median(Some(median)) => Computed { median: *median }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for TargetSpacing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TargetVisitor;
        impl TargetVisitor {
            fn number<E: de::Error>(value: f64) -> Result<TargetSpacing, E> {
                if !(value.is_finite() && value > 0.0) {
                    return Err(E::custom(format!("expected a spacing above 0 mm on each axis, got {value}")));
                }
                Ok(TargetSpacing::Given(Spacing([value; 3]).into()))
            }
        }
        impl<'de> Visitor<'de> for TargetVisitor {
            type Value = TargetSpacing;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a spacing along x, y and z in millimetres, such as [1, 1, 2.5], or `median`")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<TargetSpacing, E> {
                Self::number(value as f64)
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<TargetSpacing, E> {
                Self::number(value as f64)
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<TargetSpacing, E> {
                Self::number(value)
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<TargetSpacing, E> {
                if value == MEDIAN {
                    Ok(TargetSpacing::Median(None))
                } else {
                    Err(E::unknown_variant(value, &[MEDIAN]))
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<TargetSpacing, A::Error> {
                PartialSpacing::deserialize(SeqAccessDeserializer::new(seq)).map(TargetSpacing::Given)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TargetSpacing, A::Error> {
                let computed = Computed::deserialize(MapAccessDeserializer::new(map))?;
                Ok(TargetSpacing::Median(Some(computed.median)))
            }
        }
        deserializer.deserialize_any(TargetVisitor)
    }
}

impl JsonSchema for TargetSpacing {
    fn schema_name() -> Cow<'static, str> {
        "TargetSpacing".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (given, spacing) = (generator.subschema_for::<PartialSpacing>(), generator.subschema_for::<Spacing>());
        json_schema!({
            "description": "Millimetres per voxel along x, y and z, `null` to keep an axis, or `median`: the median of the training subjects.",
            "anyOf": [
                given,
                { "const": MEDIAN },
                {
                    "type": "object", "properties": { "median": spacing }, "required": ["median"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spacing_a_word_and_a_computed_median_are_read_and_written() {
        let read = |yaml: &str| serde_yaml::from_str::<TargetSpacing>(yaml);
        let spacing = Spacing([1.0, 1.0, 2.5]);
        for (yaml, expected) in [
            ("[1, 1, 2.5]", TargetSpacing::Given(spacing.into())),
            ("[null, 1, 2.5]", TargetSpacing::Given(PartialSpacing([None, Some(1.0), Some(2.5)]))),
            ("3", TargetSpacing::Given(Spacing([3.0; 3]).into())),
            ("median", TargetSpacing::Median(None)),
            ("{ median: [1, 1, 2.5] }", TargetSpacing::Median(Some(spacing))),
        ] {
            let target = read(yaml).unwrap();
            assert_eq!(target, expected, "{yaml}");
            assert_eq!(read(&serde_yaml::to_string(&target).unwrap()).unwrap(), target, "{yaml}");
        }
        for yaml in ["mean", "[1, 1]", "[1, 1, 0]", "{ mean: [1, 1, 1] }", "{ median: [1, 1, -1] }", "null", "0"] {
            assert!(read(yaml).is_err(), "{yaml}");
        }
    }
}
