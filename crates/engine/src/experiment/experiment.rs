//! The document: what a person writes in an experiment file.
//!
//! Parsing checks every value by its type and touches nothing else. The doc comments here are the
//! manual: they become the schema that an editor shows.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::inference::postprocess::Postprocess;
use crate::inference::window::Inference;
use dataset::queue::QueueSpec;
use dataset::samplers::Sampler;
use dataset::sources::Source;
use dataset::split::Split;
use metrics::Metric;
use nn::device::DeviceName;
use nn::losses::Loss;
use nn::optimizers::{OptimizerSpec, Schedule};
use nn::{FloatFormat, Model};
use transforms::{ToCanonical, Transform};
use values::Positive;
use volume::Label;

/// An experiment: everything that decides what a run computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Another experiment file, relative to this one, from which this one differs: maps merge, lists replace, `null` removes a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// The folder of its runs below `runs/`; `null` takes the file's name.
    #[serde(default)]
    pub name: Option<String>,
    /// The root of all chance: the same seed gives the same run.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Where the network runs: `auto`, `flex`, `libtorch:cpu`, `libtorch:cuda:0`, `cuda:0`, `rocm:0` or `wgpu:0`.
    #[serde(default)]
    pub device: DeviceName,
    /// Subjects, labels and their split.
    pub data: Data,
    /// Transforms that are computed once per subject and cached; random steps only with ranges of width zero.
    #[serde(default)]
    pub preprocess: Vec<Transform>,
    /// Random transforms of training patches.
    #[serde(default)]
    pub augment: Vec<Transform>,
    /// How training patches are chosen.
    pub sampler: Sampler,
    /// How patches are made ahead of training.
    #[serde(default)]
    pub queue: QueueSpec,
    /// The network.
    pub model: Model,
    /// What training makes small.
    pub loss: Loss,
    /// How weights follow gradients.
    pub optimizer: OptimizerSpec,
    /// How the learning rate changes over the run.
    #[serde(default)]
    pub schedule: Schedule,
    /// The length of training.
    pub train: Train,
    /// When and how the network is validated.
    #[serde(default)]
    pub validate: Validate,
    /// How whole volumes go through the network.
    #[serde(default)]
    pub inference: Inference,
    /// What happens to predicted label maps before they are scored.
    #[serde(default)]
    pub postprocess: Vec<Postprocess>,
    /// What whole volumes are scored with.
    #[serde(default = "default_metrics")]
    pub metrics: Vec<Metric>,
    /// Which weights are kept, and when training ends early.
    #[serde(default)]
    pub checkpoint: Checkpoint,
}

impl Experiment {
    /// The document with every default written; loading it gives the same experiment.
    pub fn to_yaml(&self) -> String {
        let tree = serde_yaml::with::singleton_map_recursive::serialize(self, serde_yaml::value::Serializer)
            .expect("an experiment holds maps, lists, numbers and text only");
        serde_yaml::to_string(&tree).expect("a tree of plain values can be written")
    }
}

/// Subjects, labels and their split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Where subjects come from.
    pub source: Source,
    /// The name of each label; `null` takes those of `dataset.json`, or `label_1`, `label_2`, …
    #[serde(default)]
    pub labels: Option<BTreeMap<Label, String>>,
    /// What is asked of the volumes' orientation.
    #[serde(default)]
    pub orientation: Orientation,
    /// Which subjects train, validate and test.
    #[serde(default = "default_split")]
    pub split: Split,
}

impl Experiment {
    /// The window's shape in voxels at inference.
    pub fn window(&self) -> [usize; 3] {
        self.inference.window.map_or(self.sampler.patch(), |window| window.0)
    }

    /// The transforms that are computed once per subject: the preprocess chain, after turning axes where that is asked.
    pub fn preprocess_chain(&self) -> Vec<Transform> {
        let reorient = self.data.orientation == Orientation::Reorient;
        let turn = reorient.then_some(Transform::ToCanonical(ToCanonical {}));
        turn.into_iter().chain(self.preprocess.iter().cloned()).collect()
    }
}

/// What is asked of the volumes' orientation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Orientation {
    /// Every volume must be in RAS orientation already; another one is a problem.
    #[default]
    #[serde(rename = "require_RAS")]
    RequireRas,
    /// Volumes are turned to RAS when they are read, and predictions are turned back.
    #[serde(rename = "reorient")]
    Reorient,
}

/// The length of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// How often training goes through all training subjects.
    pub epochs: NonZeroUsize,
    /// Patches in a batch.
    #[serde(default = "default_batch_size")]
    pub batch_size: NonZeroUsize,
    /// Batches whose gradients are averaged for one step.
    #[serde(default = "default_accumulate")]
    pub accumulate_batches: NonZeroUsize,
    /// The largest norm of all gradients together; longer ones are shortened to it. `null` sets no limit.
    #[serde(default)]
    pub clip_gradient_norm: Option<Positive>,
    /// Whether only the outputs of the network's blocks are kept for the way back and the rest is computed again: less memory, more time. The bits are the same, but for last digits of residual networks with `strided_conv`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub checkpoint_activations: bool,
    /// What convolutions are computed with in training: `float32`, `bfloat16` (libtorch and cuda), or `tf32` (libtorch on a GPU, which computes so by itself unless NVIDIA_TF32_OVERRIDE=0 is in the environment).
    #[serde(default, skip_serializing_if = "is_default")]
    pub precision: FloatFormat,
    /// A file of weights to start from instead of random ones: `best.safetensors` of another run, or a state dict of the same network that PyTorch saved, as `.safetensors` or `.pt`; relative to the working folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_weights: Option<PathBuf>,
}

/// When and how the network is validated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Validate {
    /// Epochs from one validation to the next.
    #[serde(default = "every_epoch")]
    pub every_epochs: NonZeroUsize,
    /// Whether the loss is computed on sampled validation patches, the same ones each time.
    #[serde(default = "yes")]
    pub patches: bool,
    /// The scores of whole volumes; always computed after the last epoch.
    #[serde(default)]
    pub volumes: Volumes,
}

/// When whole volumes are scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Volumes {
    /// Epochs from one scoring to the next.
    #[serde(default = "default_volume_epochs")]
    pub every_epochs: NonZeroUsize,
}

/// Which weights are kept, and when training ends early.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// How many of the best weights are kept.
    #[serde(default = "one")]
    pub keep_best: usize,
    /// How many of the newest checkpoints are kept, at least 1.
    #[serde(default = "default_keep_last")]
    pub keep_last: NonZeroUsize,
    /// The column of `metrics.csv` that says which epoch is best; of a loss, a distance or an error the smallest, of other scores the largest.
    #[serde(default = "default_monitor")]
    pub monitor: String,
    /// Optimiser steps from one checkpoint to the next within an epoch; `null` counts none. There is one after each epoch in any case.
    #[serde(default)]
    pub every_steps: Option<NonZeroUsize>,
    /// Seconds after which the next step ends with a checkpoint, so that a crash costs little more than these; `null` counts none.
    #[serde(default = "default_every_secs")]
    pub every_secs: Option<Positive>,
    /// Training ends after this many epochs without a better value of `monitor`; `null` never ends early.
    #[serde(default)]
    pub patience_epochs: Option<NonZeroUsize>,
}

impl Default for Validate {
    fn default() -> Self {
        Self { every_epochs: every_epoch(), patches: yes(), volumes: Volumes::default() }
    }
}

impl Default for Volumes {
    fn default() -> Self {
        Self { every_epochs: default_volume_epochs() }
    }
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self {
            keep_best: one(),
            keep_last: default_keep_last(),
            monitor: default_monitor(),
            every_steps: None,
            every_secs: default_every_secs(),
            patience_epochs: None,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn default_seed() -> u64 {
    42
}

fn default_split() -> Split {
    Split::Fold(dataset::split::Fold { index: 0, count: NonZeroUsize::new(5).expect("5 is not 0") })
}

fn default_batch_size() -> NonZeroUsize {
    NonZeroUsize::new(2).expect("2 is not 0")
}

fn default_accumulate() -> NonZeroUsize {
    NonZeroUsize::MIN
}

fn every_epoch() -> NonZeroUsize {
    NonZeroUsize::MIN
}

fn yes() -> bool {
    true
}

fn default_volume_epochs() -> NonZeroUsize {
    NonZeroUsize::new(10).expect("10 is not 0")
}

fn one() -> usize {
    1
}

fn default_keep_last() -> NonZeroUsize {
    NonZeroUsize::MIN
}

fn default_every_secs() -> Option<Positive> {
    Some(Positive::new(600.0).expect("600 is above 0"))
}

fn default_monitor() -> String {
    "val_dice_mean".to_owned()
}

fn default_metrics() -> Vec<Metric> {
    vec![Metric::Dice(metrics::Dice::default())]
}
