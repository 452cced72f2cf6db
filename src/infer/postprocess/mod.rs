//! What happens to a predicted label map before it is scored or written: the closed list of steps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod keep_largest;

pub use keep_largest::KeepLargest;

/// One step after the network's classes are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Postprocess {
    /// Keeps the largest connected component of each label.
    KeepLargest(KeepLargest),
}
