//! Patches around voxels of chosen labels.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::volume::Label;
use crate::value::{NonNegative, Shape};

/// Chooses a label by its probability, then a voxel of that label as the patch's centre, as TorchIO's LabelSampler.
///
/// ```yaml
/// label: { patch: [96, 96, 96], probabilities: { 0: 0.2, 1: 0.3, 2: 0.5 } }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelSampler {
    /// Voxels along x, y and z.
    pub patch: Shape,
    /// The weight of each label among patch centres; labels that a subject lacks are left out and the rest renormalised. `null`: every voxel above 0 is equally likely.
    #[serde(default)]
    pub probabilities: Option<BTreeMap<Label, NonNegative>>,
}
