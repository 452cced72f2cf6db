//! Types that cannot hold a bad value.
//!
//! A rule about one value lives here, so that the parser's caret falls on the value itself.
//! Rules between values live in `spec/check.rs`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

mod bytes;
mod diagnostic;
mod file_name;
mod format;
pub mod number_or_word;
mod range;
mod registry;
mod shape;

pub use bytes::Bytes;
pub use diagnostic::Diagnostic;
pub use file_name::is_file_name;
pub use format::format_number;
pub use range::{AxisRanges, Range};
pub use shape::{Overlap, PartialShape, Shape, Spacing};

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
    UnitFraction, "a number of at least 0 and below 1", |v| (0.0..1.0).contains(&v),
    { "type": "number", "minimum": 0, "exclusiveMaximum": 1 }
);
bounded_number!(
    /// A percentile between 0 and 100.
    Percentile, "a percentile between 0 and 100", |v| (0.0..=100.0).contains(&v),
    { "type": "number", "minimum": 0, "maximum": 100 }
);

/// Reads a finite number that single precision holds.
///
/// # Errors
/// When it is too large, infinite or not a number.
pub fn single<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    as_single(f64::deserialize(deserializer)?)
}

fn as_single<E: de::Error>(value: f64) -> Result<f32, E> {
    let rounded = value as f32;
    let refused =
        || E::custom(format!("expected a number that single precision holds, up to {:e}, got {value:e}", f32::MAX));
    rounded.is_finite().then_some(rounded).ok_or_else(refused)
}

/// Reads such a number, or `null`.
///
/// # Errors
/// As [`single`].
pub fn single_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    #[derive(Deserialize)]
    struct Single(#[serde(deserialize_with = "single")] f32);
    Ok(Option::<Single>::deserialize(deserializer)?.map(|single| single.0))
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
    fn what_single_precision_does_not_hold_is_refused() {
        #[derive(Deserialize)]
        struct Numbers {
            #[serde(deserialize_with = "single")]
            one: f32,
            #[serde(default, deserialize_with = "single_or_null")]
            perhaps: Option<f32>,
        }
        let read = |yaml: &str| serde_yaml::from_str::<Numbers>(yaml).map(|numbers| (numbers.one, numbers.perhaps));
        assert_eq!(read("one: -3").unwrap(), (-3.0, None));
        assert_eq!(read("{one: 1, perhaps: null}").unwrap(), (1.0, None));
        assert_eq!(read("{one: 1e38, perhaps: 0.5}").unwrap(), (1e38, Some(0.5)));
        for yaml in ["one: 1e39", "one: .inf", "one: .nan", "{one: 1, perhaps: -1e60}"] {
            assert!(read(yaml).unwrap_err().to_string().contains("single precision"), "{yaml}");
        }
        assert!(serde_yaml::from_str::<Range>("[0, 1e300]").unwrap_err().to_string().contains("single precision"));
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
