//! What a model predicts, from `dataset.json`.

use std::path::Path;

use serde_json::json;

use crate::ImportError;
use crate::flow::flow;
use dataset::sources::{DeclaredLabels, describe_dataset_json};

/// The labels and channels of `dataset.json`.
#[derive(Debug)]
pub(crate) struct Targets {
    labels: DeclaredLabels,
    /// The number of image channels.
    pub channels: usize,
    /// The number of training subjects.
    pub num_training: Option<u64>,
}

impl Targets {
    /// Parses the text of `dataset.json`; `path` is for messages.
    ///
    /// # Errors
    /// When its labels are none that nnU-Net trains.
    pub fn parse(text: &str, path: &str) -> Result<Self, ImportError> {
        let help = "use the dataset.json that nnU-Net wrote beside the folds";
        let dataset = describe_dataset_json(Path::new(path), text)
            .map_err(|error| ImportError::problem(error.to_string(), help))?;
        let wrong = |reason: &str| ImportError::problem(format!("{path}: {reason}"), help);
        if let Some(unusable) = dataset.labels.unusable {
            return Err(ImportError::problem(unusable.reason, help));
        }
        let Some(names) = &dataset.labels.names else { return Err(wrong("it declares no labels")) };
        let mut labels: Vec<_> = names.keys().copied().collect();
        labels.extend(dataset.labels.ignore);
        // Without regions, nnU-Net's class is the label itself, and the ignored label the last one.
        let has_gaps = labels.iter().enumerate().any(|(index, label)| usize::from(*label) != index);
        if has_gaps && dataset.labels.regions.is_empty() || labels.len() < 2 {
            return Err(wrong(&format!(
                "nnU-Net requires the labels 0, 1, 2, ... without gaps, `ignore` last; it declares {labels:?}"
            )));
        }
        if dataset.labels.regions.iter().any(|region| region.write.is_none()) {
            return Err(wrong("it declares regions, but no regions_class_order"));
        }
        let channels = dataset.num_channels.ok_or_else(|| wrong("it declares no channel_names"))?;
        Ok(Self { labels: dataset.labels, channels, num_training: dataset.num_training })
    }

    /// Returns whether the network predicts regions, each with a sigmoid.
    pub fn has_regions(&self) -> bool {
        !self.labels.regions.is_empty()
    }

    /// Returns the number of classes of the network: the background and the labels, or the regions.
    pub fn num_classes(&self) -> usize {
        if self.has_regions() {
            self.labels.regions.len()
        } else {
            self.labels.names.as_ref().map_or(0, |names| names.len())
        }
    }

    /// Returns the keys below `data` that state the targets, with their values in YAML.
    pub fn keys(&self) -> Vec<(&'static str, String)> {
        let names = self.labels.names.iter().flatten().filter(|(label, _)| **label != 0);
        let labels: Vec<String> =
            names.map(|(label, name)| format!("{label}: {}", flow(&name.as_str().into()))).collect();
        let mut keys = vec![("labels", format!("{{ {} }}", labels.join(", ")))];
        if self.has_regions() {
            // In their order, since later regions are written over earlier ones.
            let region = |region: &dataset::sources::DeclaredRegion| {
                let value = flow(&json!({ "labels": region.labels, "write": region.write }));
                format!("{}: {value}", flow(&region.name.as_str().into()))
            };
            let regions: Vec<String> = self.labels.regions.iter().map(region).collect();
            keys.push(("regions", format!("{{ {} }}", regions.join(", "))));
        }
        if let Some(ignore) = self.labels.ignore {
            keys.push(("ignore_label", ignore.to_string()));
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(labels: &str) -> Result<Targets, ImportError> {
        let text =
            format!(r#"{{ "channel_names": {{ "0": "CT", "1": "PET" }}, "numTraining": 7, "labels": {labels} }}"#);
        Targets::parse(&text, "model/dataset.json")
    }

    #[test]
    fn labels_are_the_classes() {
        let targets = targets(r#"{ "background": 0, "Left lung": 1, "no": 2, "ignore": 3 }"#).unwrap();
        assert_eq!((targets.channels, targets.num_training, targets.num_classes()), (2, Some(7), 3));
        assert_eq!(
            targets.keys(),
            [("labels", r#"{ 1: "Left lung", 2: "no" }"#.to_owned()), ("ignore_label", "3".to_owned())]
        );
    }

    #[test]
    fn regions_are_written_in_their_order() {
        let text = r#"{ "labels": { "background": 0, "whole": [1, 2], "core": [2] }, "regions_class_order": [1, 2],
            "channel_names": { "0": "MRI" } }"#;
        let targets = Targets::parse(text, "dataset.json").unwrap();
        assert_eq!((targets.num_classes(), targets.has_regions()), (2, true));
        assert_eq!(targets.keys()[1].1, "{ whole: { labels: [1, 2], write: 1 }, core: { labels: [2], write: 2 } }");
    }

    #[test]
    fn labels_that_nnunet_does_not_train_are_refused() {
        for (labels, expected) in [
            (r#"{ "background": 0, "a": 2 }"#, "without gaps"),
            (r#"{ "background": 0, "a": 1, "b": 3, "ignore": 2 }"#, "without gaps"),
            (r#"{ "background": 0 }"#, "without gaps"),
            (r#"{ "background": 0, "a": [1, 2], "b": 2 }"#, "no regions_class_order"),
            (r#"{ "background": 0, "a": {} }"#, "expected a number"),
        ] {
            let error = targets(labels).unwrap_err().to_string();
            assert!(error.starts_with("model/dataset.json: ") && error.contains(expected), "{error}");
        }
        let error = Targets::parse(r#"{ "labels": { "background": 0, "a": 1 } }"#, "d").unwrap_err().to_string();
        assert!(error.contains("no channel_names"), "{error}");
        assert!(Targets::parse("{", "d").is_err());
    }
}
