//! Threads that turn subjects into a shuffled stream of patches.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How patches are made ahead of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueSpec {
    /// How many patches are kept ready, at most; also how far apart patches of one subject are shuffled.
    #[serde(default = "default_max_length")]
    pub max_length: NonZeroUsize,
    /// Patches drawn from each subject in an epoch.
    #[serde(default = "default_samples_per_volume")]
    pub samples_per_volume: NonZeroUsize,
    /// Threads that make patches; 0 makes them in the training thread. Changes no result.
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
