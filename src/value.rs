//! Types that cannot hold a bad value.
//!
//! A rule about one value lives here, so that the parser's caret falls on the value itself.
//! Rules between values live in `spec/check.rs`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// Declares a number with a rule: a newtype over `f64` that is checked when it is read.
macro_rules! bounded_number {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $accepts:expr, $schema:tt) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
        pub struct $name(f64);

        impl $name {
            /// Takes a value that keeps the rule.
            ///
            /// # Errors
            /// Says what was expected when the value breaks the rule.
            pub fn new(value: f64) -> Result<Self, String> {
                let accepts: fn(f64) -> bool = $accepts;
                if accepts(value) { Ok(Self(value)) } else { Err(format!(concat!("expected ", $expected, ", got {}"), value)) }
            }

            /// The plain number.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_f64(self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $name::new(f64::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

bounded_number!(
    /// A probability between 0 and 1.
    Probability, "a probability between 0 and 1", |v| (0.0..=1.0).contains(&v),
    { "type": "number", "minimum": 0, "maximum": 1 }
);
bounded_number!(
    /// A finite number above zero.
    Positive, "a number above 0", |v| v.is_finite() && v > 0.0,
    { "type": "number", "exclusiveMinimum": 0 }
);
bounded_number!(
    /// A finite number, zero or above.
    NonNegative, "a number of at least 0", |v| v.is_finite() && v >= 0.0,
    { "type": "number", "minimum": 0 }
);
bounded_number!(
    /// A share of at least 0 and below 1, as for overlap, dropout or momentum.
    Share, "a number of at least 0 and below 1", |v| (0.0..1.0).contains(&v),
    { "type": "number", "minimum": 0, "exclusiveMaximum": 1 }
);
bounded_number!(
    /// A percentile between 0 and 100.
    Percentile, "a percentile between 0 and 100", |v| (0.0..=100.0).contains(&v),
    { "type": "number", "minimum": 0, "maximum": 100 }
);

/// A closed interval that a value is drawn from; written `[low, high]`, or as one number, which is a range of width zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The smallest value.
    pub low: f64,
    /// The largest value.
    pub high: f64,
}

impl Range {
    /// A range from `low` to `high`.
    ///
    /// # Errors
    /// When a bound is not finite or `low > high`.
    pub fn new(low: f64, high: f64) -> Result<Self, String> {
        if !(low.is_finite() && high.is_finite()) {
            return Err(format!("expected finite bounds, got [{low}, {high}]"));
        }
        if low > high {
            return Err(format!("expected [low, high] with low <= high, got [{low}, {high}]"));
        }
        Ok(Self { low, high })
    }

    /// The range that holds one value only.
    pub const fn fixed(value: f64) -> Self {
        Self { low: value, high: value }
    }

    /// Whether every draw gives the same value.
    pub fn is_fixed(&self) -> bool {
        self.low == self.high
    }
}

impl Serialize for Range {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [self.low, self.high].serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RangeVisitor;
        impl<'de> Visitor<'de> for RangeVisitor {
            type Value = Range;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a range [low, high] or one number")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Range, E> {
                Ok(Range::fixed(value as f64))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Range, E> {
                Ok(Range::fixed(value as f64))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Range, E> {
                Range::new(value, value).map_err(E::custom)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Range, A::Error> {
                let low = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &"2 numbers"))?;
                let high = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(1, &"2 numbers"))?;
                if seq.next_element::<f64>()?.is_some() {
                    return Err(de::Error::invalid_length(3, &"2 numbers"));
                }
                Range::new(low, high).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(RangeVisitor)
    }
}

impl JsonSchema for Range {
    fn schema_name() -> Cow<'static, str> {
        "Range".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`[low, high]`, or one number for a range of width zero.",
            "oneOf": [
                { "type": "number" },
                { "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 }
            ]
        })
    }
}

/// A [`Range`] for each axis; written as one range for all three, or as `[[low, high], [low, high], [low, high]]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AxisRanges(pub [Range; 3]);

impl AxisRanges {
    /// The same range on each axis.
    pub const fn same(range: Range) -> Self {
        Self([range; 3])
    }

    /// Whether every draw gives the same values.
    pub fn is_fixed(&self) -> bool {
        self.0.iter().all(Range::is_fixed)
    }
}

impl Serialize for AxisRanges {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AxisRanges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// One entry of the list: a bound when one range is written for all axes, else an axis's own range.
        enum Entry {
            Bound(f64),
            Axis(Range),
        }
        impl Entry {
            fn range(&self) -> Range {
                match *self {
                    Entry::Bound(value) => Range::fixed(value),
                    Entry::Axis(range) => range,
                }
            }
        }
        impl<'de> Deserialize<'de> for Entry {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct EntryVisitor;
                impl<'de> Visitor<'de> for EntryVisitor {
                    type Value = Entry;
                    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                        f.write_str("a number or a range [low, high]")
                    }
                    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Entry, E> {
                        Ok(Entry::Bound(value as f64))
                    }
                    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Entry, E> {
                        Ok(Entry::Bound(value as f64))
                    }
                    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Entry, E> {
                        Ok(Entry::Bound(value))
                    }
                    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Entry, A::Error> {
                        Range::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(Entry::Axis)
                    }
                }
                deserializer.deserialize_any(EntryVisitor)
            }
        }

        struct AxisRangesVisitor;
        impl<'de> Visitor<'de> for AxisRangesVisitor {
            type Value = AxisRanges;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a range [low, high], or one such range for each of the 3 axes")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<AxisRanges, E> {
                Ok(AxisRanges::same(Range::fixed(value as f64)))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<AxisRanges, E> {
                Ok(AxisRanges::same(Range::fixed(value as f64)))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<AxisRanges, E> {
                Range::new(value, value).map(AxisRanges::same).map_err(E::custom)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<AxisRanges, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = seq.next_element::<Entry>()? {
                    entries.push(entry);
                }
                match entries.as_slice() {
                    [Entry::Bound(low), Entry::Bound(high)] => {
                        Range::new(*low, *high).map(AxisRanges::same).map_err(de::Error::custom)
                    }
                    [x, y, z] => Ok(AxisRanges([x.range(), y.range(), z.range()])),
                    _ => Err(de::Error::custom("expected [low, high], or one [low, high] for each of the 3 axes")),
                }
            }
        }
        deserializer.deserialize_any(AxisRangesVisitor)
    }
}

impl JsonSchema for AxisRanges {
    fn schema_name() -> Cow<'static, str> {
        "AxisRanges".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let range = generator.subschema_for::<Range>();
        json_schema!({
            "description": "One range `[low, high]` for all axes, or one for each of x, y and z.",
            "anyOf": [
                range,
                { "type": "array", "items": range, "minItems": 3, "maxItems": 3 }
            ]
        })
    }
}

/// A number of voxels along x, y and z, each at least 1.
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
    /// The full shape, with kept axes taken from `incoming`.
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

/// The longest axis a volume may have: NIfTI-1 stores 16-bit sizes, and no scanner comes near.
const LONGEST_AXIS: usize = 65_535;

fn check_shape(mut sizes: impl Iterator<Item = usize>) -> Result<(), String> {
    match sizes.find(|size| !(1..=LONGEST_AXIS).contains(size)) {
        Some(size) => Err(format!("expected between 1 and {LONGEST_AXIS} voxels on each axis, got {size}")),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_is_a_range_of_width_zero() {
        let range: Range = serde_yaml::from_str("0.5").unwrap();
        assert_eq!(range, Range::fixed(0.5));
        assert!(range.is_fixed());
    }

    #[test]
    fn a_range_that_runs_backwards_is_refused() {
        let error = serde_yaml::from_str::<Range>("[2, 1]").unwrap_err();
        assert!(error.to_string().contains("low <= high"), "{error}");
    }

    #[test]
    fn one_range_serves_all_axes() {
        let ranges: AxisRanges = serde_yaml::from_str("[0.9, 1.1]").unwrap();
        assert_eq!(ranges, AxisRanges::same(Range::new(0.9, 1.1).unwrap()));
    }

    #[test]
    fn each_axis_may_have_its_own_range() {
        let ranges: AxisRanges = serde_yaml::from_str("[[0, 1], 2, [3, 4]]").unwrap();
        assert_eq!(ranges.0[1], Range::fixed(2.0));
    }

    #[test]
    fn a_zero_axis_is_refused() {
        assert!(serde_yaml::from_str::<Shape>("[4, 0, 4]").is_err());
        assert!(serde_yaml::from_str::<PartialShape>("[4, 0, null]").is_err());
    }

    #[test]
    fn a_probability_above_one_is_refused() {
        let error = serde_yaml::from_str::<Probability>("1.5").unwrap_err();
        assert!(error.to_string().contains("between 0 and 1"), "{error}");
    }
}
