//! Axis order and direction.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Permutes and flips axes until the volume is in RAS orientation, without interpolation; an oblique volume stays oblique.
///
/// ```yaml
/// - to_canonical: {}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToCanonical {}
