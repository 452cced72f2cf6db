//! Rules for label names and metrics, of an experiment and of a file of metrics.

use std::collections::{BTreeMap, BTreeSet};

use super::names::column_name;
use metrics::Metric;
use values::OrderedMap;
use volume::Label;

/// A violated rule, relative to a list or map.
pub(in crate::experiment) struct Violation {
    /// The dotted path of the value.
    pub path: String,
    /// Whether the key is wrong rather than the value.
    pub at_key: bool,
    /// What is wrong.
    pub message: String,
    /// How to fix it.
    pub help: String,
}

/// Checks that label names give distinct column names.
pub(in crate::experiment) fn label_names(labels: &BTreeMap<Label, String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut seen: BTreeMap<String, Label> = BTreeMap::new();
    for (value, name) in labels {
        let mut violation = |at_key, message: String, help: &str| {
            violations.push(Violation { path: value.to_string(), at_key, message, help: help.to_owned() });
        };
        if *value == 0 {
            let message = "label 0 is the background and must not be declared".to_owned();
            violation(true, message, "remove this entry; the network always has a background class");
        }
        let column = column_name(name);
        if column.is_empty() || column == "mean" {
            let help = "columns of metrics.csv are named after labels; choose another name";
            violation(false, format!("`{name}` cannot be a label's name"), help);
        }
        if let Some(other) = seen.insert(column.clone(), *value) {
            let help = "names are compared in lower case, with `_` for spaces; rename one";
            violation(false, format!("labels {other} and {value} are both named `{column}`"), help);
        }
    }
    violations
}

/// Checks that region names give distinct column names.
pub(in crate::experiment) fn region_names<T>(regions: &OrderedMap<T>) -> Vec<Violation> {
    let mut seen = BTreeSet::new();
    let violation = |(name, _): (&str, &T)| {
        let column = column_name(name);
        let (message, help) = if column.is_empty() || column == "mean" {
            let help = "columns of metrics.csv are named after regions; choose another name";
            (format!("`{name}` cannot be a region's name"), help)
        } else if !seen.insert(column.clone()) {
            let help = "names are compared in lower case, with `_` for spaces; rename one";
            (format!("two regions are named `{column}`"), help)
        } else {
            return None;
        };
        Some(Violation { path: name.to_owned(), at_key: true, message, help: help.to_owned() })
    };
    regions.iter().filter_map(violation).collect()
}

/// Checks that no metric is listed twice.
pub(in crate::experiment) fn repeated_metrics(metrics: &[Metric]) -> Vec<Violation> {
    let is_repeated = |index: &usize| metrics[..*index].iter().any(|other| other.name() == metrics[*index].name());
    let violation = |index: usize| Violation {
        path: index.to_string(),
        at_key: false,
        message: "duplicate metric".to_owned(),
        help: "remove one of them".to_owned(),
    };
    (0..metrics.len()).filter(is_repeated).map(violation).collect()
}

/// Checks the labels and region names of metrics against the declared labels and the trained regions; `declared_in` is where
/// labels are declared.
pub(in crate::experiment) fn labels_of_metrics(
    metrics: &[Metric],
    labels: &BTreeMap<Label, String>,
    regions: &[String],
    declared_in: &str,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, metric) in metrics.iter().enumerate() {
        let below = |keys: &str| format!("{index}.{}.{keys}", metric.name());
        for (keys, value) in metric.used_labels().into_iter().filter(|(_, value)| !labels.contains_key(value)) {
            let message = format!("label {value} is not declared");
            let help = format!("{declared_in} declares {}", declared(labels));
            violations.push(Violation { path: below(&keys), at_key: false, message, help });
        }
        let named: Vec<(String, Label)> =
            metric.used_labels().into_iter().filter(|(key, _)| !key.starts_with("regions.")).collect();
        for (position, (key, value)) in named.iter().enumerate() {
            if let Some((other, _)) = named[..position].iter().find(|(_, other)| other == value) {
                let message = format!("`{other}` and `{key}` are both label {value}");
                let help = format!("name two different labels; {declared_in} declares {}", declared(labels));
                violations.push(Violation { path: below(key), at_key: false, message, help });
            }
        }
        let is_taken = |region: &&String| {
            let column = column_name(region);
            column == "mean" || regions.contains(&column) || labels.values().any(|name| column_name(name) == column)
        };
        for region in metric.regions().keys().filter(is_taken) {
            let message = format!("`{region}` cannot be a region's name");
            let help = "columns are named after labels, regions and `mean`; choose another name".to_owned();
            violations.push(Violation { path: below(&format!("regions.{region}")), at_key: true, message, help });
        }
    }
    violations
}

/// Lists the declared labels in words.
pub(super) fn declared(labels: &BTreeMap<Label, String>) -> String {
    labels.iter().map(|(value, name)| format!("{value} ({name})")).collect::<Vec<_>>().join(", ")
}
