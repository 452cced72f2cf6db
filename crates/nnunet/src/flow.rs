//! Values as YAML on one line.

use serde_json::Value;

/// Words that YAML reads as something else than text.
const WORDS: [&str; 7] = ["null", "true", "false", "yes", "no", "on", "off"];

/// Writes a value as YAML on one line, such as `{ widths: [32, 64], norm: instance }`.
pub(crate) fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| format!("{}: {}", key_text(key), flow(value));
            format!("{{ {} }}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        // As in JSON.
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// Writes text, in quotes unless it is a plain word.
fn scalar(text: &str) -> String {
    let mut characters = text.chars();
    let is_word = characters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && characters.all(|other| other.is_ascii_alphanumeric() || "_-./".contains(other))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if is_word { text.to_owned() } else { Value::from(text).to_string() }
}

/// Writes a key; numbers need no quotes.
fn key_text(key: &str) -> String {
    if !key.is_empty() && key.chars().all(|digit| digit.is_ascii_digit()) { key.to_owned() } else { scalar(key) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_reads_the_same_value() {
        for value in [
            json!({ "a": [1, 0.1, -3e-9, null], "b": { "c-d": true, "e": {} }, "f": [] }),
            json!(["yes", "No", "1", "", "a: b", "#c", "ü", "a\nb\"c\\", "null", "data/A_1.x", "-", "é"]),
        ] {
            let text = flow(&value);
            assert_eq!(serde_yaml::from_str::<Value>(&text).unwrap(), value, "{text}");
        }
        assert_eq!(flow(&json!({ "widths": [4, 8], "norm": "instance" })), "{ norm: instance, widths: [4, 8] }");
        assert_eq!(flow(&json!({ "1": "no" })), "{ 1: \"no\" }");
    }
}
