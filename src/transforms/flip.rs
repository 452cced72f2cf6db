//! Random mirroring.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::Probability;

/// Mirrors the content along each axis by its own chance; world coordinates stay.
///
/// ```yaml
/// - flip: { probabilities: [0.5, 0, 0] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flip {
    /// How often each of x, y and z is mirrored.
    pub probabilities: [Probability; 3],
}
