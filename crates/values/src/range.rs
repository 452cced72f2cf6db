//! Intervals for random sampling.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// A closed interval to sample from, written as `[low, high]`, or as one number for a range of width zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The smallest value.
    pub low: f64,
    /// The largest value.
    pub high: f64,
}

impl Range {
    /// Returns the range from `low` to `high`.
    ///
    /// # Errors
    /// When a bound is not finite, too large for single precision, or `low > high`.
    pub fn new(low: f64, high: f64) -> Result<Self, String> {
        if !(low.is_finite() && high.is_finite()) {
            return Err(format!("expected finite bounds, got [{low}, {high}]"));
        }
        if !((low as f32).is_finite() && (high as f32).is_finite()) {
            return Err(format!(
                "expected bounds that fit in single precision, up to {:e}, got [{low:e}, {high:e}]",
                f32::MAX
            ));
        }
        if low > high {
            return Err(format!("expected [low, high] with low <= high, got [{low}, {high}]"));
        }
        Ok(Self { low, high })
    }

    /// Returns the range that contains only this value.
    pub const fn fixed(value: f64) -> Self {
        Self { low: value, high: value }
    }

    /// Returns whether every sample has the same value.
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
    /// Returns the same range for each axis.
    pub const fn same(range: Range) -> Self {
        Self([range; 3])
    }

    /// Returns whether every sample has the same values.
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
        /// An entry of the list: a bound of one range for all axes, or the range of an axis.
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
    fn reversed_bounds_are_rejected() {
        let error = serde_yaml::from_str::<Range>("[2, 1]").unwrap_err();
        assert!(error.to_string().contains("low <= high"), "{error}");
    }

    #[test]
    fn one_range_applies_to_all_axes() {
        let ranges: AxisRanges = serde_yaml::from_str("[0.9, 1.1]").unwrap();
        assert_eq!(ranges, AxisRanges::same(Range::new(0.9, 1.1).unwrap()));
    }

    #[test]
    fn each_axis_may_have_its_own_range() {
        let ranges: AxisRanges = serde_yaml::from_str("[[0, 1], 2, [3, 4]]").unwrap();
        assert_eq!(ranges.0[1], Range::fixed(2.0));
    }

    #[test]
    fn bounds_outside_single_precision_are_rejected() {
        let error = serde_yaml::from_str::<Range>("[0, 1e300]").unwrap_err();
        assert!(error.to_string().contains("single precision"), "{error}");
    }
}
