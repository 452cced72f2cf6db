//! What happens to a predicted label map before it is scored or written: the closed list of steps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::volume::Label;

mod keep_largest;

pub use keep_largest::KeepLargest;

/// One step after the network's classes are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Postprocess {
    /// Keeps the largest connected component of each label.
    KeepLargest(KeepLargest),
}

impl Postprocess {
    /// Changes a predicted label map `[x, y, z]` in place.
    pub fn apply(&self, map: &mut [Label], shape: [usize; 3]) {
        match self {
            Postprocess::KeepLargest(step) => step.apply(map, shape),
        }
    }
}
