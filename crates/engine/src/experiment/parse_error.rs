//! Errors of deserialization, in the user's terms.

use serde::de;

use super::problem::{Problem, SourceSpan, nearest};
use super::tree::Node;

/// An error of deserialization; its location is that of the innermost value that was being read.
#[derive(Debug)]
pub(super) struct ParseError(pub(super) Problem);

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ParseError {}

impl ParseError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(Problem::at(None, message))
    }

    pub(super) fn or_at(mut self, location: impl FnOnce() -> SourceSpan) -> Self {
        self.0.location.get_or_insert_with(location);
        self
    }
}

pub(super) fn at<T>(node: &Node, result: Result<T, ParseError>) -> Result<T, ParseError> {
    result.map_err(|error| error.or_at(|| node.location()))
}

impl de::Error for ParseError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
    fn invalid_type(found: de::Unexpected, expected: &dyn de::Expected) -> Self {
        let error = Self::new(format!(
            "expected {}, got {}",
            expected_in_words(&expected.to_string()),
            unexpected_in_words(&found)
        ));
        match (found, expected.to_string().contains("string")) {
            (
                de::Unexpected::Unsigned(_)
                | de::Unexpected::Signed(_)
                | de::Unexpected::Float(_)
                | de::Unexpected::Bool(_),
                true,
            ) => Self(error.0.help("put it in quotes to make it text")),
            _ => error,
        }
    }
    fn invalid_value(found: de::Unexpected, expected: &dyn de::Expected) -> Self {
        Self::new(format!("expected {}, got {}", expected_in_words(&expected.to_string()), unexpected_in_words(&found)))
    }
    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        Self::new(format!("expected {}, got {length} items", expected_in_words(&expected.to_string())))
    }
    fn unknown_field(field: &str, allowed: &'static [&'static str]) -> Self {
        Self(Problem::at(None, format!("unknown key `{field}`")).help(names_help(field, allowed, "keys")))
    }
    fn unknown_variant(name: &str, allowed: &'static [&'static str]) -> Self {
        Self(Problem::at(None, format!("unknown name `{name}`")).help(names_help(name, allowed, "names")))
    }
    fn missing_field(field: &'static str) -> Self {
        Self(Problem::at(None, format!("missing key `{field}`")).help(format!("add `{field}: ...`")))
    }
    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("duplicate key `{field}`"))
    }
}

fn names_help(written: &str, allowed: &[&str], kind: &str) -> String {
    if allowed.is_empty() {
        return "no keys are allowed here; write `{}`".to_owned();
    }
    let list = format!("allowed {kind}: {}", allowed.join(", "));
    match nearest(written, allowed.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? {list}"),
        None => list,
    }
}

/// Returns what was expected, in the user's terms rather than Rust's.
fn expected_in_words(expected: &str) -> String {
    match expected {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number of at least 0".to_owned(),
        "i64" | "i32" => "a whole number".to_owned(),
        "a nonzero usize" | "a nonzero u64" | "a nonzero u32" => "a whole number of at least 1".to_owned(),
        "f64" | "f32" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "path string" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "an array of length 3" => "a list of 3 items".to_owned(),
        "an array of length 2" => "a list of 2 items".to_owned(),
        other if other.starts_with("struct ") => "a map of keys".to_owned(),
        other => other.to_owned(),
    }
}

fn unexpected_in_words(found: &de::Unexpected) -> String {
    match found {
        de::Unexpected::Bool(value) => format!("`{value}`"),
        de::Unexpected::Unsigned(value) => format!("`{value}`"),
        de::Unexpected::Signed(value) => format!("`{value}`"),
        de::Unexpected::Float(value) => format!("`{value}`"),
        de::Unexpected::Str(value) => format!("the text `{value}`"),
        de::Unexpected::Unit => "nothing".to_owned(),
        de::Unexpected::Seq => "a list".to_owned(),
        de::Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}
