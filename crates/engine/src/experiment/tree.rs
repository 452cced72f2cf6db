//! A YAML tree with source locations.
//!
//! `extends` and `--set` merge trees. Each value keeps its location, so a problem in the merged document points at the
//! file and line that wrote the value.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Spanned, Tagged};

use super::problem::{Problem, SourceSpan, SourceText};
use super::syntax::{self, span_of};

/// In a dotted path, whichever component is chosen.
pub const ANY_CHOICE: &str = "*";

/// The maximum length of a file in bytes.
pub(super) const MAX_TEXT_LENGTH: usize = 1 << 20;

/// A value with its source location.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// The source text.
    pub source: Arc<SourceText>,
    /// The byte range of its key.
    pub key_span: Option<Range<usize>>,
    /// The byte range of the value; for a map or list, where it starts.
    pub value_span: Range<usize>,
}

/// A YAML value; scalars are resolved as in YAML 1.2.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~` or empty.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of at least 0.
    Unsigned(u64),
    /// A whole number below 0.
    Signed(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order in which it was written.
    Map(Vec<(String, Node)>),
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Node {
    /// Parses a text with one YAML document.
    ///
    /// # Errors
    /// If the text is not YAML, has a duplicate key, or is too large once its aliases are expanded.
    pub fn parse(source: &Arc<SourceText>) -> Result<Self, Problem> {
        let whole = Some(SourceSpan { source: source.clone(), span: 0..0 });
        if source.text.len() > MAX_TEXT_LENGTH {
            let message = format!("expected a file of at most 1 MiB, got {} bytes", source.text.len());
            return Err(Problem::at(None, format!("{}: {message}", source.name)));
        }
        if source.text.trim().is_empty() {
            return Err(Problem::at(whole, "the file is empty")
                .help("give at least data, sampler, model, loss, optimizer and train, or `extends: other.yaml`"));
        }
        let mut options = serde_saphyr::Options::default();
        options.strict_booleans = true;
        options.with_snippet = false;
        match serde_saphyr::from_str_with_options::<Written>(&source.text, options) {
            Ok(raw) => Node::from_raw(raw, None, source),
            Err(error) => Err(syntax::problem(&error, source)),
        }
    }

    /// Converts plain data; every value has the same location, that of a key.
    pub fn from_json(json: &serde_json::Value, location: &SourceSpan) -> Self {
        let value = match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => Value::Unsigned(value),
                (None, Some(value)) => Value::Signed(value),
                (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Value::Text(text.clone()),
            serde_json::Value::Array(items) => {
                Value::List(items.iter().map(|item| Self::from_json(item, location)).collect())
            }
            serde_json::Value::Object(entries) => {
                let entries = entries.iter().map(|(key, item)| (key.clone(), Self::from_json(item, location)));
                Value::Map(entries.collect())
            }
        };
        let SourceSpan { source, span } = location.clone();
        Self { value, source, key_span: Some(span.clone()), value_span: span }
    }

    /// Returns the location to mark for a problem of the whole value: that of the first value in it that an argument or a
    /// sweep file changed, else [`location`](Self::location).
    pub fn blamed_location(&self) -> SourceSpan {
        self.first_change().unwrap_or(self).location()
    }

    /// Returns the first scalar or list that an argument or a sweep file changed.
    fn first_change(&self) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find_map(|(_, node)| node.first_change()),
            Value::List(items) => {
                let own = self.source.is_change.then_some(self);
                own.or_else(|| items.iter().find_map(Node::first_change))
            }
            _ => self.source.is_change.then_some(self),
        }
    }

    /// Returns the text of a scalar as it is written; `None` for maps and lists, and for values that a program made.
    pub fn written(&self) -> Option<&str> {
        match &self.value {
            Value::Map(_) | Value::List(_) | Value::Null => None,
            _ if self.key_span.as_ref() == Some(&self.value_span) => None,
            _ => self.source.text.get(self.value_span.clone()).filter(|text| !text.is_empty()),
        }
    }

    /// Returns a dotted path with each `*` replaced by the only key of its map.
    pub fn resolve_choices(&self, path: &str) -> String {
        let mut node = Some(self);
        let mut parts = Vec::new();
        for part in path.split('.') {
            let name = match node.map(|node| &node.value) {
                Some(Value::Map(entries)) if part == ANY_CHOICE && entries.len() == 1 => entries[0].0.as_str(),
                _ => part,
            };
            node = node.and_then(|node| node.child(name));
            parts.push(name);
        }
        parts.join(".")
    }

    /// Returns the location to mark: that of a scalar itself, or of the key of a map or list.
    pub fn location(&self) -> SourceSpan {
        let span = match &self.value {
            Value::Map(_) | Value::List(_) | Value::Null => self.key_span.clone().or_else(|| self.first_span()),
            _ => None,
        };
        SourceSpan { source: self.source.clone(), span: span.unwrap_or_else(|| self.value_span.clone()) }
    }

    /// Returns the location of the key.
    pub fn key_location(&self) -> SourceSpan {
        match &self.key_span {
            Some(span) => SourceSpan { source: self.source.clone(), span: span.clone() },
            None => self.location(),
        }
    }

    /// Returns the child of a map by its key, or of a list by its index.
    pub fn child(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            Value::List(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        }
    }

    /// Sets the source text of the whole tree; byte ranges stay the same.
    pub fn move_to(&mut self, source: &Arc<SourceText>) {
        self.source = source.clone();
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.move_to(source)),
            Value::Map(entries) => entries.iter_mut().for_each(|(_, item)| item.move_to(source)),
            _ => {}
        }
    }

    /// Returns the tree without source locations.
    pub fn to_yaml(&self) -> serde_yaml::Value {
        match &self.value {
            Value::Null => serde_yaml::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Unsigned(value) => (*value).into(),
            Value::Signed(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::Text(value) => value.as_str().into(),
            Value::List(items) => serde_yaml::Value::Sequence(items.iter().map(Node::to_yaml).collect()),
            Value::Map(entries) => serde_yaml::Value::Mapping(
                entries.iter().map(|(key, node)| (key_to_yaml(key), node.to_yaml())).collect(),
            ),
        }
    }

    /// Returns the byte range of a map's first key.
    fn first_span(&self) -> Option<Range<usize>> {
        match &self.value {
            Value::Map(entries) => entries
                .iter()
                .find(|(_, node)| Arc::ptr_eq(&node.source, &self.source))
                .and_then(|(_, node)| node.key_span.clone()),
            _ => None,
        }
    }

    fn from_raw(raw: Written, key_span: Option<Range<usize>>, source: &Arc<SourceText>) -> Result<Self, Problem> {
        let value_span = span_of(&raw.referenced, &source.text);
        let Tagged(value, tag) = raw.value;
        let location = || SourceSpan { source: source.clone(), span: value_span.clone() };
        if let Some(problem) = tag.and_then(|tag| syntax::unknown_tag(&tag, location())) {
            return Err(problem);
        }
        let value = match value {
            Raw::Scalar(value) => value,
            Raw::List(items) => {
                let items = items.into_iter().map(|item| Node::from_raw(item, None, source));
                Value::List(items.collect::<Result<_, _>>()?)
            }
            Raw::Map(entries) => {
                let entries = entries.into_iter().map(|(key, value)| {
                    let span = span_of(&key.referenced, &source.text);
                    Ok((key.value, Node::from_raw(value, Some(span), source)?))
                });
                Value::Map(entries.collect::<Result<_, Problem>>()?)
            }
        };
        Ok(Self { value, source: source.clone(), key_span, value_span })
    }
}

/// Converts a key; a whole number stays a number, as in `labels: { 1: liver }`.
fn key_to_yaml(key: &str) -> serde_yaml::Value {
    key.parse::<u64>().map_or_else(|_| key.into(), Into::into)
}

/// A value from the parser, with its location and tag.
type Written = Spanned<Tagged<Raw>>;

enum Raw {
    Scalar(Value),
    List(Vec<Written>),
    Map(Vec<(Spanned<String>, Written)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Bool(value)))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Unsigned(value)))
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(u64::try_from(value).map_or(Value::Signed(value), Value::Unsigned)))
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Float(value)))
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Text(value.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Node {
        Node::parse(&SourceText::new("a.yaml", text)).unwrap()
    }

    #[test]
    fn scalars_are_resolved_as_in_yaml_1_2() {
        let node = parse("a: no\nb: 1e-4\nc: '7'\nd: 7\ne: -2\nf: true\ng:\n");
        let value = |key: &str| node.child(key).unwrap().value.clone();
        assert_eq!(value("a"), Value::Text("no".into()));
        assert_eq!(value("b"), Value::Float(1e-4));
        assert_eq!(value("c"), Value::Text("7".into()));
        assert_eq!(value("d"), Value::Unsigned(7));
        assert_eq!(value("e"), Value::Signed(-2));
        assert_eq!(value("f"), Value::Bool(true));
        assert_eq!(value("g"), Value::Null);
    }

    #[test]
    fn a_location_is_that_of_the_written_text() {
        let node = parse("optimizer:\n  adam: { learning_rate: 1e-4 } # fast\nlabels: { 1: liver }\n");
        let rate = node.child("optimizer").unwrap().child("adam").unwrap().child("learning_rate").unwrap();
        assert_eq!(&rate.source.text[rate.location().span], "1e-4");
        assert_eq!(&rate.source.text[rate.key_location().span], "learning_rate");
        let adam = node.child("optimizer").unwrap().child("adam").unwrap();
        assert_eq!(&adam.source.text[adam.location().span], "adam");
        assert_eq!(node.child("labels").unwrap().child("1").unwrap().value, Value::Text("liver".into()));
    }

    #[test]
    fn a_duplicate_key_is_an_error() {
        assert!(Node::parse(&SourceText::new("a.yaml", "seed: 1\nseed: 2\n")).is_err());
    }

    #[test]
    fn a_billion_laughs_attack_is_an_error() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let previous = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{previous}]\n"));
        }
        assert!(Node::parse(&SourceText::new("bomb.yaml", text)).is_err());
    }
}
