//! The experiment of an imported model: what predicts as nnU-Net does, and how its default trainer trains.

use serde_json::{Value, json};

use crate::ImportError;
use crate::architecture::Network;
use crate::axes::Axes;
use crate::flow::flow;
use crate::plans::{Configuration, Plans};
use crate::targets::Targets;
use engine::experiment::check::check_document;
use engine::experiment::load::{Document, parse};
use engine::previous::runs::FOLDER;

/// What an experiment is made from.
pub(crate) struct Source<'a> {
    pub name: &'a str,
    pub plans: &'a Plans,
    pub configuration: &'a Configuration,
    pub targets: &'a Targets,
    pub network: &'a Network,
    pub axes: &'a Axes,
    pub preprocess: &'a [Value],
    /// nnU-Net's axes along which images are mirrored for prediction.
    pub mirror_axes: &'a [usize],
    /// The fold, or `all`.
    pub fold: &'a str,
    /// The number of epochs that are done.
    pub epochs: Option<usize>,
    /// The comment at the top, without `#`.
    pub comment: &'a str,
    /// The name of the configuration of the first stage, if the model is the second stage of a cascade.
    pub previous: Option<&'a str>,
}

/// nnU-Net's classes that read images as they are stored.
pub(crate) const READERS: [&str; 2] = ["SimpleITKIO", "NibabelIO"];
/// nnU-Net's classes that reorient images to RAS: of NIfTI files, and of all files that ITK reads.
pub(crate) const REORIENTING_READERS: [&str; 2] = ["NibabelIOWithReorient", "SimpleITKIOWithReorient"];

/// Returns the keys of `inference` that nnU-Net always has.
pub(crate) fn inference_rules() -> Value {
    json!({ "convention": "nnunet", "overlap": 0.5, "blend": "gaussian", "average": "logits" })
}

/// The number of epochs of nnU-Net's default trainer.
const DEFAULT_EPOCHS: usize = 1000;

impl Source<'_> {
    /// Returns the experiment and its document, which has been checked apart from the data.
    ///
    /// # Errors
    /// When a value of the model is none that an experiment may have.
    pub fn document(&self) -> Result<(String, Document), ImportError> {
        let text = self.text()?;
        let rejected = |problems: engine::experiment::problem::Problems| {
            let reasons: Vec<&str> = problems.0.iter().map(|problem| problem.message.as_str()).collect();
            ImportError::problem(
                format!("the model has a setting that no experiment can have: {}", reasons.join("; ")),
                "only models as nnU-Net plans them can be imported",
            )
        };
        let mut document = parse("experiment.yaml", &text).map_err(rejected)?;
        check_document(&document).map_err(rejected)?;
        document.experiment.name = Some(self.name.to_owned());
        Ok((text, document))
    }

    fn text(&self) -> Result<String, ImportError> {
        let patch = self.in_file_order(&self.configuration.patch_size)?;
        let mut lines: Vec<String> =
            self.comment.lines().map(|line| format!("# {line}").trim_end().to_owned()).collect();
        let mut add = |indent: usize, key: &str, value: &str| lines.push(format!("{:indent$}{key}: {value}", ""));
        add(0, "name", &flow(&self.name.into()));
        lines.push("\ndata:".to_owned());
        lines.push("  # Not part of the model. To score it: --set data.source.nnunet.root=FOLDER".to_owned());
        let mut add = |indent: usize, key: &str, value: &str| lines.push(format!("{:indent$}{key}: {value}", ""));
        let root = format!("data/{}", self.plans.dataset_name);
        add(2, "source", &flow(&json!({ "nnunet": { "root": root } })));
        for (key, value) in self.targets.keys() {
            add(2, key, &value);
        }
        add(2, "orientation", if self.reorients()? { "reorient" } else { "stored" });
        add(2, "split", &flow(&self.split()));
        if let Some(stage) = self.previous {
            lines.push(format!("  # The first stage, {stage}; the run folder has it in `{FOLDER}`."));
            lines.push(format!("  previous: {}", flow(&json!({ "runs": FOLDER }))));
        }
        lines.push("\npreprocess:".to_owned());
        lines.extend(self.preprocess.iter().map(|step| format!("  - {}", flow(step))));
        let sections = [
            ("sampler", json!({ "foreground_oversample": { "patch": patch, "share": 0.33, "border": "pad" } })),
            ("model", Value::Null),
            ("loss", self.loss()),
            (
                "optimizer",
                json!({ "sgd": { "learning_rate": 0.01, "momentum": 0.99, "nesterov": true, "weight_decay": 3e-5 } }),
            ),
            ("schedule", json!({ "polynomial": { "power": 0.9, "update": "epoch" } })),
            (
                "train",
                json!({
                    "epochs": self.epochs.unwrap_or(DEFAULT_EPOCHS).max(1),
                    "iterations_per_epoch": 250,
                    "batch_size": self.configuration.batch_size,
                    "clip_gradient_norm": 12,
                }),
            ),
            ("validate", json!({ "patches": false, "pseudo_dice": {} })),
            ("inference", self.inference()?),
            ("checkpoint", json!({ "monitor": "pseudo_dice_ema" })),
        ];
        lines.push(String::new());
        for (key, value) in sections {
            match key {
                "model" => {
                    lines.push("model:\n  unet:".to_owned());
                    let keys = self.network.unet.as_object().into_iter().flatten();
                    lines.extend(keys.map(|(key, value)| format!("    {key}: {}", flow(value))));
                }
                _ => lines.push(format!("{key}: {}", flow(&value))),
            }
        }
        Ok(lines.join("\n") + "\n")
    }

    /// Returns whether the reader of images reorients them to RAS.
    fn reorients(&self) -> Result<bool, ImportError> {
        match self.plans.image_reader_writer.as_str() {
            reader if READERS.contains(&reader) => Ok(false),
            reader if REORIENTING_READERS.contains(&reader) => Ok(true),
            other => Err(ImportError::problem(
                format!("images are read by {other}"),
                "only models of images that SimpleITKIO, NibabelIO or NibabelIOWithReorient reads can be imported",
            )),
        }
    }

    fn split(&self) -> Value {
        match (self.fold.parse::<usize>(), self.targets.num_training) {
            (Ok(index), _) if index < 5 => json!({ "nnunet": { "index": index } }),
            // Of a model that was trained on all subjects, and of splits that only nnU-Net's own file has.
            (_, Some(subjects)) if subjects > 0 => json!({ "first": subjects }),
            _ => json!({ "first": 1 }),
        }
    }

    fn loss(&self) -> Value {
        let batch = self.configuration.batch_dice;
        if self.targets.has_regions() {
            json!({ "dice_binary_cross_entropy": { "batch": batch } })
        } else {
            json!({ "dice_cross_entropy": { "batch": batch, "background": false } })
        }
    }

    fn inference(&self) -> Result<Value, ImportError> {
        let axis = |axis: &usize| self.axes.of_network(*axis).map(|axis| ["x", "y", "z"][axis]);
        let mut mirror: Vec<&str> = self.mirror_axes.iter().map(axis).collect::<Option<_>>().ok_or_else(|| {
            ImportError::problem(
                format!(
                    "the checkpoint mirrors axes {:?}, which a network of this configuration lacks",
                    self.mirror_axes
                ),
                "use the checkpoint that nnU-Net wrote",
            )
        })?;
        mirror.sort_unstable();
        mirror.dedup();
        let mut inference = inference_rules();
        inference["mirror"] = json!(mirror);
        Ok(inference)
    }

    fn in_file_order(&self, patch: &[usize]) -> Result<[usize; 3], ImportError> {
        self.axes.in_file_order(patch, 1).ok_or_else(|| {
            ImportError::problem(
                format!("plans.json has the patch {patch:?}"),
                "use the plans.json that nnU-Net wrote beside the folds",
            )
        })
    }
}
