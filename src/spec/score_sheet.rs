//! What label maps are scored with where there is no experiment: a file of metrics.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::check::column_name;
use super::load::read_text;
use super::problem::{Problem, Problems, SourceText};
use super::tree::{Node, Value};
use super::typed::read;
use crate::data::volume::Label;
use crate::metrics::Metric;

/// What label maps are scored with.
///
/// ```yaml
/// labels: { 1: liver, 2: tumour }
/// metrics: [ { dice: {} } ]
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreSheet {
    /// The metrics, as in an experiment.
    pub metrics: Vec<Metric>,
    /// Names of labels; without them every label that the maps hold is scored as `label_1`, `label_2`, ….
    #[serde(default)]
    pub labels: Option<BTreeMap<Label, String>>,
}

impl ScoreSheet {
    /// Reads a file; a bare list is one of metrics. `known` are the labels of what is scored, where the file names none.
    ///
    /// # Errors
    /// Every problem of the text that is found, with its place.
    pub fn load(path: &Path, known: Option<&BTreeMap<Label, String>>) -> Result<Self, Problems> {
        let text = read_text(path, None)?;
        Self::parse(&path.display().to_string(), &text, known)
    }

    fn parse(name: &str, text: &str, known: Option<&BTreeMap<Label, String>>) -> Result<Self, Problems> {
        let node = Node::parse(&SourceText::new(name, text))?;
        let mut sheet = match node.value {
            Value::List(_) => Self { metrics: read(&node)?, labels: None },
            _ => read::<Self>(&node)?,
        };
        let mut problems = Vec::new();
        if let Some(labels) = &mut sheet.labels {
            problems.extend(label_problems(labels, node.child("labels").unwrap_or(&node)));
            labels.values_mut().for_each(|name| *name = column_name(name));
        }
        let list = if matches!(node.value, Value::List(_)) { &node } else { node.child("metrics").unwrap_or(&node) };
        problems.extend(metric_problems(&sheet.metrics, sheet.labels.as_ref().or(known), list));
        if problems.is_empty() { Ok(sheet) } else { Err(Problems(problems)) }
    }
}

/// Names that would make columns that cannot be told apart; `node` is where they were written.
fn label_problems(labels: &BTreeMap<Label, String>, node: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut seen = BTreeMap::new();
    for (value, name) in labels {
        let (column, place) = (column_name(name), node.child(&value.to_string()).unwrap_or(node).place());
        let problem = match seen.insert(column.clone(), value) {
            _ if *value == 0 => "label 0 is the background and is not scored".to_owned(),
            _ if column.is_empty() || column == "mean" => format!("`{name}` cannot be a label's name"),
            Some(other) => format!("labels {other} and {value} are both named `{column}`"),
            None => continue,
        };
        let help = "columns are named after labels, in lower case and with `_` for spaces; choose another word";
        problems.push(Problem::at(Some(place), problem).help(help));
    }
    problems
}

/// Metrics that cannot be told apart, or name labels that nobody declares; `list` is where they were written.
fn metric_problems(metrics: &[Metric], labels: Option<&BTreeMap<Label, String>>, list: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    if metrics.is_empty() {
        let problem = Problem::at(Some(list.place()), "expected at least one metric");
        problems.push(problem.help("for example `metrics: [ { dice: {} } ]`"));
    }
    for (index, metric) in metrics.iter().enumerate() {
        let node = list.child(&index.to_string()).unwrap_or(list);
        if metrics[..index].iter().any(|other| other.name() == metric.name()) {
            let message =
                format!("{} stands in the list twice, and its columns would have the same names", metric.name());
            problems.push(Problem::at(Some(node.place()), message).help("remove one of them"));
        }
        let within = |keys: &str| {
            let keys = std::iter::once(metric.name()).chain(keys.split('.'));
            keys.fold(node, |node, key| node.child(key).unwrap_or(node))
        };
        for (keys, label) in metric.used_labels() {
            if labels.is_some_and(|labels| !labels.contains_key(&label)) {
                let message = format!("label {label} is not declared");
                problems.push(Problem::at(Some(within(&keys).place()), message).help("declare it in `labels`"));
            }
        }
        let is_label =
            |region: &String| labels.is_some_and(|labels| labels.values().any(|name| column_name(name) == *region));
        for region in metric.regions().keys().filter(|region| *region == "mean" || is_label(region)) {
            let place = within(&format!("regions.{region}")).key_place();
            let problem = Problem::at(Some(place), format!("`{region}` cannot be a region's name"));
            problems.push(problem.help("columns are named after labels, regions and `mean`; choose another word"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_list_is_one_of_metrics() {
        let sheet = ScoreSheet::parse("m.yaml", "- dice: { empty: one }\n", None).unwrap();
        assert_eq!((sheet.metrics.len(), sheet.labels), (1, None));
    }

    #[test]
    fn names_of_labels_may_stand_beside_the_metrics() {
        let sheet =
            ScoreSheet::parse("m.yaml", "labels: { 1: Whole Liver }\nmetrics: [ { dice: {} } ]\n", None).unwrap();
        assert_eq!(sheet.labels.unwrap()[&1], "whole_liver");
    }

    #[test]
    fn a_bare_list_is_held_to_the_labels_of_what_is_scored() {
        let known = BTreeMap::from([(1, "liver".to_owned())]);
        let problems = ScoreSheet::parse("m.yaml", "- lits: {}\n", Some(&known)).unwrap_err();
        assert!(problems.to_string().contains("label 2 is not declared"), "{problems}");
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, line, message) in [
            ("metrics:\n- dice: {}\n- dise: {}\n", 3, "dise"),
            ("metrics:\n- dice: {}\n- dice: {}\n", 3, "twice"),
            ("labels: { 1: a }\nmetrics:\n- dice:\n    regions: { b: [1, 7] }\n", 4, "label 7"),
            ("metrics: []\n", 1, "at least one"),
            ("labels:\n  0: air\nmetrics:\n- dice: {}\n", 2, "background"),
            ("labels: { 1: a, 2: A }\nmetrics:\n- dice: {}\n", 1, "both named `a`"),
            ("labels: { 1: a }\nmetrics:\n- dice:\n    regions:\n      a: [1]\n", 5, "cannot be a region"),
        ] {
            let problems = ScoreSheet::parse("m.yaml", text, None).unwrap_err();
            assert!(problems.to_string().contains(message), "{problems}");
            let place = problems.0[0].place.as_ref().unwrap();
            assert_eq!(text[..place.span.start].matches('\n').count() + 1, line, "{problems}");
        }
    }
}
