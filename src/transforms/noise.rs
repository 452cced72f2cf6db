//! Additive Gaussian noise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::Range;

/// Adds to each voxel a normal draw whose mean and standard deviation are drawn per patch.
///
/// ```yaml
/// - noise: { std: [0, 0.25] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// The mean, in units of intensity.
    #[serde(default = "zero")]
    pub mean: Range,
    /// The standard deviation, in units of intensity.
    pub std: Range,
}

fn zero() -> Range {
    Range::fixed(0.0)
}
