//! A new number of voxels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::PartialShape;

/// Interpolates to a number of voxels, keeping the field of view: images linearly, labels by the nearest voxel.
///
/// ```yaml
/// - resize: { shape: [256, 256, null] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// Voxels along x, y and z; `null` keeps an axis.
    pub shape: PartialShape,
}
