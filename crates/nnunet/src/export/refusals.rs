//! What an experiment has and nnU-Net lacks.

use engine::experiment::load::Document;
use engine::experiment::problem::{Problem, Problems};
use serde_json::Value;

/// The reasons why a run cannot be exported.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refusals(Vec<Refusal>);

/// A reason why a run cannot be exported.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    /// The key of the experiment.
    key: String,
    message: String,
    help: String,
}

/// What to do about a key that belongs to the trained network.
pub(super) const TRAIN_AGAIN: &str = "train a run";
/// What to do about a key that only predictions depend on.
pub(super) const CHANGE_PLAN: &str = "predictions of `runner` will change with it";

impl Refusals {
    /// Adds a reason.
    pub fn add(&mut self, key: impl Into<String>, message: impl Into<String>, help: impl Into<String>) {
        self.0.push(Refusal { key: key.into(), message: message.into(), help: help.into() });
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the reasons as problems of a plan.
    pub fn into_problems(self, document: &Document) -> Problems {
        let problem = |Refusal { key, message, help }: Refusal| {
            Problem::at(Some(document.key_location(&key)), format!("`{key}`: {message}")).help(help)
        };
        Problems(self.0.into_iter().map(problem).collect())
    }

    /// Returns the keys and messages.
    #[cfg(test)]
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(|Refusal { key, message, .. }| format!("{key}: {message}")).collect()
    }
}

/// Returns the keys by which two maps differ, each with its value in `expected`; `Null` if that lacks it.
pub(super) fn differences(found: &Value, expected: &Value) -> Vec<(String, Value)> {
    let keys = |value: &Value| value.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
    let mut all: Vec<String> = keys(expected);
    all.extend(Vec::from_iter(keys(found).into_iter().filter(|key: &String| expected.get(key).is_none())));
    let differs = |key: &String| found.get(key) != expected.get(key);
    let expected = |key: String| (key.clone(), expected.get(&key).cloned().unwrap_or_default());
    all.into_iter().filter(differs).map(expected).collect()
}

/// Returns settings in words, such as "`ddof: 0` and no `mask`".
pub(super) fn in_words(settings: &[(String, Value)]) -> String {
    let setting = |(key, value): &(String, Value)| match value {
        Value::Null => format!("no `{key}`"),
        value => format!("`{key}: {}`", crate::flow::flow(value)),
    };
    let words: Vec<String> = settings.iter().map(setting).collect();
    match words.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_that_differ_are_listed_with_what_is_expected() {
        let found = json!({ "same": 1, "other": [1], "more": true });
        let expected = json!({ "same": 1, "other": [2], "missing": "a" });
        let differences = differences(&found, &expected);
        assert_eq!(in_words(&differences), "`missing: a`, `other: [2]` and no `more`");
        assert_eq!(in_words(&differences[..1]), "`missing: a`");
        assert_eq!(in_words(&[]), "");
    }
}
