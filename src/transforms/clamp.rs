//! A limited range of intensities.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sets intensities below `min` to `min` and above `max` to `max`; on CT, a window in Hounsfield units.
///
/// ```yaml
/// - clamp: { min: -200, max: 250 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Clamp {
    /// The smallest intensity that is kept; `null` sets no limit.
    #[serde(default)]
    pub min: Option<f32>,
    /// The largest intensity that is kept; `null` sets no limit.
    #[serde(default)]
    pub max: Option<f32>,
}
