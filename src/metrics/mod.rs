//! What whole volumes are scored with: the closed list of metrics.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::volume::Label;

mod dice;

pub use dice::{Dice, Empty};

/// A score of a predicted label map against the true one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Metric {
    /// Overlap: twice the common voxels over the sum of both.
    Dice(Dice),
}

/// Named unions of labels that a metric scores beside the labels themselves.
pub type Regions = BTreeMap<String, Vec<Label>>;
