//! Values that are a number or a keyword.

use std::fmt;
use std::marker::PhantomData;

use schemars::{Schema, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;

use super::number::as_single;

/// A value written as a number or as a keyword; `null` means the first keyword.
pub trait NumberOrWord: Copy + PartialEq + 'static {
    /// The values of the keywords.
    const MEANINGS: &'static [Self];
    /// The keywords, in the same order.
    const WORDS: &'static [&'static str];

    /// Returns the value of a number.
    fn from_number(number: f32) -> Self;

    /// Returns the number that is written for the value; `None` for a keyword.
    fn number(&self) -> Option<f32>;
}

/// Deserializes a value.
///
/// # Errors
/// When it is neither a number within single precision nor a keyword nor `null`.
pub fn deserialize<'de, D: Deserializer<'de>, T: NumberOrWord>(deserializer: D) -> Result<T, D::Error> {
    struct Either<T>(PhantomData<T>);
    impl<T: NumberOrWord> Visitor<'_> for Either<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            write!(f, "a number or one of {}", T::WORDS.join(", "))
        }
        fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
            self.visit_f64(value as f64)
        }
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
            self.visit_f64(value as f64)
        }
        fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
            as_single(value).map(T::from_number)
        }
        fn visit_str<E: de::Error>(self, value: &str) -> Result<T, E> {
            let index = T::WORDS.iter().position(|word| *word == value);
            index.map(|index| T::MEANINGS[index]).ok_or_else(|| E::unknown_variant(value, T::WORDS))
        }
        fn visit_unit<E: de::Error>(self) -> Result<T, E> {
            Ok(T::MEANINGS[0])
        }
        fn visit_none<E: de::Error>(self) -> Result<T, E> {
            self.visit_unit()
        }
    }
    deserializer.deserialize_any(Either(PhantomData))
}

/// Serializes a value, the first keyword as `null`.
///
/// # Errors
/// When the serializer fails.
pub fn serialize<S: Serializer, T: NumberOrWord>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    match (value.number(), T::MEANINGS.iter().position(|meaning| meaning == value)) {
        (Some(number), _) => serializer.serialize_f32(number),
        (None, Some(index)) if index > 0 => serializer.serialize_str(T::WORDS[index]),
        _ => serializer.serialize_unit(),
    }
}

/// Returns the schema of the values.
pub fn schema<T: NumberOrWord>() -> Schema {
    json_schema!({ "oneOf": [{ "type": ["number", "null"] }, { "type": "string", "enum": T::WORDS }] })
}

/// Implements serialization and the schema for a type that implements [`NumberOrWord`].
#[macro_export]
macro_rules! written_as_number_or_word {
    ($name:ident) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::number_or_word::deserialize(deserializer)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::number_or_word::serialize(self, serializer)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::number_or_word::schema::<Self>()
            }
        }
    };
}
