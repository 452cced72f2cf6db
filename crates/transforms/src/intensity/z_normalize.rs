//! Normalization to zero mean and unit variance.

use crate::erasure::Registered;
use crate::statistics::descriptive;
use crate::{
    Component, Incoming, IntensityTransform, NoParams, Region, TransformError, VolumeStatistics, WholeVolume, Window,
};
use random::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Z-score normalization: subtracts each volume's mean and divides by its standard deviation (with n - 1), as TorchIO's
/// ZNormalization.
///
/// ```yaml
/// - z_normalize: {}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZNormalize {
    /// Region in which mean and standard deviation are computed, such as `{ above_mean: {} }`; `null` (default) is the whole
    /// volume. All voxels are normalized.
    #[serde(default)]
    pub mask: Option<Region>,
}

/// The mean and the standard deviation of a volume.
#[derive(Clone, Copy)]
struct Moments {
    mean: f32,
    deviation: f32,
}

impl Component for ZNormalize {
    type Params = NoParams;

    fn aliases() -> &'static [&'static str] {
        &["ZNormalization", "NormalizeIntensity", "ZScoreNormalization"]
    }

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }

    fn region(&self) -> Option<&Region> {
        self.mask.as_ref()
    }
}

impl IntensityTransform for ZNormalize {
    fn normalizes(&self) -> bool {
        true
    }

    fn needs_statistics(&self) -> bool {
        true
    }

    fn statistics(&self, _: &NoParams, whole: &WholeVolume) -> Result<VolumeStatistics, TransformError> {
        let (mean, deviation) = match &self.mask {
            None => descriptive::mean_and_deviation(whole.image),
            Some(mask) => {
                let values = mask.values(Self::NAME, whole)?;
                if values.is_empty() {
                    let reason = "its mask is empty, so there is no mean".to_owned();
                    return Err(TransformError { name: Self::NAME, reason });
                }
                descriptive::mean_and_deviation(&values)
            }
        };
        if !(deviation.is_finite() && deviation > 0.0) {
            let reason = match deviation {
                0.0 => format!("every intensity is {mean}; a constant volume has no standard deviation to divide by"),
                // Of one value, or too large.
                _ => {
                    format!("the standard deviation of the intensities is {deviation}, so they cannot be divided by it")
                }
            };
            return Err(TransformError { name: Self::NAME, reason });
        }
        Ok(VolumeStatistics::new(Moments { mean: mean as f32, deviation: deviation as f32 }))
    }

    fn apply(&self, _: &NoParams, statistics: &VolumeStatistics, window: &mut Window) {
        let Moments { mean, deviation } = *statistics.get();
        window.map(|v| (v - mean) / deviation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_values_by_hand() {
        let mut values = [1.0, 2.0, 3.0];
        let statistics = ZNormalize { mask: None }.statistics(&NoParams, &WholeVolume::single_row(&values)).unwrap();
        ZNormalize { mask: None }.apply(&NoParams, &statistics, &mut Window::single_row(&mut values));
        assert_eq!(values, [-1.0, 0.0, 1.0]);
    }

    #[test]
    fn an_empty_mask_is_an_error() {
        let step = ZNormalize { mask: Some(Region::Above(9.0)) };
        let error = step.statistics(&NoParams, &WholeVolume::single_row(&[1.0, 2.0])).unwrap_err().to_string();
        assert!(error.contains("mask is empty"), "{error}");
    }

    #[test]
    fn a_constant_volume_is_an_error() {
        assert!(ZNormalize { mask: None }.statistics(&NoParams, &WholeVolume::single_row(&[2.0; 5])).is_err());
    }
}
