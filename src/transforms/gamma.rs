//! Contrast change by a random power.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::Range;

/// Raises intensities to a random power, keeping their sign.
///
/// ```yaml
/// - gamma: { log_gamma: [-0.3, 0.3] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gamma {
    /// Natural logarithm of the exponent; 0 leaves the image as it is.
    pub log_gamma: Range,
}
