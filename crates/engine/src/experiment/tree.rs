//! A YAML text as a tree in which every value knows where it was written.
//!
//! `extends` and `--set` move values between trees; since places travel with the values, a problem in
//! the merged document still points at the text that wrote it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Spanned, Tagged};

use super::problem::{Problem, SourceSpan, SourceText};
use super::syntax::{self, span_of};

/// The largest file that is read; a longer one is no experiment.
pub(super) const MAX_TEXT_LENGTH: usize = 1 << 20;

/// A value and where it was written.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// The text that holds it.
    pub source: Arc<SourceText>,
    /// Bytes of its key.
    pub key_span: Option<Range<usize>>,
    /// Bytes of the value; of a map or list the location where it starts.
    pub value_span: Range<usize>,
}

/// What YAML can say; numbers and words are told apart as YAML 1.2 does.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
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
    /// Reads a text that holds one YAML document.
    ///
    /// # Errors
    /// When the text is not YAML, repeats a key, or grows beyond bounds through aliases.
    pub fn parse(source: &Arc<SourceText>) -> Result<Self, Problem> {
        let whole = Some(SourceSpan { source: source.clone(), span: 0..0 });
        if source.text.len() > MAX_TEXT_LENGTH {
            let message = format!("expected a file of at most 1 MiB, got {} bytes", source.text.len());
            return Err(Problem::at(None, format!("{}: {message}", source.name)));
        }
        if source.text.trim().is_empty() {
            return Err(Problem::at(whole, "the file is empty")
                .help("state at least data, sampler, model, loss, optimizer and train, or `extends: other.yaml`"));
        }
        let mut options = serde_saphyr::Options::default();
        options.strict_booleans = true;
        options.with_snippet = false;
        match serde_saphyr::from_str_with_options::<Written>(&source.text, options) {
            Ok(raw) => Node::from_raw(raw, None, source),
            Err(error) => Err(syntax::problem(&error, source)),
        }
    }

    /// What a mark should stand under: a scalar itself, the key of a map or list.
    pub fn location(&self) -> SourceSpan {
        let span = match &self.value {
            Value::Map(_) | Value::List(_) | Value::Null => self.key_span.clone().or_else(|| self.first_span()),
            _ => None,
        };
        SourceSpan { source: self.source.clone(), span: span.unwrap_or_else(|| self.value_span.clone()) }
    }

    /// What a mark for the key should stand under.
    pub fn key_location(&self) -> SourceSpan {
        match &self.key_span {
            Some(span) => SourceSpan { source: self.source.clone(), span: span.clone() },
            None => self.location(),
        }
    }

    /// The child of that key, or of that index in a list.
    pub fn child(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            Value::List(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        }
    }

    /// Says that the tree was written in another text, at the same bytes.
    pub fn move_to(&mut self, source: &Arc<SourceText>) {
        self.source = source.clone();
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.move_to(source)),
            Value::Map(entries) => entries.iter_mut().for_each(|(_, item)| item.move_to(source)),
            _ => {}
        }
    }

    /// The same values as a plain tree, without places.
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

    /// In a map or list without a key of its own: its first key.
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

/// A key that is a whole number is one in the plain tree too, as in `labels: { 1: liver }`.
fn key_to_yaml(key: &str) -> serde_yaml::Value {
    key.parse::<u64>().map_or_else(|_| key.into(), Into::into)
}

/// One value as the parser hands it over, with its location and its tag.
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
    fn scalars_are_read_as_yaml_1_2_says() {
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
    fn a_place_is_the_written_text() {
        let node = parse("optimizer:\n  adam: { learning_rate: 1e-4 } # fast\nlabels: { 1: liver }\n");
        let rate = node.child("optimizer").unwrap().child("adam").unwrap().child("learning_rate").unwrap();
        assert_eq!(&rate.source.text[rate.location().span], "1e-4");
        assert_eq!(&rate.source.text[rate.key_location().span], "learning_rate");
        let adam = node.child("optimizer").unwrap().child("adam").unwrap();
        assert_eq!(&adam.source.text[adam.location().span], "adam");
        assert_eq!(node.child("labels").unwrap().child("1").unwrap().value, Value::Text("liver".into()));
    }

    #[test]
    fn a_repeated_key_is_refused() {
        assert!(Node::parse(&SourceText::new("a.yaml", "seed: 1\nseed: 2\n")).is_err());
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let previous = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{previous}]\n"));
        }
        assert!(Node::parse(&SourceText::new("bomb.yaml", text)).is_err());
    }
}
