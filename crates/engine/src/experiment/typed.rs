//! Deserializes a YAML tree into a type, with the source location of the first error.

use serde::de::value::StrDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::parse_error::{ParseError, at};
use super::problem::Problem;
use super::tree::{Node, Value};

/// Deserializes a YAML tree.
///
/// # Errors
/// The first error, with its source location.
pub fn read<'de, T: Deserialize<'de>>(node: &'de Node) -> Result<T, Problem> {
    at(node, T::deserialize(Typed(node))).map_err(|error| error.0)
}

struct Typed<'de>(&'de Node);

impl<'de> Deserializer<'de> for Typed<'de> {
    type Error = ParseError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParseError> {
        let node = self.0;
        let result = match &node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(value) => visitor.visit_borrowed_str(value),
            Value::List(items) => {
                let mut rest = items.iter();
                visitor.visit_seq(Items(&mut rest)).and_then(|value| match rest.len() {
                    0 => Ok(value),
                    left => Err(ParseError::new(format!("expected {} items, got {}", items.len() - left, items.len()))),
                })
            }
            Value::Map(entries) => visitor.visit_map(Entries { rest: entries.iter(), pending: None }),
        };
        at(node, result)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParseError> {
        match self.0.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ParseError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ParseError> {
        match &self.0.value {
            Value::List(_) => at(self.0, Err(ParseError::new("expected a map of keys, got a list"))),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ParseError> {
        let node = self.0;
        let result = match &node.value {
            Value::Text(name) => visitor.visit_enum(Variant { name, node, content: None }),
            Value::Map(entries) => match entries.as_slice() {
                [(name, content)] => visitor.visit_enum(Variant { name, node: content, content: Some(content) }),
                [] => Err(ParseError(
                    Problem::at(None, "expected one choice, got none")
                        .help(format!("choose one of {}", names.join(", "))),
                )),
                [first, .., last] => {
                    let message = format!("expected one choice, got {}: `{}` and `{}`", entries.len(), first.0, last.0);
                    Err(ParseError(
                        Problem::at(Some(last.1.key_location()), message)
                            .help("keep one of them; in a list, each step needs its own `-`"),
                    ))
                }
            },
            _ => Err(ParseError(
                Problem::at(None, format!("expected one choice, got {}", kind(&node.value)))
                    .help(format!("choose one of {}", names.join(", "))),
            )),
        };
        at(node, result)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Unsigned(_) | Value::Signed(_) | Value::Float(_) => "a number",
        Value::Text(_) => "text",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}

struct Items<'a, 'de>(&'a mut std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = ParseError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ParseError> {
        self.0.next().map(|node| at(node, seed.deserialize(Typed(node)))).transpose()
    }
}

struct Entries<'de> {
    rest: std::slice::Iter<'de, (String, Node)>,
    pending: Option<&'de Node>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = ParseError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ParseError> {
        let Some((key, node)) = self.rest.next() else { return Ok(None) };
        self.pending = Some(node);
        seed.deserialize(Key(key)).map(Some).map_err(|error| error.or_at(|| node.key_location()))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ParseError> {
        let node = self.pending.take().expect("serde reads a value after its key");
        at(node, seed.deserialize(Typed(node)))
    }
}

/// A map's key: text, or a number if the type requires one.
struct Key<'de>(&'de str);

/// Parses a key as a whole number.
macro_rules! whole_number_keys {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParseError> {
            match self.0.parse::<u64>() {
                Ok(number) => visitor.visit_u64(number),
                Err(_) => Err(ParseError::new(format!("expected a whole number as the key, got `{}`", self.0))),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = ParseError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParseError> {
        visitor.visit_borrowed_str(self.0)
    }

    whole_number_keys! { deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A variant of an enum: its name and, if it was written as a map, its content.
struct Variant<'de> {
    name: &'de str,
    node: &'de Node,
    content: Option<&'de Node>,
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
            Some(node) => at(node, seed.deserialize(Typed(node))),
            None => {
                let problem = Problem::at(None, format!("expected a map, got the word `{}`", self.name));
                Err(ParseError(problem.help(format!("write `{}: {{}}`", self.name))))
            }
        }
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ParseError> {
        Typed(self.node).deserialize_any(visitor)
    }
    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, ParseError> {
        Typed(self.node).deserialize_any(visitor)
    }
}
