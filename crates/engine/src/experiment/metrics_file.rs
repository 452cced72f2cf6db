//! A file of metrics, for evaluation without an experiment.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::check::column_name;
use super::check::scores::{self, Violation};
use super::label_names::LabelNames;
use super::load::read_text;
use super::problem::{Problem, Problems, SourceText};
use super::tree::{Node, Value};
use super::typed::{read, read_with_labels};
use metrics::{Class, Metric};
use values::OrderedMap;
use volume::Label;

/// Metrics and label names for the evaluation of label maps.
///
/// ```yaml
/// labels: { 1: liver, 2: tumour }
/// metrics: [ { dice: {} } ]
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsFile {
    /// The metrics, as in an experiment.
    pub metrics: Vec<Metric>,
    /// Label names by label value; `null` (default) evaluates the labels of the run, or every label in the maps as
    /// `label_1`, `label_2`, …
    #[serde(default)]
    pub labels: Option<BTreeMap<Label, String>>,
    /// Named unions of labels that are scored instead of the labels, in this order, such as
    /// `{ whole_tumour: [1, 2, 3], tumour_core: [2, 3] }`; only for folders of label maps.
    #[serde(default)]
    pub regions: Option<OrderedMap<Vec<Label>>>,
    /// Label of voxels in the reference label maps that all metrics leave out, such as 4; only for folders of label maps.
    #[serde(default)]
    pub ignore_label: Option<Label>,
}

impl MetricsFile {
    /// Returns what a file with these metrics and nothing else says.
    pub fn of_metrics(metrics: Vec<Metric>) -> Self {
        Self { metrics, labels: None, regions: None, ignore_label: None }
    }

    /// Returns the classes that the file states; `None` if it states none.
    pub fn classes(&self) -> Option<Vec<Class>> {
        if let Some(regions) = &self.regions {
            let class = |(name, labels): (&str, &Vec<Label>)| Class { name: name.to_owned(), labels: labels.clone() };
            return Some(regions.iter().map(class).collect());
        }
        let labels = self.labels.as_ref()?.iter();
        Some(labels.map(|(label, name)| Class::of_label(*label, name)).collect())
    }

    /// Returns a key that the evaluation of a run does not need.
    pub fn key_of_folders(&self) -> Option<&'static str> {
        let ignore = self.ignore_label.map(|_| "ignore_label");
        self.regions.as_ref().map(|_| "regions").or(ignore)
    }

    /// Reads a file; a list at the top level is the list of metrics. `known` are the labels of the evaluated maps, which
    /// metrics may name besides those of the file.
    ///
    /// # Errors
    /// Every problem of the text.
    pub fn load(path: &Path, known: Option<&BTreeMap<Label, String>>) -> Result<Self, Problems> {
        let text = read_text(path, None)?;
        Self::parse(&path.display().to_string(), &text, known)
    }

    /// Parses a text as if read from a file of that name; see [`load`](Self::load).
    ///
    /// # Errors
    /// Every problem of the text.
    pub fn parse(name: &str, text: &str, known: Option<&BTreeMap<Label, String>>) -> Result<Self, Problems> {
        let node = Node::parse(&SourceText::new(name, text))?;
        let is_list = matches!(node.value, Value::List(_));
        let part = |key: &str| if is_list { &node } else { node.child(key).unwrap_or(&node) };
        let (labels, metrics) = (part("labels"), part("metrics"));
        // Metrics may write labels by the names that the file declares, else by those of the maps.
        let own = node.child("labels").and_then(|labels| read::<BTreeMap<Label, String>>(labels).ok());
        let names = own.as_ref().or(known).map_or_else(LabelNames::default, LabelNames::new);
        let mut file = match is_list {
            true => Self::of_metrics(read_with_labels(&node, &names)?),
            false => read_with_labels::<Self>(&node, &names)?,
        };
        let mut problems = Vec::new();
        if file.metrics.is_empty() {
            let problem = Problem::at(Some(metrics.location()), "expected at least one metric");
            problems.push(problem.help("for example `metrics: [ { dice: {} } ]`"));
        }
        problems
            .extend(scores::repeated_metrics(&file.metrics).into_iter().map(|violation| problem(violation, metrics)));
        if let Some(own) = &mut file.labels {
            problems.extend(scores::label_names(own).into_iter().map(|violation| problem(violation, labels)));
            own.values_mut().for_each(|name| *name = column_name(name));
        }
        if let Some(regions) = &mut file.regions {
            let node = part("regions");
            problems.extend(scores::region_names(regions).into_iter().map(|violation| problem(violation, node)));
            regions.0.iter_mut().for_each(|(name, _)| *name = column_name(name));
        }
        let regions: Vec<String> =
            file.regions.iter().flat_map(OrderedMap::iter).map(|(name, _)| name.to_owned()).collect();
        let declared: BTreeMap<Label, String> =
            known.into_iter().chain(&file.labels).flatten().map(|(label, name)| (*label, name.clone())).collect();
        if known.is_some() || file.labels.is_some() {
            let violations = scores::labels_of_metrics(&file.metrics, &declared, &regions, "labels");
            problems.extend(violations.into_iter().map(|violation| problem(violation, metrics)));
        }
        if problems.is_empty() { Ok(file) } else { Err(Problems(problems)) }
    }
}

/// Converts a violation below `node` into a problem.
fn problem(violation: Violation, node: &Node) -> Problem {
    let node = violation.path.split('.').fold(node, |node, key| node.child(key).unwrap_or(node));
    let location = if violation.at_key { node.key_location() } else { node.location() };
    Problem::at(Some(location), violation.message).help(violation.help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_at_the_top_level_is_the_list_of_metrics() {
        let file = MetricsFile::parse("m.yaml", "- dice: { empty: one }\n", None).unwrap();
        assert_eq!((file.metrics.len(), file.labels), (1, None));
    }

    #[test]
    fn label_names_may_be_given_with_the_metrics() {
        let file =
            MetricsFile::parse("m.yaml", "labels: { 1: Whole Liver }\nmetrics: [ { dice: {} } ]\n", None).unwrap();
        assert_eq!(file.labels.unwrap()[&1], "whole_liver");
    }

    #[test]
    fn labels_may_be_written_by_name() {
        let text = "labels: { 1: Liver, 2: tumour }\nmetrics: [ { dice: { regions: { whole: [liver, tumour] } } } ]\n";
        let numbers = text.replace("[liver, tumour]", "[1, 2]");
        let parse = |text: &str| MetricsFile::parse("m.yaml", text, None);
        assert_eq!(parse(text).unwrap(), parse(&numbers).unwrap());
        assert!(
            parse(&text.replace("[liver,", "[live,")).unwrap_err().to_string().contains("no label is named `live`")
        );
    }

    #[test]
    fn metrics_may_name_only_labels_of_the_evaluated_maps() {
        let known = BTreeMap::from([(1, "liver".to_owned())]);
        let problems = MetricsFile::parse("m.yaml", "- lits: {}\n", Some(&known)).unwrap_err();
        assert!(problems.to_string().contains("label 2 is not declared"), "{problems}");
        let known = BTreeMap::from([(1, "liver".to_owned()), (2, "lesion".to_owned())]);
        let text = "labels: { 1: liver }\nmetrics: [ { lits: {} } ]\n";
        assert!(MetricsFile::parse("m.yaml", text, Some(&known)).is_ok());
    }

    #[test]
    fn errors_have_a_location() {
        for (text, line, message) in [
            ("metrics:\n- dice: {}\n- dise: {}\n", 3, "dise"),
            ("metrics:\n- dice: {}\n- dice: {}\n", 3, "duplicate metric"),
            ("labels: { 1: a }\nmetrics:\n- dice:\n    regions: { b: [1, 7] }\n", 4, "label 7"),
            ("metrics: []\n", 1, "at least one"),
            ("labels:\n  0: air\nmetrics:\n- dice: {}\n", 2, "background"),
            ("labels: { 1: a, 2: A }\nmetrics:\n- dice: {}\n", 1, "both named `a`"),
            ("labels: { 1: a }\nmetrics:\n- dice:\n    regions:\n      a: [1]\n", 5, "cannot be a region"),
        ] {
            let problems = MetricsFile::parse("m.yaml", text, None).unwrap_err();
            assert!(problems.to_string().contains(message), "{problems}");
            let location = problems.0[0].location.as_ref().unwrap();
            assert_eq!(text[..location.span.start].matches('\n').count() + 1, line, "{problems}");
        }
    }
}
