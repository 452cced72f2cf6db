//! `dataset.json` of an exported model: its channels and labels.

use serde_json::{Value, json};

use super::refusals::{Refusals, TRAIN_AGAIN};
use crate::normalization::Scheme;
use engine::experiment::spec::{Data, Experiment};
use engine::experiment::targets::Targets;
use engine::fingerprint::Fingerprint;
use nn::weights::pytorch_file::Saved;
use volume::Label;

/// The names that have another meaning in nnU-Net.
const BACKGROUND: &str = "background";
const IGNORE: &str = "ignore";

/// The labels of `dataset.json`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Labels {
    /// Each name with its label, or with the labels of its region, in the order of the network's classes.
    names: Vec<(String, Value)>,
    /// The label as which each region is written; empty without regions.
    regions_class_order: Vec<Label>,
}

/// The keys of `data` that nnU-Net's model folders can state, or that no prediction depends on.
const DATA_KEYS: [&str; 6] = ["source", "labels", "regions", "ignore_label", "orientation", "split"];

/// Refuses other keys of `data` than those that are exported.
pub(super) fn check_keys(data: &Data, refusals: &mut Refusals) {
    let keys = serde_json::to_value(data).unwrap_or_default();
    for (key, value) in keys.as_object().into_iter().flatten() {
        if !DATA_KEYS.contains(&key.as_str()) && !value.is_null() {
            let message = "nnU-Net's model folders cannot state this";
            refusals.add(format!("data.{key}"), message, format!("{TRAIN_AGAIN} without it"));
        }
    }
}

impl Labels {
    /// Returns what a network predicts; what nnU-Net's label maps cannot have is refused.
    pub fn new(data: &Data, targets: &Targets, refusals: &mut Refusals) -> Self {
        let mut names = vec![(BACKGROUND.to_owned(), json!(0))];
        let highest = if targets.has_background() {
            let labels: Vec<Label> = targets.labels.iter().map(|label| label.value).collect();
            if labels.iter().enumerate().any(|(index, label)| usize::from(*label) != index + 1) {
                let message = format!("{labels:?}; nnU-Net's labels are 1, 2, 3, ... without gaps");
                refusals.add("data.labels", message, format!("{TRAIN_AGAIN} on labels without gaps"));
            }
            names.extend(data.labels.iter().flatten().map(|(label, name)| (name.clone(), json!(label))));
            labels.into_iter().max()
        } else {
            let regions = data.regions.iter().flat_map(|regions| &regions.0);
            names.extend(regions.map(|(name, region)| (name.clone(), labels_of_region(&region.labels))));
            if targets.regions.iter().all(|region| region.labels.len() < 2) {
                let message = "nnU-Net trains regions of a single label with a softmax";
                refusals.add("data.regions", message, format!("{TRAIN_AGAIN} on `data.labels`"));
            }
            targets.regions.iter().flat_map(|region| &region.labels).copied().max()
        };
        let key = if targets.has_background() { "data.labels" } else { "data.regions" };
        for (name, _) in names[1..].iter().filter(|(name, _)| [BACKGROUND, IGNORE].contains(&name.as_str())) {
            let message = format!("the name `{name}` has another meaning in nnU-Net");
            refusals.add(key, message, "write another name into plan.yaml");
        }
        if let Some(ignore) = targets.ignore {
            let expected = highest.unwrap_or(0).saturating_add(1);
            if ignore != expected {
                let message = format!("{ignore}; nnU-Net's ignored label is the one above all others, {expected}");
                let help = "remove the key from plan.yaml: predictions do not depend on it";
                refusals.add("data.ignore_label", message, help);
            }
            names.push((IGNORE.to_owned(), json!(ignore)));
        }
        let regions_class_order = targets.regions.iter().map(|region| region.write).collect();
        Self { names, regions_class_order }
    }
}

fn labels_of_region(labels: &[Label]) -> Value {
    match labels {
        [label] => json!(label),
        labels => json!(labels),
    }
}

/// What else `dataset.json` states.
pub(super) struct Description<'a> {
    pub labels: &'a Labels,
    pub schemes: &'a [Scheme],
    pub fingerprint: Option<&'a Fingerprint>,
    /// The ending of image files, such as `.nii.gz`.
    pub file_ending: &'a str,
    /// nnU-Net's class that reads images, if it is not the one for the ending.
    pub reader: Option<&'a str>,
    /// The number of subjects of the training and validation.
    pub subjects: usize,
}

impl Description<'_> {
    /// Returns `dataset.json`.
    pub fn json(&self) -> Saved {
        let names =
            self.schemes.iter().enumerate().map(|(index, scheme)| (index.to_string(), self.channel(index, scheme)));
        let labels = self.labels.names.iter().map(|(name, label)| (name.clone(), label.clone().into()));
        let mut entries =
            vec![("channel_names", Saved::Map(names.collect())), ("labels", Saved::Map(labels.collect()))];
        if !self.labels.regions_class_order.is_empty() {
            entries.push(("regions_class_order", json!(self.labels.regions_class_order).into()));
        }
        if self.subjects > 0 {
            entries.push(("numTraining", json!(self.subjects).into()));
        }
        entries.push(("file_ending", Saved::Text(self.file_ending.to_owned())));
        if let Some(reader) = self.reader {
            entries.push(("overwrite_image_reader_writer", Saved::Text(reader.to_owned())));
        }
        Saved::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// Returns the name of a channel: that of the dataset, or else one for which nnU-Net plans the same normalization.
    fn channel(&self, index: usize, scheme: &Scheme) -> Saved {
        let of_dataset = self.fingerprint.and_then(|fingerprint| fingerprint.channels.get(index)?.modality.clone());
        Saved::Text(of_dataset.unwrap_or_else(|| scheme.channel_name().to_owned()))
    }
}

/// Returns a note if nnU-Net computes other probabilities than the run.
pub(super) fn note_on_probabilities(experiment: &Experiment, targets: &Targets) -> Option<String> {
    let has_sigmoids = experiment.loss.component().output_activation() == nn::losses::OutputActivation::Sigmoid;
    (has_sigmoids && targets.has_background()).then(|| {
        "the run was trained with a sigmoid for each class; nnU-Net's label maps are the same, but its \
         probabilities are those of a softmax"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the labels of a section `data`, and what is refused.
    fn labels(data: &str) -> (Labels, Vec<String>) {
        let text = format!(
            "{{ name: a, data: {{ source: {{ msd: {{ root: a }} }}, {data} }}, \
             sampler: {{ uniform: {{ patch: [8, 8, 8] }} }}, model: {{ unet: {{ widths: [2, 4] }} }}, \
             loss: {{ cross_entropy: {{}} }}, \
             optimizer: {{ adam: {{ learning_rate: 0.1 }} }}, train: {{ epochs: 1, batch_size: 1 }} }}"
        );
        let data = engine::experiment::load::parse("a.yaml", &text).unwrap().experiment.data;
        let mut refusals = Refusals::default();
        check_keys(&data, &mut refusals);
        let labels = Labels::new(&data, &Targets::of_plan(&data).unwrap(), &mut refusals);
        (labels, refusals.texts())
    }

    fn json(labels: &Labels) -> String {
        let schemes = [Scheme::ZScore(true), Scheme::Bytes];
        let description = Description {
            labels,
            schemes: &schemes,
            fingerprint: None,
            file_ending: ".mha",
            reader: None,
            subjects: 0,
        };
        serde_json::to_string(&description.json()).unwrap()
    }

    #[test]
    fn labels_are_those_of_the_run_and_channels_those_of_the_normalizations() {
        let (labels, refusals) = labels("labels: { 1: Left lung, 2: tumour }, ignore_label: 3");
        assert_eq!(refusals, [""; 0]);
        let expected = concat!(
            r#"{"channel_names":{"0":"zscore","1":"rgb_to_0_1"},"#,
            r#""labels":{"background":0,"Left lung":1,"tumour":2,"ignore":3},"#,
            r#""file_ending":".mha"}"#
        );
        assert_eq!(json(&labels), expected);
    }

    #[test]
    fn regions_are_in_the_order_of_the_classes() {
        let regions = "{ whole: { labels: [1, 2, 3], write: 1 }, inner: [3], all: { labels: [1, 2], write: 2 } }";
        let (labels, refusals) = labels(&format!("labels: {{ 1: a, 2: b, 3: c }}, regions: {regions}"));
        assert_eq!(refusals, [""; 0]);
        let text = json(&labels);
        assert!(text.contains(r#""labels":{"background":0,"whole":[1,2,3],"inner":3,"all":[1,2]}"#), "{text}");
        assert!(text.contains(r#""regions_class_order":[1,3,2]"#), "{text}");
    }

    #[test]
    fn labels_that_nnunets_label_maps_cannot_have_are_refused() {
        for (data, expected) in [
            ("labels: { 2: a, 5: b }", "data.labels: [2, 5]; nnU-Net's labels are 1, 2, 3, ... without gaps"),
            ("labels: { 1: ignore }", "data.labels: the name `ignore` has another meaning in nnU-Net"),
            (
                "labels: { 1: a }, ignore_label: 9",
                "data.ignore_label: 9; nnU-Net's ignored label is the one above all others, 2",
            ),
            (
                "labels: { 1: a, 2: b }, regions: { x: [1], y: [2] }",
                "data.regions: nnU-Net trains regions of a single label with a softmax",
            ),
        ] {
            assert_eq!(labels(data).1, [expected]);
        }
    }
}
