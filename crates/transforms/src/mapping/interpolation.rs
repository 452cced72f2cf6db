//! Interpolation between voxels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Interpolation of intensities. Labels take the nearest voxel, unless the step says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Nearest neighbour.
    Nearest,
    /// Trilinear.
    #[default]
    Linear,
    /// Cubic B-spline through the voxels.
    Cubic,
}
