//! Zero mean, unit variance.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Subtracts each volume's mean and divides by its standard deviation (with n - 1), over all voxels.
///
/// ```yaml
/// - z_normalize: {}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZNormalize {}
