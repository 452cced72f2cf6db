//! Errors of deserialization, in the user's terms.

use serde::de;

use super::problem::{Problem, SourceSpan, nearest};
use super::tree::{Node, Value};

/// An error of deserialization; its location is that of the innermost value that was being read.
#[derive(Debug)]
pub(super) struct ParseError {
    pub(super) problem: Problem,
    /// The value as the parser understood it, which ends the message; replaced by what was written.
    parsed: Option<String>,
    /// The keys or names that are allowed, if an unknown one was written.
    pub(super) allowed: Option<&'static [&'static str]>,
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.problem.fmt(f)
    }
}

impl std::error::Error for ParseError {}

impl ParseError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Problem::at(None, message).into()
    }

    /// Returns the error of a value of the wrong type.
    fn mismatch(expected: &dyn de::Expected, found: &de::Unexpected) -> Self {
        let expected = expected_in_words(&expected.to_string());
        let message = format!("expected {expected}, got {}", unexpected_in_words(found));
        let parsed = match found {
            de::Unexpected::Unsigned(value) => Some(value.to_string()),
            de::Unexpected::Signed(value) => Some(value.to_string()),
            de::Unexpected::Float(value) => Some(value.to_string()),
            _ => None,
        };
        let parsed = parsed.map(|value| format!("`{value}`"));
        Self { problem: Problem::at(None, message), parsed, allowed: None }
    }

    pub(super) fn or_at(mut self, location: impl FnOnce() -> SourceSpan) -> Self {
        self.problem.location.get_or_insert_with(location);
        self
    }

    /// Locates the error at a value, unless it is located, and quotes the value as it was written.
    fn or_at_value(mut self, node: &Node) -> Self {
        if self.problem.location.is_some() {
            return self;
        }
        if let (Some(written), Value::Unsigned(_) | Value::Signed(_) | Value::Float(_)) = (node.written(), &node.value)
        {
            let parsed = self.parsed.take().unwrap_or_else(|| match &node.value {
                Value::Unsigned(value) => value.to_string(),
                Value::Signed(value) => value.to_string(),
                Value::Float(value) => value.to_string(),
                _ => String::new(),
            });
            let quoted = parsed.starts_with('`');
            if let Some(start) = self.problem.message.strip_suffix(&parsed).filter(|start| start.ends_with("got ")) {
                let written = if quoted { format!("`{written}`") } else { written.to_owned() };
                self.problem.message = format!("{start}{written}");
            }
        }
        self.or_at(|| node.location())
    }
}

impl From<Problem> for ParseError {
    fn from(problem: Problem) -> Self {
        Self { problem, parsed: None, allowed: None }
    }
}

pub(super) fn at<T>(node: &Node, result: Result<T, ParseError>) -> Result<T, ParseError> {
    result.map_err(|error| error.or_at_value(node))
}

impl de::Error for ParseError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
    fn invalid_type(found: de::Unexpected, expected: &dyn de::Expected) -> Self {
        let mut error = Self::mismatch(expected, &found);
        error.problem.help = help_for(&found, &expected.to_string());
        error
    }
    fn invalid_value(found: de::Unexpected, expected: &dyn de::Expected) -> Self {
        Self::mismatch(expected, &found)
    }
    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        Self::new(format!("expected {}, got {length} items", expected_in_words(&expected.to_string())))
    }
    fn unknown_field(field: &str, allowed: &'static [&'static str]) -> Self {
        let problem = Problem::at(None, format!("unknown key `{field}`")).help(names_help(field, allowed, "keys"));
        Self { allowed: Some(allowed), ..problem.into() }
    }
    fn unknown_variant(name: &str, allowed: &'static [&'static str]) -> Self {
        let problem = Problem::at(None, format!("unknown name `{name}`")).help(names_help(name, allowed, "names"));
        Self { allowed: Some(allowed), ..problem.into() }
    }
    fn missing_field(field: &'static str) -> Self {
        Problem::at(None, missing_key(field)).help(format!("add `{field}: ...`")).into()
    }
    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("duplicate key `{field}`"))
    }
}

/// Returns the message that a key is not there.
pub(super) fn missing_key(name: &str) -> String {
    format!("missing key `{name}`")
}

/// The maximum number of names that are listed beside a suggestion.
const MAX_LISTED: usize = 12;

/// Returns a hint at the allowed names: the name by which another library's name is known here, the most similar one, or
/// all of them.
pub(super) fn names_help(written: &str, allowed: &[&str], kind: &str) -> String {
    if allowed.is_empty() {
        return "no keys are allowed here; write `{}`".to_owned();
    }
    if let Some(name) = transforms::name_of_alias(written).filter(|name| allowed.contains(name)) {
        return format!(
            "`{written}` is `{name}` here; `runner explain {name}` describes it; docs/torchio.md and docs/nnunet_augmentation.md list all names"
        );
    }
    let list = format!("allowed {kind}: {}", allowed.join(", "));
    match nearest(written, allowed.iter().copied()) {
        Some(near) if allowed.len() > MAX_LISTED => format!("did you mean `{near}`?"),
        Some(near) => format!("did you mean `{near}`? {list}"),
        None => list,
    }
}

/// Returns how to write a value so that it has the expected type.
fn help_for(found: &de::Unexpected, expected: &str) -> Option<String> {
    match found {
        de::Unexpected::Unsigned(_)
        | de::Unexpected::Signed(_)
        | de::Unexpected::Float(_)
        | de::Unexpected::Bool(_)
            if expected.contains("string") =>
        {
            Some("put it in quotes to make it text".to_owned())
        }
        de::Unexpected::Str(text) if expected == "a boolean" => {
            let yes = ["yes", "on", "y"].contains(&text.to_lowercase().as_str());
            let no = ["no", "off", "n"].contains(&text.to_lowercase().as_str());
            let word = |word: &str| format!("write `{word}`; in YAML 1.2, `{text}` is text");
            if yes { Some(word("true")) } else { no.then(|| word("false")) }
        }
        de::Unexpected::Str(text) if is_number(expected) => number_help(text),
        _ => None,
    }
}

fn is_number(expected: &str) -> bool {
    let expected = expected_in_words(expected);
    expected.contains("number") || expected.contains("probability")
}

/// Returns how to write a number that was written as text.
fn number_help(text: &str) -> Option<String> {
    let is_number = |text: &str| text.parse::<f64>().is_ok();
    let joined = text.replace(['_', '\'', ' '], "");
    let minus = text.replace(['\u{2212}', '\u{2013}'], "-");
    match text {
        _ if is_number(text) => Some("remove the quotes".to_owned()),
        _ if joined != text && is_number(&joined) => Some(format!("write {joined}, without separators")),
        _ if minus != text && is_number(&minus) => Some(format!("write {minus}, with a hyphen as the minus sign")),
        _ if is_number(&text.replace(',', ".")) => {
            Some(format!("write {}, with a decimal point", text.replace(',', ".")))
        }
        _ => None,
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
        "an array of length 3" => "one value, or a list of 3 for x, y and z".to_owned(),
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
