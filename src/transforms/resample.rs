//! A new spacing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::Spacing;

/// Interpolates on a grid with the given spacing and the same centre: images linearly, labels by the nearest voxel.
///
/// The new shape is `floor(shape * old spacing / new spacing)`, as in TorchIO; an axis of one voxel is kept.
///
/// ```yaml
/// - resample: { spacing_mm: [1, 1, 2.5] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resample {
    /// Millimetres per voxel along x, y and z.
    pub spacing_mm: Spacing,
}
