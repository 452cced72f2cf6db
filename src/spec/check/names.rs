//! Rules on labels and names.

use std::collections::BTreeMap;

use super::Findings;
use crate::data::volume::Label;
use crate::sampling::Sampler;

/// The name of a label's columns: lower case, spaces turned to `_`.
pub(in crate::spec) fn column_name(name: &str) -> String {
    name.trim().to_lowercase().replace(' ', "_")
}

/// Whether runs of this name have a folder of their own below the runs folder.
pub fn is_folder_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\'])
}

pub(super) fn check(findings: &mut Findings) {
    let experiment = &findings.document.experiment;
    if experiment.name.as_deref().is_some_and(|name| !is_folder_name(name)) {
        findings.problem("name", "expected a name that can be a folder's", "use letters, digits, `_` and `-`");
    }
    if let Some(labels) = &experiment.data.labels {
        check_label_names(findings, labels);
        check_uses(findings, labels);
    }
    for (index, metric) in experiment.metrics.iter().enumerate() {
        // Columns are named after the metric, so that two of a kind could not be told apart.
        if experiment.metrics[..index].iter().any(|other| other.name() == metric.name()) {
            findings.problem(&format!("metrics.{index}"), "this metric stands in the list twice", "remove one of them");
        }
    }
}

fn check_label_names(findings: &mut Findings, labels: &BTreeMap<Label, String>) {
    if labels.is_empty() {
        findings.problem(
            "data.labels",
            "expected at least one label, got none",
            "name a label, as in `{ 1: liver }`, or remove the key",
        );
    }
    let mut seen: BTreeMap<String, Label> = BTreeMap::new();
    for (value, name) in labels {
        let path = format!("data.labels.{value}");
        if *value == 0 {
            findings.key_problem(
                &path,
                "label 0 is the background and is not declared",
                "remove this entry; the network always has a background class",
            );
        }
        let column = column_name(name);
        if column.is_empty() || column == "mean" {
            findings.problem(
                &path,
                format!("`{name}` cannot be a label's name"),
                "columns of metrics.csv are named after labels; choose another word",
            );
        }
        if let Some(other) = seen.insert(column.clone(), *value) {
            findings.problem(
                &path,
                format!("labels {other} and {value} are both named `{column}`"),
                "names are compared in lower case with `_` for spaces; rename one",
            );
        }
    }
}

/// Labels that other sections name must be declared.
pub(super) fn check_uses(findings: &mut Findings, labels: &BTreeMap<Label, String>) {
    let experiment = &findings.document.experiment;
    let declared = labels.iter().map(|(value, name)| format!("{value} ({name})")).collect::<Vec<_>>().join(", ");
    if let Sampler::Label(sampler) = &experiment.sampler {
        for value in sampler
            .probabilities
            .iter()
            .flat_map(BTreeMap::keys)
            .filter(|value| **value != 0 && !labels.contains_key(value))
        {
            let path = format!("sampler.label.probabilities.{value}");
            findings.key_problem(
                &path,
                format!("label {value} is not declared"),
                format!("data.labels declares {declared}"),
            );
        }
    }
    for (index, metric) in experiment.metrics.iter().enumerate() {
        for (keys, value) in metric.used_labels().into_iter().filter(|(_, value)| !labels.contains_key(value)) {
            findings.problem(
                &format!("metrics.{index}.{}.{keys}", metric.name()),
                format!("label {value} is not declared"),
                format!("data.labels declares {declared}"),
            );
        }
        let taken = |region: &&String| *region == "mean" || labels.values().any(|name| column_name(name) == **region);
        for region in metric.regions().keys().filter(taken) {
            findings.key_problem(
                &format!("metrics.{index}.{}.regions.{region}", metric.name()),
                format!("`{region}` cannot be a region's name"),
                "columns are named after labels, regions and `mean`; choose another word",
            );
        }
    }
}
