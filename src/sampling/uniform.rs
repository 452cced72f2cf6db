//! Patches anywhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::Shape;

/// Every place where the patch fits into the volume is equally likely.
///
/// ```yaml
/// uniform: { patch: [64, 64, 64] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UniformSampler {
    /// Voxels along x, y and z.
    pub patch: Shape,
}
