//! A fixed shape, around the centre.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::PartialShape;

/// Crops what is too long and pads what is too short, around the centre; world coordinates stay.
///
/// Of a difference of n voxels, `ceil(n / 2)` are cut or added at the start of the axis, as in TorchIO.
///
/// ```yaml
/// - crop_or_pad: { shape: [256, 256, 100] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CropOrPad {
    /// Voxels along x, y and z; `null` keeps an axis.
    pub shape: PartialShape,
    /// The intensity of padded voxels; padded labels are 0.
    #[serde(default)]
    pub fill: f32,
}
