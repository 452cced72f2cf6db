//! The names of labels, by which an experiment may write them wherever it expects a label.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use super::check::column_name;
use super::problem::{Problem, nearest};
use super::tree::{Node, Value};
use super::typed::read;
use dataset::sources::{self, Source};
use volume::Label;

/// The labels by name.
#[derive(Clone, Debug, Default)]
pub struct LabelNames {
    /// The names that are declared, in the form of column names.
    declared: Option<BTreeMap<String, Label>>,
    /// The dataset whose names are used if none are declared.
    source: Option<Source>,
    /// The names of the dataset, or why it cannot be read.
    of_source: OnceLock<Result<BTreeMap<String, Label>, String>>,
}

/// No names, for files without labels.
pub(super) static NO_NAMES: LabelNames = LabelNames { declared: None, source: None, of_source: OnceLock::new() };

/// The name of label 0, unless a label has it.
const BACKGROUND: &str = "background";

/// The name of the label that `dataset.json` declares to be ignored.
const IGNORE: &str = "ignore";

impl LabelNames {
    /// Returns the names of some labels.
    pub fn new(labels: &BTreeMap<Label, String>) -> Self {
        Self { declared: Some(by_name(labels)), ..Self::default() }
    }

    /// Returns the names of an experiment's labels: those of `data.labels`, else those of its dataset, which is read when
    /// a name is looked up.
    pub(super) fn of_experiment(root: &Node) -> Self {
        let data = root.child("data");
        if let Some(Value::Map(entries)) = data.and_then(|data| data.child("labels")).map(|labels| &labels.value) {
            return Self { declared: Some(entries.iter().filter_map(declared).collect()), ..Self::default() };
        }
        let source = data.and_then(|data| data.child("source")).and_then(|source| read::<Source>(source).ok());
        Self { source, ..Self::default() }
    }

    /// Returns the known names.
    ///
    /// # Errors
    /// Why the dataset cannot be read.
    fn known(&self) -> Result<&BTreeMap<String, Label>, &String> {
        static NONE: BTreeMap<String, Label> = BTreeMap::new();
        match (&self.declared, &self.source) {
            (Some(declared), _) => Ok(declared),
            (None, None) => Ok(&NONE),
            (None, Some(source)) => {
                let list = || match sources::list(source, Path::new("")) {
                    Ok(listing) => {
                        let mut names = listing.labels.names.as_ref().map(by_name).unwrap_or_default();
                        // The name of the label in nnU-Net's `dataset.json`.
                        names.extend(listing.labels.ignore.map(|label| (IGNORE.to_owned(), label)));
                        Ok(names)
                    }
                    Err(error) => Err(error.to_string()),
                };
                self.of_source.get_or_init(list).as_ref()
            }
        }
    }

    /// Returns the label of a name.
    ///
    /// # Errors
    /// If no label has the name.
    pub(super) fn find(&self, name: &str) -> Result<Label, Problem> {
        let column = column_name(name);
        let known = self.known();
        if let Some(label) = known.ok().and_then(|known| known.get(&column)) {
            return Ok(*label);
        }
        if column == BACKGROUND {
            return Ok(0);
        }
        let help = match known {
            Ok(known) if known.is_empty() => {
                "write the label's number, or declare names: `data.labels: { 1: liver }`".to_owned()
            }
            Ok(known) => {
                let names: Vec<String> = known.iter().map(|(name, label)| format!("{label} ({name})")).collect();
                let near = nearest(&column, known.keys().map(String::as_str));
                let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
                format!("{near}the labels are {}", names.join(", "))
            }
            Err(reason) => {
                format!(
                    "the names of the dataset's labels cannot be read: {reason}; write numbers, or declare `data.labels`"
                )
            }
        };
        Err(Problem::at(None, format!("no label is named `{name}`")).help(help))
    }
}

fn by_name(labels: &BTreeMap<Label, String>) -> BTreeMap<String, Label> {
    labels.iter().map(|(label, name)| (column_name(name), *label)).collect()
}

/// Returns an entry of `data.labels`, if it is valid.
fn declared((label, name): &(String, Node)) -> Option<(String, Label)> {
    match &name.value {
        Value::Text(name) => Some((column_name(name), label.parse().ok()?)),
        _ => None,
    }
}

/// Returns the problems of `data.labels` whose entries are written the wrong way round, as in nnU-Net's dataset.json.
pub(super) fn reversed_labels(root: &Node) -> Vec<Problem> {
    let labels = root.child("data").and_then(|data| data.child("labels"));
    let Some(Value::Map(entries)) = labels.map(|labels| &labels.value) else { return Vec::new() };
    let problem = |(name, node): &(String, Node)| match node.value {
        Value::Unsigned(label) if name.parse::<u64>().is_err() => {
            let message = format!("expected `LABEL: NAME`, got `{name}: {label}`");
            let help = format!("write `{label}: {name}`; 0, the background, is not listed");
            Some(Problem::at(Some(node.key_location()), message).help(help))
        }
        _ => None,
    };
    entries.iter().filter_map(problem).collect()
}

#[cfg(test)]
mod tests {
    use crate::experiment::load::{Document, parse};
    use crate::experiment::problem::Problems;
    use dataset::samplers::Sampler;

    fn with(labels: &str, probabilities: &str, more: &str) -> Result<Document, Problems> {
        parse(
            "a.yaml",
            &format!(
                "data: {{ source: {{ phantom: {{}} }}, labels: {labels} }}\n\
                 sampler: {{ label: {{ patch: 8, probabilities: {probabilities} }} }}\n\
                 model: {{ unet: {{ widths: [4] }} }}\nloss: {{ dice: {{}} }}\n\
                 optimizer: {{ adam: {{ learning_rate: 1e-4 }} }}\ntrain: {{ epochs: 1 }}\n{more}"
            ),
        )
    }

    fn probabilities(document: &Document) -> Vec<(u16, f64)> {
        let Sampler::LabelSampler(sampler) = &document.experiment.sampler else { panic!() };
        sampler.probabilities.iter().flatten().map(|(label, weight)| (*label, weight.get())).collect()
    }

    #[test]
    fn every_key_that_takes_labels_takes_names() {
        let more = "\
preprocess:
- remap_labels: { map: { Liver Tumour: liver, 7: background } }
- keep_largest: { labels: [liver_tumour, 1] }
- mask: { keep: { labels: [liver] } }
- crop_or_pad: { shape: 8, mask: { labels: [liver tumour] } }
postprocess:
- keep_largest: { labels: [liver] }
- fill_holes: { labels: [liver] }
- remove_small: { volume_mm3: 3, labels: [liver_tumour] }
- tumour_inside_liver: { liver: liver, tumour: liver_tumour }
metrics:
- dice: { regions: { whole: [liver, Liver Tumour] } }
- lits: { lesion: liver_tumour }
";
        let numbers = more
            .replace("Liver Tumour", "2")
            .replace("liver_tumour", "2")
            .replace("liver tumour", "2")
            .replace("liver: liver", "liver: 1")
            .replace("[liver", "[1")
            .replace(": liver", ": 1")
            .replace("background", "0");
        let labels = "{ 1: liver, 2: Liver Tumour }";
        let named = with(labels, "{ background: 0.2, liver: 0.3, liver_tumour: 0.5 }", more).unwrap();
        let numbered = with(labels, "{ 0: 0.2, 1: 0.3, 2: 0.5 }", &numbers).unwrap();
        assert_eq!(probabilities(&named), [(0, 0.2), (1, 0.3), (2, 0.5)]);
        assert_eq!(named.experiment, numbered.experiment);
    }

    #[test]
    fn the_dataset_names_labels_that_the_experiment_does_not_declare() {
        assert_eq!(probabilities(&with("null", "{ liver: 1, tumour: 3 }", "").unwrap()), [(1, 1.0), (2, 3.0)]);
    }

    #[test]
    fn an_unknown_name_is_marked_with_the_nearest_one() {
        let problems = with("{ 1: liver, 2: tumour }", "{ tumor: 1 }", "").unwrap_err();
        assert_eq!(problems.0[0].message, "no label is named `tumor`");
        assert_eq!(problems.0[0].help.as_deref(), Some("did you mean `tumour`? the labels are 1 (liver), 2 (tumour)"));
        let location = problems.0[0].location.clone().unwrap();
        assert_eq!(&location.source.text[location.span], "tumor");
    }

    #[test]
    fn names_before_labels_are_a_problem_that_shows_the_right_order() {
        let problems = with("{ liver: 1, 2: tumour }", "{ 2: 1 }", "").unwrap_err();
        assert_eq!(problems.0.len(), 1, "{problems:?}");
        assert_eq!(problems.0[0].message, "expected `LABEL: NAME`, got `liver: 1`");
    }
}
