//! How values between voxels are found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How intensities between voxels are found. Labels always take the nearest voxel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// The value of the nearest voxel.
    Nearest,
    /// Between the eight voxels around, linearly along each axis.
    #[default]
    Linear,
    /// A cubic B-spline through the voxels.
    Cubic,
}
