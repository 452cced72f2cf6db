//! A linear map of intensities.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::{Percentile, Range};

/// Maps each volume's intensities linearly to a range, after cutting them at percentiles of the whole volume.
///
/// ```yaml
/// - rescale_intensity: { to: [-1, 1], percentiles: [0.5, 99.5] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RescaleIntensity {
    /// Where the smallest and the largest intensity go.
    #[serde(default = "unit_interval")]
    pub to: Range,
    /// The incoming intensities that become the ends of `to`; `null` takes the volume's smallest and largest. Values outside are not cut.
    #[serde(default)]
    pub from: Option<Range>,
    /// Percentiles of the whole volume at which intensities are cut before they are mapped.
    #[serde(default = "all_values")]
    pub percentiles: [Percentile; 2],
}

fn unit_interval() -> Range {
    Range { low: 0.0, high: 1.0 }
}

fn all_values() -> [Percentile; 2] {
    [0.0, 100.0].map(|value| Percentile::new(value).expect("0 and 100 are percentiles"))
}
