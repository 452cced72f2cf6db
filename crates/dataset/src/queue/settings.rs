//! The settings of the queue in an experiment.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How patches are prepared ahead of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueSpec {
    /// Capacity of the queue in patches, and size of the shuffle buffer: a larger one mixes the patches of more subjects and takes more memory. With `train.iterations_per_epoch` nothing is shuffled, since subjects are sampled at random. Default 40.
    #[serde(default = "default_max_length")]
    pub max_length: NonZeroUsize,
    /// Patches per subject and epoch; default 5. With `train.iterations_per_epoch` it applies only to validation subjects with `validate.patches`.
    #[serde(default = "default_samples_per_volume")]
    pub samples_per_volume: NonZeroUsize,
    /// Worker threads that prepare patches; 0 prepares them in the training thread. Default 2. Does not change results.
    #[serde(default = "default_workers")]
    pub workers: usize,
}

impl Default for QueueSpec {
    fn default() -> Self {
        Self {
            max_length: default_max_length(),
            samples_per_volume: default_samples_per_volume(),
            workers: default_workers(),
        }
    }
}

fn default_max_length() -> NonZeroUsize {
    NonZeroUsize::new(40).expect("40 is not 0")
}

fn default_samples_per_volume() -> NonZeroUsize {
    NonZeroUsize::new(5).expect("5 is not 0")
}

fn default_workers() -> usize {
    2
}
