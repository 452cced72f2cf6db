//! The experiment file.
//!
//! Parsing checks every value by its type and reads no other file. The doc comments of keys are the user's manual: they
//! are the descriptions of the JSON Schema, which editors show.

mod previous;
mod training;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::targets::RegionSpec;

use crate::inference::options::Inference;
use crate::inference::postprocess::Postprocess;
use dataset::queue::QueueSpec;
use dataset::samplers::Sampler;
use dataset::sources::Source;
use dataset::split::Split;
use dataset::weight_maps::WeightUse;
use metrics::Metric;
use nn::Model;
use nn::devices::DeviceName;
use nn::losses::Loss;
use nn::optimizers::{OptimizerSpec, Schedule};
use transforms::{ToCanonical, Transform, lazy};
use values::OrderedMap;
use volume::Label;

pub use previous::{Previous, RunFolders};
pub use training::{Checkpoint, Freeze, LossWeights, PseudoDice, Train, Validate, Volumes, WeightAverage};

/// Experiment: everything that determines the results of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Base experiment, a path relative to this file, for example `liver_baseline.yaml`. This file then only states differences: maps are merged, lists are replaced and `null` removes a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// Name of the experiment; its runs are written to `runs/NAME/`. Letters, digits, `_` and `-`. `null` (default) uses the file's name.
    #[serde(default)]
    pub name: Option<String>,
    /// Random seed (default 42). The same seed, machine and device give the same run.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Device that the network runs on: `auto` (default: the best one available), `flex` (CPU, pure Rust), `libtorch:cpu`, `libtorch:cuda:0`, `cuda:0`, `rocm:0` or `wgpu:0`.
    #[serde(default)]
    pub device: DeviceName,
    /// Dataset: subjects, labels and the split into training, validation and test set.
    pub data: Data,
    /// Preprocessing: transforms that are applied once per subject, to whole volumes, and cached (default none). They must not be random.
    #[serde(default)]
    pub preprocess: Vec<Transform>,
    /// Data augmentation: random transforms of training volumes, of which only the patches are computed (default none).
    #[serde(default)]
    pub augment: Vec<Transform>,
    /// Patch sampler: where training patches are cut from a volume.
    pub sampler: Sampler,
    /// Data augmentation of patches: random transforms of each training patch after the sampler has cut it, for example `[{ flip: { probabilities: 0.5 } }]`; `[]` (default) applies none. Coordinates and statistics are those of the patch. If a step needs voxels around the patch, a larger block is cut, with zeros outside the volume; the last step must return a patch of the sampler's shape.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patch_augment: Vec<Transform>,
    /// Patch queue: loads volumes and prepares patches in the background.
    #[serde(default)]
    pub queue: QueueSpec,
    /// Network architecture.
    pub model: Model,
    /// Loss function.
    pub loss: Loss,
    /// Optimizer.
    pub optimizer: OptimizerSpec,
    /// Learning rate schedule (default `constant`).
    #[serde(default)]
    pub schedule: Schedule,
    /// Training loop: epochs, batch size, gradient options.
    pub train: Train,
    /// Validation during training: how often, on patches and on whole volumes.
    #[serde(default)]
    pub validate: Validate,
    /// Sliding-window inference on whole volumes.
    #[serde(default)]
    pub inference: Inference,
    /// Post-processing of predicted label maps, applied in order before evaluation (default none).
    #[serde(default)]
    pub postprocess: Vec<Postprocess>,
    /// Metrics of whole volumes (default `[{ dice: {} }]`).
    #[serde(default = "default_metrics")]
    pub metrics: Vec<Metric>,
    /// Checkpoints and early stopping.
    #[serde(default)]
    pub checkpoint: Checkpoint,
}

impl Experiment {
    /// Returns the experiment as YAML with every default written; parsing it returns the same experiment.
    pub fn to_yaml(&self) -> String {
        let tree = serde_yaml::with::singleton_map_recursive::serialize(self, serde_yaml::value::Serializer)
            .expect("an experiment has maps, lists, numbers and text only");
        serde_yaml::to_string(&tree).expect("a tree of plain values can be written")
    }
}

/// Dataset: subjects, labels and the split into training, validation and test set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Source of the subjects, such as a Medical Segmentation Decathlon folder.
    pub source: Source,
    /// Label names by label value, for example `{ 1: liver, 2: tumour }`; 0 is the background and is not listed. `null` (default) uses the names of `dataset.json`, or else `label_1`, `label_2`, …
    #[serde(default)]
    pub labels: Option<BTreeMap<Label, String>>,
    /// Regions to train instead of labels: unions of labels, which may overlap, each with a sigmoid of its own, such as `{ whole_tumour: [1, 2, 3], tumour_core: [2, 3] }`. They are written into predicted label maps in this order, each as the one of its labels that no later region contains, or as the label `write`: `whole_tumour: { labels: [1, 2, 3], write: 2 }`. Scores are those of the regions. `null` (default) trains the regions that nnU-Net's `dataset.json` declares, unless `labels` is given; else the labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions: Option<OrderedMap<RegionSpec>>,
    /// Label of voxels that nobody annotated, for example 4; a number, since `labels` names only what is trained, or the name `ignore` if nnU-Net's `dataset.json` declares it and `labels` is not given. Losses, statistics of the foreground and scores leave them out, the label is never predicted, and samplers do not centre patches on it. `null` (default) is the label `ignore` of nnU-Net's `dataset.json`, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_label: Option<Label>,
    /// Orientation of the volumes (default `reorient`).
    #[serde(default)]
    pub orientation: Orientation,
    /// Split into training, validation and test subjects (default `{ fold: { index: 0, count: 5 } }`).
    #[serde(default = "default_split")]
    pub split: Split,
    /// Cascade: runs whose predictions are further input channels. `null` (default) is a network without a previous stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
}

impl Experiment {
    /// Returns the shape of the sliding window `[x, y, z]` in voxels.
    pub fn window(&self) -> [usize; 3] {
        self.inference.window.map_or(self.sampler.patch(), |window| window.0)
    }

    /// Returns the number of patches of a full optimizer step.
    pub fn patches_per_step(&self) -> usize {
        self.train.batch_size.get() * self.train.accumulate_batches.get()
    }

    /// Returns the numbers of patches and of optimizer steps of an epoch with this many training subjects.
    pub fn epoch_size(&self, num_subjects: usize) -> (usize, usize) {
        let per_step = self.patches_per_step();
        match self.train.iterations_per_epoch {
            Some(iterations) => (iterations.get().saturating_mul(per_step), iterations.get()),
            None => {
                let patches = num_subjects * self.queue.samples_per_volume.get();
                (patches, patches.div_ceil(per_step))
            }
        }
    }

    /// Returns the shape `[x, y, z]` of the block that is cut for a training patch, in voxels: that from which the steps of
    /// `patch_augment` compute the patch.
    pub fn cut(&self) -> [usize; 3] {
        lazy::input_shape(&self.patch_augment, self.sampler.patch())
    }

    /// Returns the keys and values of the chains of transforms.
    pub(super) fn chains(&self) -> [(&'static str, &[Transform]); 3] {
        let Self { preprocess, augment, patch_augment, .. } = self;
        [("preprocess", preprocess), ("augment", augment), ("patch_augment", patch_augment)]
    }

    /// Returns the keys and values of the chains of transforms, to be changed.
    pub(super) fn chains_mut(&mut self) -> [(&'static str, &mut Vec<Transform>); 3] {
        let Self { preprocess, augment, patch_augment, .. } = self;
        [("preprocess", preprocess), ("augment", augment), ("patch_augment", patch_augment)]
    }

    /// Returns the pattern of the files of each use of weight maps.
    pub fn weight_maps(&self) -> impl Iterator<Item = (WeightUse, &str)> {
        let sampling = self.sampler.component().weight_maps().map(|pattern| (WeightUse::Sampling, pattern));
        sampling.into_iter().chain(self.loss_weight_maps().map(|pattern| (WeightUse::Loss, pattern)))
    }

    /// Returns whether a step of `patch_augment` masks the background of patches.
    pub fn masks_background(&self) -> bool {
        self.patch_augment.iter().any(|step| step.any(&|step| step.needs_background()))
    }

    /// Returns the pattern of the files of voxels' weights in the loss.
    pub fn loss_weight_maps(&self) -> Option<&str> {
        self.train.loss_weights.as_ref()?.map.as_deref()
    }

    /// Returns the interval in epochs between evaluations of whole volumes.
    pub fn volume_interval(&self) -> usize {
        let default = || (self.train.epochs.get() / 5).clamp(1, MAX_DEFAULT_VOLUME_INTERVAL);
        self.validate.volumes.every_epochs.map_or_else(default, NonZeroUsize::get)
    }

    /// Writes out the default interval between evaluations of whole volumes, which depends on the number of epochs.
    #[must_use]
    pub fn with_volume_interval(mut self) -> Self {
        self.validate.volumes.every_epochs = NonZeroUsize::new(self.volume_interval());
        self
    }

    /// Returns whether the files of a subject may have different axis orders, since they are read into one orientation.
    pub fn reorients(&self) -> bool {
        let is_reorienting = |step: &Transform| ["to_canonical", "to_orientation"].contains(&step.name());
        self.data.orientation == Orientation::Reorient || self.preprocess.iter().any(is_reorienting)
    }

    /// Returns the transforms that are applied once per subject: `preprocess`, after reorienting to RAS if requested.
    pub fn preprocess_chain(&self) -> Vec<Transform> {
        let reorient = self.data.orientation == Orientation::Reorient;
        let to_canonical = reorient.then(|| ToCanonical {}.into());
        to_canonical.into_iter().chain(self.preprocess.iter().cloned()).collect()
    }
}

/// Orientation of the volumes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Orientation {
    /// Every volume must have RAS orientation; any other is an error.
    #[serde(rename = "require_RAS")]
    RequireRas,
    /// Volumes are reoriented to RAS when they are read, by permuting and flipping axes without interpolation; predictions are written in the orientation of the file.
    #[default]
    #[serde(rename = "reorient")]
    Reorient,
    /// Volumes are used in the axis order of their files, as nnU-Net does; axes are those of the arrays, whatever their anatomical directions.
    #[serde(rename = "stored")]
    Stored,
}

/// The maximum default interval in epochs between evaluations of whole volumes.
const MAX_DEFAULT_VOLUME_INTERVAL: usize = 10;

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn default_seed() -> u64 {
    42
}

fn default_split() -> Split {
    Split::Fold(dataset::split::Fold::new(0, NonZeroUsize::new(5).expect("5 is not 0")))
}

fn default_metrics() -> Vec<Metric> {
    vec![Metric::Dice(metrics::Dice::default())]
}
