//! Zero mean, unit variance.

use crate::step::Registered;
use crate::whole_volume::statistics;
use crate::{
    Component, Incoming, IntensityTransform, NoParams, Region, TransformError, VolumeStatistics, WholeVolume, Window,
};
use random::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Subtracts each volume's mean and divides by its standard deviation (with n - 1), over the voxels of a mask or all.
///
/// ```yaml
/// - z_normalize: {}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZNormalize {
    /// The voxels whose mean and deviation are taken; `null` takes all.
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

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }

    fn region(&self) -> Option<&Region> {
        self.mask.as_ref()
    }
}

impl IntensityTransform for ZNormalize {
    fn needs_statistics(&self) -> bool {
        true
    }

    fn statistics(&self, _: &NoParams, whole: &WholeVolume) -> Result<VolumeStatistics, TransformError> {
        let (mean, deviation) = match &self.mask {
            None => statistics::mean_and_deviation(whole.image),
            Some(mask) => {
                let values = mask.values(Self::NAME, whole)?;
                if values.is_empty() {
                    let reason = "its mask holds no voxel, so there is no mean".to_owned();
                    return Err(TransformError { name: Self::NAME, reason });
                }
                statistics::mean_and_deviation(&values)
            }
        };
        if !(deviation.is_finite() && deviation > 0.0) {
            let reason =
                format!("the standard deviation of the intensities is {deviation}, so they cannot be divided by it");
            return Err(TransformError { name: Self::NAME, reason });
        }
        Ok(VolumeStatistics::new(Moments { mean: mean as f32, deviation: deviation as f32 }))
    }

    fn apply(&self, _: &NoParams, measured: &VolumeStatistics, window: &mut Window) {
        let Moments { mean, deviation } = *measured.get();
        window.map(|v| (v - mean) / deviation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_values_by_hand() {
        let mut values = [1.0, 2.0, 3.0];
        let measured = ZNormalize { mask: None }.statistics(&NoParams, &WholeVolume::of(&values)).unwrap();
        ZNormalize { mask: None }.apply(&NoParams, &measured, &mut Window::of(&mut values));
        assert_eq!(values, [-1.0, 0.0, 1.0]);
    }

    #[test]
    fn an_empty_mask_is_told() {
        let step = ZNormalize { mask: Some(Region::Above(9.0)) };
        let error = step.statistics(&NoParams, &WholeVolume::of(&[1.0, 2.0])).unwrap_err().to_string();
        assert!(error.contains("mask holds no voxel"), "{error}");
    }

    #[test]
    fn a_constant_volume_is_refused() {
        assert!(ZNormalize { mask: None }.statistics(&NoParams, &WholeVolume::of(&[2.0; 5])).is_err());
    }
}
