//! A constant learning rate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Decay;

/// Constant learning rate, after an optional warm-up.
///
/// ```yaml
/// constant: {}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// Warm-up: number of steps over which the learning rate rises linearly from 0. Default: 0.
    #[serde(default)]
    pub warmup_steps: usize,
}

impl Decay for Constant {
    fn factor(&self, _: f64) -> f64 {
        1.0
    }

    fn warmup_steps(&self) -> usize {
        self.warmup_steps
    }
}
