//! Intervals that values are drawn from.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

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
    /// When a bound is not finite, too large for single precision, or `low > high`.
    pub fn new(low: f64, high: f64) -> Result<Self, String> {
        if !(low.is_finite() && high.is_finite()) {
            return Err(format!("expected finite bounds, got [{low}, {high}]"));
        }
        if !((low as f32).is_finite() && (high as f32).is_finite()) {
            return Err(format!(
                "expected bounds that single precision holds, up to {:e}, got [{low:e}, {high:e}]",
                f32::MAX
            ));
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
