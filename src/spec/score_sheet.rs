//! What label maps are scored with where there is no experiment: a file of metrics.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

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
    /// Reads a file; a bare list is one of metrics.
    ///
    /// # Errors
    /// Every problem of the text that is found, with its place.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let text = read_text(path, None)?;
        Self::parse(&path.display().to_string(), &text)
    }

    fn parse(name: &str, text: &str) -> Result<Self, Problems> {
        let node = Node::parse(&SourceText::new(name, text))?;
        let sheet = match node.value {
            Value::List(_) => Self { metrics: read(&node)?, labels: None },
            _ => read::<Self>(&node)?,
        };
        let list = if matches!(node.value, Value::List(_)) { Some(&node) } else { node.child("metrics") };
        let at = |index: usize| list.and_then(|list| list.child(&index.to_string())).unwrap_or(&node);
        let mut problems = Vec::new();
        for (index, metric) in sheet.metrics.iter().enumerate() {
            if sheet.metrics[..index].iter().any(|other| other.name() == metric.name()) {
                let message =
                    format!("{} stands in the list twice, and its columns would have the same names", metric.name());
                problems.push(Problem::at(Some(at(index).place()), message).help("remove one of them"));
            }
            for (path, label) in metric.used_labels() {
                if sheet.labels.as_ref().is_some_and(|labels| !labels.contains_key(&label)) {
                    let keys = std::iter::once(metric.name()).chain(path.split('.'));
                    let value = keys.fold(at(index), |node, key| node.child(key).unwrap_or(node));
                    let message = format!("label {label} is not declared");
                    problems.push(Problem::at(Some(value.place()), message).help("declare it in `labels`"));
                }
            }
        }
        if sheet.metrics.is_empty() {
            let problem = Problem::at(Some(node.place()), "expected at least one metric");
            problems.push(problem.help("for example `metrics: [ { dice: {} } ]`"));
        }
        if problems.is_empty() { Ok(sheet) } else { Err(Problems(problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_list_is_one_of_metrics() {
        let sheet = ScoreSheet::parse("m.yaml", "- dice: { empty: one }\n").unwrap();
        assert_eq!((sheet.metrics.len(), sheet.labels), (1, None));
    }

    #[test]
    fn names_of_labels_may_stand_beside_the_metrics() {
        let sheet = ScoreSheet::parse("m.yaml", "labels: { 1: liver }\nmetrics: [ { dice: {} } ]\n").unwrap();
        assert_eq!(sheet.labels.unwrap()[&1], "liver");
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, line, message) in [
            ("metrics:\n- dice: {}\n- dise: {}\n", 3, "dise"),
            ("metrics:\n- dice: {}\n- dice: {}\n", 3, "twice"),
            ("labels: { 1: a }\nmetrics:\n- dice:\n    regions: { b: [1, 7] }\n", 4, "label 7"),
            ("metrics: []\n", 1, "at least one"),
        ] {
            let problems = ScoreSheet::parse("m.yaml", text).unwrap_err();
            assert!(problems.to_string().contains(message), "{problems}");
            let place = problems.0[0].place.as_ref().unwrap();
            assert_eq!(text[..place.span.start].matches('\n').count() + 1, line, "{problems}");
        }
    }
}
