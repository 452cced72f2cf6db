//! The sections `train`, `validate` and `checkpoint` of an experiment.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_default;
use nn::FloatFormat;
use nn::weights::InitialWeights;
use values::{NonNegative, Positive, UnitFraction};

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
    /// Weights of voxels and of subjects in the loss. `null` (default) gives all the same weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_weights: Option<LossWeights>,
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

/// Weights of voxels and of subjects in the loss, in training and in `val_loss`. Metrics are not weighted.
///
/// ```yaml
/// loss_weights: { map: "weights/{subject}.nii.gz", subjects: { case_007: 0.5 } }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LossWeights {
    /// File of each subject's weight map, such as `weights/{subject}.nii.gz`; `{subject}` is replaced by the subject's name. The map has the grid of the subject's image and values of at least 0: each voxel's contribution to the sums of a loss is multiplied by its weight, and means over voxels are weighted means. Spatial transforms are applied to it as to labels, and weights outside the image are 0. `null` (default) gives all voxels the same weight.
    #[serde(default)]
    pub map: Option<String>,
    /// Weights of subjects by name, such as `{ case_007: 0.5 }`: the loss of each of a subject's patches is multiplied by its weight. Subjects that are not listed have weight 1. Default: `{}`.
    #[serde(default)]
    pub subjects: BTreeMap<String, NonNegative>,
}

impl LossWeights {
    /// Returns the weight of a subject.
    pub fn of_subject(&self, name: &str) -> f64 {
        self.subjects.get(name).map_or(1.0, |weight| weight.get())
    }
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
