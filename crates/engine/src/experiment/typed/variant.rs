//! The variants of enums.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, VariantAccess, Visitor};

use super::Typed;
use crate::experiment::parse_error::{ParseError, at};
use crate::experiment::problem::Problem;
use crate::experiment::tree::Node;

/// A variant of an enum: its name and, if it was written as a map, its content.
pub(super) struct Variant<'de> {
    pub(super) name: &'de str,
    pub(super) node: &'de Node,
    pub(super) content: Option<&'de Node>,
    pub(super) context: Typed<'de>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = ParseError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), ParseError> {
        let name: StrDeserializer<ParseError> = StrDeserializer::new(self.name);
        let location = || if self.content.is_some() { self.node.key_location() } else { self.node.location() };
        let variant = seed.deserialize(name).map_err(|error| error.or_at(location))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = ParseError;

    fn unit_variant(self) -> Result<(), ParseError> {
        match self.content {
            None => Ok(()),
            Some(node) => {
                Err(ParseError::new(format!("expected the word `{}` without further keys, got a map", self.name))
                    .or_at(|| node.key_location()))
            }
        }
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ParseError> {
        match self.content {
            Some(node) => at(node, seed.deserialize(self.context.with(node))),
            None => {
                let problem = Problem::at(None, format!("expected a map, got the word `{}`", self.name));
                Err(problem.help(format!("write `{}: {{}}`", self.name)).into())
            }
        }
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ParseError> {
        self.context.with(self.node).deserialize_any(visitor)
    }
    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, ParseError> {
        self.context.with(self.node).deserialize_any(visitor)
    }
}
