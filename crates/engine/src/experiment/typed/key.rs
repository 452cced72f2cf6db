//! The keys of maps.

use serde::de::{Deserializer, Visitor};

use crate::experiment::label_names::LabelNames;
use crate::experiment::parse_error::ParseError;

/// A map's key: text, or a number if the type requires one.
pub(super) struct Key<'de> {
    pub(super) key: &'de str,
    pub(super) labels: &'de LabelNames,
}

/// Parses a key as a whole number.
macro_rules! whole_number_keys {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParseError> {
            match self.key.parse::<u64>() {
                Ok(number) => visitor.visit_u64(number),
                Err(_) => Err(ParseError::new(format!("expected a whole number as the key, got `{}`", self.key))),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = ParseError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParseError> {
        visitor.visit_borrowed_str(self.key)
    }

    whole_number_keys! { deserialize_u8 deserialize_u32 deserialize_u64 }

    /// A label, by its number or its name.
    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParseError> {
        match self.key.parse::<u64>() {
            Ok(number) => visitor.visit_u64(number),
            Err(_) => visitor.visit_u16(self.labels.find(self.key)?),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
