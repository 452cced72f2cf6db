//! Validated numbers.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// Declares a newtype over `f64` that is validated when it is constructed or deserialized.
macro_rules! bounded_number {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $accepts:expr, $schema:tt) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
        pub struct $name(f64);

        impl $name {
            /// Returns the validated number.
            ///
            /// # Errors
            /// The expected and the actual value, if the value is not allowed.
            pub fn new(value: f64) -> Result<Self, String> {
                let accepts: fn(f64) -> bool = $accepts;
                if accepts(value) { Ok(Self(value)) } else { Err(format!(concat!("expected ", $expected, ", got {}"), value)) }
            }

            /// Returns the number.
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
    /// A fraction of at least 0 and below 1, such as an overlap, a dropout rate or a momentum.
    UnitFraction, "a number of at least 0 and below 1", |v| (0.0..1.0).contains(&v),
    { "type": "number", "minimum": 0, "exclusiveMaximum": 1 }
);
bounded_number!(
    /// A fraction above 0 and at most 1.
    PositiveFraction, "a number above 0 and at most 1", |v| v > 0.0 && v <= 1.0,
    { "type": "number", "exclusiveMinimum": 0, "maximum": 1 }
);
bounded_number!(
    /// A percentile between 0 and 100.
    Percentile, "a percentile between 0 and 100", |v| (0.0..=100.0).contains(&v),
    { "type": "number", "minimum": 0, "maximum": 100 }
);

/// Deserializes a finite number within single precision.
///
/// # Errors
/// When it is too large, infinite or not a number.
pub fn single<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    as_single(f64::deserialize(deserializer)?)
}

pub(crate) fn as_single<E: de::Error>(value: f64) -> Result<f32, E> {
    let rounded = value as f32;
    let error =
        || E::custom(format!("expected a number that fits in single precision, up to {:e}, got {value:e}", f32::MAX));
    rounded.is_finite().then_some(rounded).ok_or_else(error)
}

/// Deserializes a finite number within single precision, or `null`.
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
    fn numbers_outside_single_precision_are_rejected() {
        #[derive(Deserialize)]
        struct Numbers {
            #[serde(deserialize_with = "single")]
            one: f32,
            #[serde(default, deserialize_with = "single_or_null")]
            optional: Option<f32>,
        }
        let read = |yaml: &str| serde_yaml::from_str::<Numbers>(yaml).map(|numbers| (numbers.one, numbers.optional));
        assert_eq!(read("one: -3").unwrap(), (-3.0, None));
        assert_eq!(read("{one: 1, optional: null}").unwrap(), (1.0, None));
        assert_eq!(read("{one: 1e38, optional: 0.5}").unwrap(), (1e38, Some(0.5)));
        for yaml in ["one: 1e39", "one: .inf", "one: .nan", "{one: 1, optional: -1e60}"] {
            assert!(read(yaml).unwrap_err().to_string().contains("single precision"), "{yaml}");
        }
    }

    #[test]
    fn a_probability_above_one_is_rejected() {
        let error = serde_yaml::from_str::<Probability>("1.5").unwrap_err();
        assert!(error.to_string().contains("between 0 and 1"), "{error}");
    }
}
