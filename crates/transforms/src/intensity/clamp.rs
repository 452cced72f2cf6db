//! Clipping to a range.

use crate::{Component, ITSELF, Incoming, IntensityTransform, KeyProblem, NoParams, VolumeStatistics, Window};
use random::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use values::single_or_null;

/// Clips intensities to a range, as TorchIO's Clamp: values below `min` become `min`, above `max` become `max`. For CT the
/// range is a window in Hounsfield units.
///
/// ```yaml
/// - clamp: { min: -200, max: 250 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Clamp {
    /// Lower limit, such as -200; `null` (default) sets none.
    #[serde(default, deserialize_with = "single_or_null")]
    pub min: Option<f32>,
    /// Upper limit, such as 250; `null` (default) sets none.
    #[serde(default, deserialize_with = "single_or_null")]
    pub max: Option<f32>,
}

impl Component for Clamp {
    type Params = NoParams;

    fn aliases() -> &'static [&'static str] {
        &["Clamp", "ClipIntensityPercentiles", "ThresholdIntensity"]
    }

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let problem = match (self.min, self.max) {
            (None, None) => {
                KeyProblem::new(ITSELF, "clamp has no limit, so it does nothing").help("give `min`, `max` or both")
            }
            (Some(min), Some(max)) if min >= max => {
                KeyProblem::new("max", format!("expected max above min {min}, got {max}")).help("swap them")
            }
            (Some(_), _) | (_, Some(_)) => return Vec::new(),
        };
        vec![problem]
    }
}

impl IntensityTransform for Clamp {
    fn apply(&self, _: &NoParams, _: &VolumeStatistics, window: &mut Window) {
        let (min, max) = (self.min.unwrap_or(f32::NEG_INFINITY), self.max.unwrap_or(f32::INFINITY));
        window.map(|v| v.max(min).min(max));
    }

    fn limits_intensities(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_become_the_nearer_limit() {
        let mut values = [-1000.0, 0.0, 3000.0];
        Clamp { min: Some(-200.0), max: Some(250.0) }.apply(
            &NoParams,
            VolumeStatistics::none(),
            &mut Window::single_row(&mut values),
        );
        assert_eq!(values, [-200.0, 0.0, 250.0]);
    }

    #[test]
    fn a_limit_may_be_left_out() {
        let mut values = [-1000.0, 3000.0];
        Clamp { min: None, max: Some(250.0) }.apply(
            &NoParams,
            VolumeStatistics::none(),
            &mut Window::single_row(&mut values),
        );
        assert_eq!(values, [-1000.0, 250.0]);
    }
}
