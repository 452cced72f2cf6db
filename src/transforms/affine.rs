//! Random scaling, rotation and translation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::{AxisRanges, Range};

/// Scales, rotates and shifts the content about the centre of the image, in RAS millimetres, as TorchIO's RandomAffine.
///
/// ```yaml
/// - affine: { scales: [0.9, 1.1], degrees: [-10, 10] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Affine {
    /// Factors along x, y and z; above 1 enlarges.
    #[serde(default = "unchanged_scale")]
    pub scales: AxisRanges,
    /// Angles about x, y and z, applied in the order y, x, z.
    #[serde(default = "no_change")]
    pub degrees: AxisRanges,
    /// Shifts along x, y and z in millimetres; like TorchIO's, they are multiplied by the scale.
    #[serde(default = "no_change")]
    pub translation_mm: AxisRanges,
    /// Whether one factor serves all three axes.
    #[serde(default)]
    pub isotropic: bool,
    /// The intensity given to voxels from outside the image; `null` takes the image's smallest. Labels outside are 0.
    #[serde(default)]
    pub fill: Option<f32>,
}

fn unchanged_scale() -> AxisRanges {
    AxisRanges::same(Range::fixed(1.0))
}

fn no_change() -> AxisRanges {
    AxisRanges::same(Range::fixed(0.0))
}
