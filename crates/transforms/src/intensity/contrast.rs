//! Random contrast.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::channels::{certain, scales_channels};
use crate::statistics::moments::{Moments, moments};
use crate::{IntensityTransform, TransformError, VolumeStatistics, WholeVolume, Window};
use simd::vectorized;
use values::{Probability, Range};

/// Multiplies the differences between intensities and the mean of their channel by a random factor, and clips the result to the
/// old range of the channel, like nnU-Net's ContrastTransform.
///
/// ```yaml
/// - contrast: { factor: [0.75, 1.25] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contrast {
    /// Range of the factor, such as `[0.75, 1.25]`; values above 1 increase the contrast. If it contains 1, half of the factors
    /// are sampled uniformly below 1 and half above 1.
    pub factor: Range,
    /// Probability that a channel is changed, default 1; each channel has its own factor.
    #[serde(default = "certain")]
    pub channel_probability: Probability,
}

scales_channels!(
    Contrast,
    ContrastParams,
    ["ContrastTransform", "ContrastAugmentationTransform", "RandScaleIntensityFixedMean"]
);

impl IntensityTransform for Contrast {
    fn is_identity(&self, params: &ContrastParams) -> bool {
        params.0.iter().all(Option::is_none)
    }

    fn needs_statistics(&self) -> bool {
        true
    }

    fn statistics(&self, params: &ContrastParams, whole: &WholeVolume) -> Result<VolumeStatistics, TransformError> {
        let measured = whole.channels().zip(&params.0);
        let moments = measured.map(|(values, factor)| factor.map(|_| moments(values)));
        Ok(VolumeStatistics::new(moments.collect::<Vec<Option<Moments>>>()))
    }

    fn apply(&self, params: &ContrastParams, statistics: &VolumeStatistics, window: &mut Window) {
        let moments: &Vec<Option<Moments>> = statistics.get();
        for (channel, (factor, moments)) in params.0.iter().zip(moments).enumerate() {
            if let (Some(factor), Some(Moments { mean, low, high, .. })) = (factor, *moments) {
                let (factor, mean) = (*factor as f32, mean as f32);
                scale_and_clip(window.channel_mut(channel), mean, factor, [low, high]);
            }
        }
    }
}

vectorized! {
    fn scale_and_clip(values: &mut [f32], mean: f32, factor: f32, range: [f32; 2]) {
        let [low, high] = range;
        for value in values {
            *value = ((*value - mean) * factor + mean).max(low).min(high);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(values: &[f32], factor: f64) -> Vec<f32> {
        let mut values = values.to_vec();
        let spec: Contrast = serde_yaml::from_str("factor: [0.75, 1.25]").unwrap();
        let params = ContrastParams(vec![Some(factor)]);
        let statistics = spec.statistics(&params, &WholeVolume::single_row(&values)).unwrap();
        spec.apply(&params, &statistics, &mut Window::single_row(&mut values));
        values
    }

    #[test]
    fn distances_from_the_mean_are_scaled() {
        assert_eq!(changed(&[0.0, 2.0, 4.0], 0.5), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn the_old_range_is_kept() {
        assert_eq!(changed(&[0.0, 1.0, 3.0, 4.0], 2.0), [0.0, 0.0, 4.0, 4.0]);
    }
}
