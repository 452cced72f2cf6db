//! Everything around an exported network: preprocessing, sliding window, decision and post-processing.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::experiment::targets::Targets;
use crate::fingerprint::Span;
use crate::inference::activation::FinalActivation;
use crate::inference::postprocess::{DecisionRule, Postprocess, Sufficient};
use crate::prediction::{Predictor, Provenance};
use volume::Label;

/// The format of the file that this program writes. It rises when a program that reads the former one would go wrong.
const FORMAT: u32 = 1;

/// `manifest.json` beside an exported network. `docs/export.md` explains every part.
#[derive(Debug, Serialize)]
pub struct Description {
    /// The format of the file.
    pub format: u32,
    /// The name of the experiment.
    pub name: Option<String>,
    /// The file of the network.
    pub model: Model,
    /// The order of the axes of every list of three numbers and of every array.
    pub axes: [&'static str; 3],
    /// The steps from an image file to what the network sees, in order.
    pub preprocessing: Vec<Step>,
    /// Millimetres per voxel along each axis of the training scans after preprocessing.
    pub spacing_mm: Option<Span<[f64; 3]>>,
    /// The sliding window: the section `inference` of the experiment.
    pub inference: Value,
    /// What converts blended logits to probabilities: `softmax` over the classes, or the `sigmoid` of each.
    pub activation: &'static str,
    /// How probabilities are converted to a label.
    pub decision: Decision,
    /// The steps that change a label map, in order.
    pub postprocessing: Vec<Value>,
    /// The name of each label in label maps.
    pub labels: BTreeMap<Label, String>,
    /// The label of voxels that nobody annotated; it is never predicted.
    pub ignore_label: Option<Label>,
    /// What made the weights and this file.
    pub made_by: Provenance,
}

/// The file of a network.
#[derive(Debug)]
pub struct ModelFile {
    /// The name of the file.
    pub file: String,
    /// The SHA-256 of its content.
    pub sha256: String,
    /// The version of ONNX's operators.
    pub opset: i64,
    /// The name of the input.
    pub input: String,
    /// The name of the output.
    pub output: String,
    /// The axes of the input.
    pub axes: [String; 5],
    /// The shape of the input along x, y and z if it is fixed.
    pub shape: Option<[usize; 3]>,
}

/// A network and what enters and leaves it.
#[derive(Debug, Serialize)]
pub struct Model {
    /// The name of the file.
    pub file: String,
    /// The SHA-256 of its content.
    pub sha256: String,
    /// The version of ONNX's operators.
    pub opset: i64,
    /// The image.
    pub input: Array,
    /// The logits.
    pub output: Array,
    /// What each class of the output is, in order.
    pub classes: Vec<Class>,
    /// The numbers that the axes of the input must be multiples of.
    pub multiple_of: [usize; 3],
}

/// An input or output of a network.
#[derive(Debug, Serialize)]
pub struct Array {
    /// Its name.
    pub name: String,
    /// The type of its values.
    #[serde(rename = "type")]
    pub data_type: &'static str,
    /// Its axes, the last one fastest.
    pub axes: Vec<String>,
    /// The size of each axis; `null` where it is free.
    pub shape: Vec<Option<usize>>,
}

/// A class of the network.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Its labels in label maps: one, or those of a region.
    pub labels: Vec<Label>,
}

/// A step of the preprocessing.
#[derive(Debug, Serialize)]
pub struct Step {
    /// Its name, as an experiment writes it.
    pub step: String,
    /// Its settings, as an experiment writes them.
    pub settings: Value,
    /// The numbers that it was fitted to on the training scans.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fitted: Option<Value>,
}

/// How probabilities are converted to a label.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Decision {
    /// The label of the most probable class, the first of equal ones.
    Argmax {
        /// The label of each class of the network.
        labels: Vec<Label>,
    },
    /// The label above background whose probability exceeds its threshold by the largest factor, the first of equal ones;
    /// background where none reaches its threshold.
    Thresholds {
        /// The label of each class above background.
        labels: Vec<Label>,
        /// The lowest probability of each of them.
        at_least: Vec<f32>,
    },
    /// The label of the last region whose probability suffices; background where none does.
    Regions {
        /// The label as which each region is written.
        labels: Vec<Label>,
        /// Probabilities above this number suffice.
        #[serde(skip_serializing_if = "Option::is_none")]
        above: Option<f32>,
        /// Probabilities of at least this number suffice.
        #[serde(skip_serializing_if = "Option::is_none")]
        at_least: Option<f32>,
    },
}

impl Description {
    /// Describes the network of a run in a file.
    pub fn new(predictor: &Predictor, file: ModelFile, made_by: Provenance) -> Self {
        let (experiment, targets) = (&predictor.experiment, &predictor.targets);
        let changes_map = |step: &&Postprocess| step.component().decision_rule(targets).is_none();
        Self {
            format: FORMAT,
            name: experiment.name.clone(),
            model: Model::new(predictor, file),
            axes: ["x", "y", "z"],
            preprocessing: preprocessing(predictor),
            spacing_mm: predictor.fingerprint.as_ref().map(|fingerprint| fingerprint.preprocessed_spacing_mm),
            inference: inference(predictor),
            activation: match predictor.activation() {
                FinalActivation::Softmax => "softmax",
                FinalActivation::Sigmoid => "sigmoid",
                FinalActivation::None => "none",
            },
            decision: DecisionRule::new(&experiment.postprocess, targets).into(),
            postprocessing: experiment.postprocess.iter().filter(changes_map).map(json).collect(),
            labels: targets.labels.iter().map(|label| (label.value, label.name.clone())).collect(),
            ignore_label: targets.ignore,
            made_by,
        }
    }
}

impl Model {
    fn new(predictor: &Predictor, file: ModelFile) -> Self {
        let classes = classes(&predictor.targets);
        let array = |name: String, second: &str, channels: usize| {
            let mut axes = file.axes.to_vec();
            second.clone_into(&mut axes[1]);
            let spatial = (0..3).map(|axis| file.shape.map(|shape| shape[axis]));
            let shape = [None, Some(channels)].into_iter().chain(spatial).collect();
            Array { name, data_type: "float32", axes, shape }
        };
        Self {
            input: array(file.input.clone(), "channel", predictor.channels()),
            output: array(file.output.clone(), "class", classes.len()),
            classes,
            multiple_of: predictor.experiment.model.stride(),
            file: file.file,
            sha256: file.sha256,
            opset: file.opset,
        }
    }
}

impl From<DecisionRule> for Decision {
    fn from(rule: DecisionRule) -> Self {
        match rule {
            DecisionRule::Argmax(labels) => Self::Argmax { labels: [0].into_iter().chain(labels).collect() },
            DecisionRule::Thresholds { labels, thresholds } => Self::Thresholds { labels, at_least: thresholds },
            DecisionRule::Regions { labels, sufficient } => {
                let (above, at_least) = match sufficient {
                    Sufficient::AboveHalf => (Some(0.5), None),
                    Sufficient::AtLeast(threshold) => (None, Some(threshold)),
                };
                Self::Regions { labels, above, at_least }
            }
        }
    }
}

/// Returns what each class of the network is.
fn classes(targets: &Targets) -> Vec<Class> {
    let background = targets.has_background().then(|| Class { name: "background".to_owned(), labels: vec![0] });
    let scored = targets.classes().into_iter().map(|class| Class { name: class.name, labels: class.labels });
    background.into_iter().chain(scored).collect()
}

/// Returns the steps of the preprocessing with the numbers that they were fitted to.
fn preprocessing(predictor: &Predictor) -> Vec<Step> {
    let preprocessing = predictor.preprocessing();
    let steps = preprocessing.chain.iter().enumerate().map(|(index, step)| {
        let fitted = preprocessing.fitted.get(&index).map(|params| only_value(json(params)));
        Step { step: step.name().to_owned(), settings: only_value(json(step)), fitted }
    });
    steps.collect()
}

/// Returns the settings of the sliding window, with every default and the shape of the window.
fn inference(predictor: &Predictor) -> Value {
    let options = &predictor.experiment.inference;
    let mut inference = json(options);
    inference["window"] = json(&predictor.experiment.window());
    inference["convention"] = json(&options.convention);
    inference["average"] = json(&options.average);
    inference
}

/// Returns the value of a map with one key, such as the settings of a step without its name.
fn only_value(value: Value) -> Value {
    match value {
        Value::Object(map) if map.len() == 1 => map.into_iter().map(|(_, value)| value).next().unwrap_or_default(),
        _ => Value::Object(Map::new()),
    }
}

fn json(value: &(impl Serialize + ?Sized)) -> Value {
    serde_json::to_value(value).expect("settings are plain data")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::targets::RegionSpec;

    fn decision(steps: &str, targets: &Targets) -> Value {
        let steps: Vec<Postprocess> = serde_json::from_str(steps).unwrap();
        json(&Decision::from(DecisionRule::new(&steps, targets)))
    }

    #[test]
    fn the_decision_names_a_label_for_every_class() {
        let labels = BTreeMap::from([(2, "liver".to_owned()), (5, "tumour".to_owned())]);
        let targets = Targets::new(&labels, &[], None).unwrap();
        assert_eq!(decision("[]", &targets), serde_json::json!({ "rule": "argmax", "labels": [0, 2, 5] }));
        assert_eq!(
            decision(r#"[{"threshold": {"labels": {"5": 0.25}, "at_least": 0.5}}]"#, &targets),
            serde_json::json!({ "rule": "thresholds", "labels": [2, 5], "at_least": [0.5, 0.25] })
        );
        let names: Vec<Class> = classes(&targets);
        assert_eq!(names[0], Class { name: "background".to_owned(), labels: vec![0] });
        assert_eq!(names[2], Class { name: "tumour".to_owned(), labels: vec![5] });
        let spec = |labels: &[Label]| RegionSpec { labels: labels.to_vec(), write: None };
        let regions = [("whole".to_owned(), spec(&[2, 5])), ("tumour".to_owned(), spec(&[5]))];
        let targets = Targets::new(&labels, &regions, None).unwrap();
        assert_eq!(decision("[]", &targets), serde_json::json!({ "rule": "regions", "labels": [2, 5], "above": 0.5 }));
        assert_eq!(classes(&targets)[0], Class { name: "whole".to_owned(), labels: vec![2, 5] });
    }

    #[test]
    fn a_step_without_settings_has_an_empty_map() {
        let step: transforms::Transform = serde_json::from_str(r#"{"to_canonical": {}}"#).unwrap();
        assert_eq!(only_value(json(&step)), serde_json::json!({}));
        assert_eq!(only_value(json(&transforms::TransformParams::Nothing)), serde_json::json!({}));
    }
}
