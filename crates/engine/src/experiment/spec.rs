//! The experiment file.
//!
//! Parsing checks every value by its type and reads no other file. The doc comments of keys are the user's manual: they
//! are the descriptions of the JSON Schema, which editors show.

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
use metrics::Metric;
use nn::devices::DeviceName;
use nn::losses::Loss;
use nn::optimizers::{OptimizerSpec, Schedule};
use nn::weights::InitialWeights;
use nn::{FloatFormat, Model};
use transforms::{ToCanonical, Transform, lazy};
use values::{OrderedMap, Positive, UnitFraction};
use volume::Label;

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
    /// Label of voxels that nobody annotated, for example 4. Losses, statistics of the foreground and scores leave them out, the label is never predicted, and samplers do not centre patches on it. `null` (default) is the label `ignore` of nnU-Net's `dataset.json`, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_label: Option<Label>,
    /// Orientation of the volumes (default `reorient`).
    #[serde(default)]
    pub orientation: Orientation,
    /// Split into training, validation and test subjects (default `{ fold: { index: 0, count: 5 } }`).
    #[serde(default = "default_split")]
    pub split: Split,
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
    pub(super) fn chains_mut(&mut self) -> [(&'static str, &mut Vec<Transform>); 3] {
        let Self { preprocess, augment, patch_augment, .. } = self;
        [("preprocess", preprocess), ("augment", augment), ("patch_augment", patch_augment)]
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
}

/// The maximum default interval in epochs between evaluations of whole volumes.
const MAX_DEFAULT_VOLUME_INTERVAL: usize = 10;

/// Training loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Number of epochs, for example 100: passes over all training subjects, unless `iterations_per_epoch` is set.
    pub epochs: NonZeroUsize,
    /// Length of an epoch in optimizer steps, for example 250, as in nnU-Net: the subject of every patch is sampled with replacement. `null` (default) makes an epoch a pass over all training subjects, with `queue.samples_per_volume` patches of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iterations_per_epoch: Option<NonZeroUsize>,
    /// Batch size in patches (default 2).
    #[serde(default = "default_batch_size")]
    pub batch_size: NonZeroUsize,
    /// Gradient accumulation: number of batches whose gradients are averaged before each optimizer step (default 1).
    #[serde(default = "default_accumulate")]
    pub accumulate_batches: NonZeroUsize,
    /// Gradient clipping: maximum L2 norm of the gradients of all parameters together, for example 12; larger gradients are scaled down to it. `null` (default) disables it.
    #[serde(default)]
    pub clip_gradient_norm: Option<Positive>,
    /// Gradient checkpointing: recompute activations in the backward pass to save memory, at the cost of time (default false). Results are bit-identical, except for rounding in residual networks with `strided_conv`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub checkpoint_activations: bool,
    /// Exponential moving average of the weights, which validation and prediction use. `null` (default) disables it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_average: Option<WeightAverage>,
    /// Precision of convolutions in training: `float32` (default), `bfloat16` (libtorch and cuda), or `tf32` (libtorch on a GPU, which uses tf32 for `float32` too unless the environment variable `NVIDIA_TF32_OVERRIDE` is 0).
    #[serde(default, skip_serializing_if = "is_default")]
    pub precision: FloatFormat,
    /// Initial weights instead of random ones: a file, such as `best.safetensors` of another run or a PyTorch state dict of the same network; the folder of a run; or a map with the key `file` and options. `null` (default) initializes at random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_weights: Option<InitialWeights>,
    /// Layers that are frozen for the first epochs or the whole run. `null` (default) trains all layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<Freeze>,
    /// Factors of the learning rate by layer, such as `{ encoder: 0.1, decoder.0: 0.5 }`. The most specific name applies; `head` stands for all output convolutions. `{}` (default) has no factors. `learning_rate` in `metrics.csv` is that of layers without a factor.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub learning_rate_factors: BTreeMap<String, Positive>,
}

/// Layers that are frozen for the first epochs or the whole run: their parameters, their optimizer state and the running statistics of batch normalization do not change. In training, frozen batch normalization still uses the statistics of the batch.
///
/// ```yaml
/// freeze: { layers: [encoder], epochs: 10 }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// Layers, named by the leading parts of their parameters' names, for example `[encoder]` or `[encoder.0, encoder.1]`; `head` stands for all output convolutions.
    pub layers: Vec<String>,
    /// Number of epochs, for example 10. `null` (default) freezes the layers for the whole run.
    #[serde(default)]
    pub epochs: Option<NonZeroUsize>,
}

/// Validation during training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Validate {
    /// Interval in epochs between validations on patches (default 1).
    #[serde(default = "every_epoch")]
    pub every_epochs: NonZeroUsize,
    /// Whether to compute the loss on sampled validation patches, the same ones each time (default true).
    #[serde(default = "yes")]
    pub patches: bool,
    /// Pseudo-Dice: Dice of random validation patches, as nnU-Net computes it after every epoch. `null` (default) disables it; `{}` uses 50 batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pseudo_dice: Option<PseudoDice>,
    /// Metrics on whole validation volumes; always computed after the last epoch.
    #[serde(default)]
    pub volumes: Volumes,
}

/// Pseudo-Dice: Dice of random validation patches, as nnU-Net computes it to choose its best checkpoint. In each epoch, the
/// subjects are sampled anew, with replacement, and the patches by the sampler; voxels are counted over all patches.
///
/// `metrics.csv` has `pseudo_dice_<label>`, their mean `pseudo_dice_mean`, and `pseudo_dice_ema`, an exponential moving
/// average of the means: 0.9 times the previous average plus 0.1 times the new mean. It is computed every `every_epochs` epochs.
///
/// ```yaml
/// pseudo_dice: { batches: 50 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PseudoDice {
    /// Number of batches of `train.batch_size` patches; default 50.
    #[serde(default = "default_batches")]
    pub batches: NonZeroUsize,
}

/// Exponential moving average of the weights: after each step, the average becomes `decay` times itself plus `1 - decay` times
/// the new weights. Validation uses the average, and so do `best.safetensors` and `last.safetensors`, and thus predictions;
/// training continues from the weights themselves. Running statistics of batch normalization are not averaged.
///
/// ```yaml
/// weight_average: { decay: 0.999 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightAverage {
    /// Weight of the previous average in each step, at least 0 and below 1; for example, 0.999 averages over about the last 1000 steps.
    pub decay: UnitFraction,
}

/// Evaluation of whole validation volumes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Volumes {
    /// Interval in epochs between evaluations of whole volumes, for example 5. `null` (default) is a fifth of `train.epochs`, at least 1 and at most 10, so that short runs are scored a few times too; the plan has the number.
    #[serde(default)]
    pub every_epochs: Option<NonZeroUsize>,
}

/// Checkpoints and early stopping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Number of best checkpoints to keep, by `monitor` (default 1).
    #[serde(default = "one")]
    pub keep_best: usize,
    /// Number of latest checkpoints to keep, at least 1 (default 1).
    #[serde(default = "default_keep_last")]
    pub keep_last: NonZeroUsize,
    /// Column of `metrics.csv` that determines the best epoch (default `val_dice_mean`). Lower is better for losses, distances and errors, higher for other metrics.
    #[serde(default = "default_monitor")]
    pub monitor: String,
    /// Interval in optimizer steps between checkpoints within an epoch, for example 500; `null` (default) disables it. A checkpoint is written after every epoch in any case.
    #[serde(default)]
    pub every_steps: Option<NonZeroUsize>,
    /// Interval in seconds between checkpoints within an epoch (default 600); limits the work that a crash can lose. `null` disables it.
    #[serde(default = "default_every_secs")]
    pub every_secs: Option<Positive>,
    /// Early stopping: end training after this many epochs without an improvement of `monitor`, for example 50. `null` (default) disables it.
    #[serde(default)]
    pub patience_epochs: Option<NonZeroUsize>,
}

impl Default for Validate {
    fn default() -> Self {
        Self { every_epochs: every_epoch(), patches: yes(), pseudo_dice: None, volumes: Volumes::default() }
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
    Split::Fold(dataset::split::Fold::new(0, NonZeroUsize::new(5).expect("5 is not 0")))
}

fn default_batch_size() -> NonZeroUsize {
    NonZeroUsize::new(2).expect("2 is not 0")
}

fn default_accumulate() -> NonZeroUsize {
    NonZeroUsize::MIN
}

fn default_batches() -> NonZeroUsize {
    NonZeroUsize::new(50).expect("50 is not 0")
}

fn every_epoch() -> NonZeroUsize {
    NonZeroUsize::MIN
}

fn yes() -> bool {
    true
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
