//! Deserializes a YAML tree into a type, with the source location of the first error.

mod content;
mod key;
mod variant;

use serde::de::{Deserialize, Deserializer, Visitor};

use self::content::{Entries, Items, Repeated};
use self::variant::Variant;
use super::label_names::{LabelNames, NO_NAMES};
use super::parse_error::{ParseError, at};
use super::problem::Problem;
use super::tree::{Node, Value};

/// Deserializes a YAML tree.
///
/// # Errors
/// The first error, with its source location.
pub fn read<'de, T: Deserialize<'de>>(node: &'de Node) -> Result<T, Problem> {
    read_with_labels(node, &NO_NAMES)
}

/// Deserializes a YAML tree in which labels may be written by their names.
///
/// # Errors
/// The first error, with its source location.
pub fn read_with_labels<'de, T: Deserialize<'de>>(node: &'de Node, labels: &'de LabelNames) -> Result<T, Problem> {
    at(node, T::deserialize(Typed { node, labels })).map_err(|error| error.problem)
}

/// Returns the keys or components that a type allows where a tree has an unknown one.
pub(super) fn allowed_names<'de, T: Deserialize<'de>>(node: &'de Node) -> Option<&'static [&'static str]> {
    T::deserialize(Typed { node, labels: &NO_NAMES }).err()?.allowed
}

/// The largest whole number up to which every one is a float.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// A value, and the names of labels.
#[derive(Clone, Copy)]
struct Typed<'de> {
    node: &'de Node,
    labels: &'de LabelNames,
}

impl<'de> Typed<'de> {
    /// Returns another value of the same document.
    fn with(self, node: &'de Node) -> Self {
        Self { node, ..self }
    }
}

/// Accepts a float without a fraction, such as `1e2`, as a whole number.
macro_rules! whole_numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParseError> {
            match self.node.value {
                Value::Float(value) if value.fract() == 0.0 && value.abs() <= MAX_WHOLE => {
                    let result =
                        if value < 0.0 { visitor.visit_i64(value as i64) } else { visitor.visit_u64(value as u64) };
                    at(self.node, result)
                }
                _ => self.deserialize_any(visitor),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Typed<'de> {
    type Error = ParseError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParseError> {
        let node = self.node;
        let result = match &node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(value) => match values::expand_home(value) {
                Some(expanded) => visitor.visit_string(expanded),
                None => visitor.visit_borrowed_str(value),
            },
            Value::List(items) => {
                let mut rest = items.iter();
                let seq = Items { rest: &mut rest, context: self };
                visitor.visit_seq(seq).and_then(|value| match rest.len() {
                    0 => Ok(value),
                    left => Err(ParseError::new(format!("expected {} items, got {}", items.len() - left, items.len()))),
                })
            }
            Value::Map(entries) => visitor.visit_map(Entries { rest: entries.iter(), pending: None, context: self }),
        };
        at(node, result)
    }

    whole_numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u32 deserialize_u64
    }

    /// A label, by its number or its name: nothing else in an experiment is a `u16`.
    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParseError> {
        match &self.node.value {
            Value::Text(name) => {
                let label = self.labels.find(name).map_err(ParseError::from);
                at(self.node, label.and_then(|label| visitor.visit_u16(label)))
            }
            _ => self.deserialize_u32(visitor),
        }
    }

    /// One value for all axes, where there is one per axis.
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, ParseError> {
        match self.node.value {
            Value::Unsigned(_) | Value::Signed(_) | Value::Float(_) if len == NUM_AXES => {
                at(self.node, visitor.visit_seq(Repeated { value: self, left: len }))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParseError> {
        match self.node.value {
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
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ParseError> {
        let result = match &self.node.value {
            Value::Map(_) => return self.deserialize_any(visitor),
            Value::List(_) => at(self.node, Err(ParseError::new("expected a map of keys, got a list"))),
            _ => self.deserialize_any(visitor),
        };
        result.map_err(|mut error: ParseError| {
            let help = || match keys {
                [] => "write `{}`: it has no keys".to_owned(),
                [key] => format!("write a map with the key `{key}`"),
                _ => format!("write a map with some of the keys {}", keys.join(", ")),
            };
            error.problem.help.get_or_insert_with(help);
            error
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ParseError> {
        let node = self.node;
        let result = match &node.value {
            Value::Text(name) => visitor.visit_enum(Variant { name, node, content: None, context: self }),
            Value::Map(entries) => match entries.as_slice() {
                [(name, content)] => {
                    visitor.visit_enum(Variant { name, node: content, content: Some(content), context: self })
                }
                [] => Err(Problem::at(None, "expected one choice, got none")
                    .help(format!("choose one of {}", names.join(", ")))
                    .into()),
                [first, .., last] => {
                    let message = format!("expected one choice, got {}: `{}` and `{}`", entries.len(), first.0, last.0);
                    Err(Problem::at(Some(last.1.key_location()), message)
                        .help("keep one of them; in a list, each step needs its own `-`")
                        .into())
                }
            },
            _ => Err(Problem::at(None, format!("expected one choice, got {}", kind(&node.value)))
                .help(format!("choose one of {}", names.join(", ")))
                .into()),
        };
        at(node, result)
    }

    serde::forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple_struct map identifier ignored_any
    }
}

/// The number of axes of a volume.
const NUM_AXES: usize = 3;

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
