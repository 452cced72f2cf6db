//! One component per label.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::volume::Label;

/// Keeps the largest component of each of the labels, by number of voxels, and turns the others into background; voxels touch by their faces.
///
/// ```yaml
/// - keep_largest: { labels: [1] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepLargest {
    /// The labels to which it applies, each on its own; `null` is every label.
    #[serde(default)]
    pub labels: Option<Vec<Label>>,
}
