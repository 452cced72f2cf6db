//! Normalization to zero mean and unit variance.

use crate::erasure::Registered;
use crate::statistics::descriptive;
use crate::validation::require;
use crate::{
    Component, Incoming, IntensityTransform, KeyProblem, NoParams, Region, TransformError, VolumeStatistics,
    WholeVolume, Window,
};
use random::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Z-score normalization: subtracts each volume's mean and divides by its standard deviation, like TorchIO's ZNormalization. With
/// `ddof: 0` and `per_channel: true`, and `outside: unchanged` if there is a mask, it is nnU-Net's ZScoreNormalization.
///
/// ```yaml
/// - z_normalize: {}
/// - z_normalize: { ddof: 0, per_channel: true } # as in nnU-Net
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZNormalize {
    /// Region in which mean and standard deviation are computed, such as `{ above_mean: {} }`; `null` (default) is the whole
    /// volume. All voxels are normalized, unless `outside` is `unchanged`.
    #[serde(default)]
    pub mask: Option<Region>,
    /// Delta degrees of freedom: the standard deviation divides by the number of voxels minus this: `1` (default), or `0` as in
    /// nnU-Net.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(max = 1))]
    pub ddof: u8,
    /// Voxels outside `mask`: `normalized` (default), or `unchanged` as in nnU-Net.
    #[serde(default, skip_serializing_if = "Outside::is_default")]
    pub outside: Outside,
    /// If true, each channel is normalized with its own mean and standard deviation, as in nnU-Net; default false: all channels
    /// together.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per_channel: bool,
}

fn one() -> u8 {
    1
}

fn is_one(ddof: &u8) -> bool {
    *ddof == 1
}

/// What becomes of voxels outside a mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// They are normalized with the mean and standard deviation of the mask.
    #[default]
    Normalized,
    /// They keep their intensities.
    Unchanged,
}

impl Outside {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The mean and the standard deviation of each channel, or of all together, and the limit of the mask.
struct Moments {
    channels: Vec<[f32; 2]>,
    /// The mean of the whole volume, if the mask depends on it.
    mean_of_all: f32,
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

    fn validate(&self) -> Vec<KeyProblem> {
        let ddof = require(self.ddof <= 1, "ddof", || format!("expected 0 or 1, got {}", self.ddof));
        let outside = require(self.mask.is_some() || self.outside.is_default(), "outside", || {
            "`outside` requires a `mask`; without one, no voxel is outside".to_owned()
        });
        ddof.into_iter().chain(outside).collect()
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
        let mean_of_all =
            if self.mask.as_ref().is_some_and(Region::needs_mean) { descriptive::mean(whole.image) } else { 0.0 };
        let parts: Vec<WholeVolume> = if self.per_channel {
            whole.channels().map(|image| WholeVolume { image, ..*whole }).collect()
        } else {
            vec![*whole]
        };
        let channels = parts.iter().map(|part| self.measure(part, mean_of_all)).collect::<Result<_, _>>()?;
        Ok(VolumeStatistics::new(Moments { channels, mean_of_all }))
    }

    fn apply(&self, _: &NoParams, statistics: &VolumeStatistics, window: &mut Window) {
        let Moments { channels, mean_of_all } = statistics.get();
        let size = window.image.len() / channels.len();
        if let (Some(mask), Outside::Unchanged) = (&self.mask, self.outside) {
            let (start, shape) = (window.start, window.shape);
            let region = mask.resolve(Self::NAME, &window.grid, window.label, *mean_of_all);
            let region = region.expect("`statistics` requires labels");
            let voxels: usize = shape.iter().product();
            for (index, value) in window.image.iter_mut().enumerate() {
                let [mean, deviation] = channels[index / size];
                let local = volume::unravel_index(shape, index % voxels);
                let voxel = std::array::from_fn(|axis| start[axis] + local[axis]);
                if region.contains(voxel, *value, index % voxels) {
                    *value = (*value - mean) / deviation;
                }
            }
            return;
        }
        for (values, [mean, deviation]) in window.image.chunks_exact_mut(size).zip(channels) {
            values.iter_mut().for_each(|value| *value = (*value - mean) / deviation);
        }
    }
}

impl ZNormalize {
    /// Returns the mean and the standard deviation of a channel, or of all together.
    fn measure(&self, part: &WholeVolume, mean_of_all: f32) -> Result<[f32; 2], TransformError> {
        let error = |reason: String| TransformError { name: Self::NAME, reason };
        let (count, (mean, deviation)) = match &self.mask {
            None => (part.image.len(), descriptive::mean_and_deviation(part.image)),
            Some(mask) => {
                let values = mask.values_with_mean(Self::NAME, part, mean_of_all)?;
                if values.is_empty() {
                    return Err(error("its mask is empty, so there is no mean".to_owned()));
                }
                (values.len(), descriptive::mean_and_deviation(&values))
            }
        };
        let deviation = match self.ddof {
            0 => deviation * ((count as f64 - 1.0) / count as f64).sqrt(),
            _ => deviation,
        };
        if !(deviation.is_finite() && deviation > 0.0) {
            return Err(error(match deviation {
                0.0 => format!("every intensity is {mean}; a constant volume has no standard deviation to divide by"),
                // Of one value, or too large.
                _ => {
                    format!("the standard deviation of the intensities is {deviation}, so they cannot be divided by it")
                }
            }));
        }
        Ok([mean as f32, deviation as f32])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::{Affine, Grid};

    fn step(yaml: &str) -> ZNormalize {
        let value: serde_json::Value = serde_yaml::from_str(yaml).unwrap();
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn keys_without_a_meaning_are_problems() {
        assert_eq!(step("{ ddof: 0, per_channel: true }").validate(), []);
        assert_eq!(step("outside: unchanged").validate()[0].key, "outside");
        assert_eq!(step("ddof: 2").validate()[0].key, "ddof");
    }

    #[test]
    fn each_channel_may_have_its_own_moments() {
        let mut values = [1.0, 3.0, 10.0, 30.0];
        let grid = Grid { shape: [1, 1, 2], affine: Affine::IDENTITY };
        let step = step("{ ddof: 0, per_channel: true }");
        let statistics = step.statistics(&NoParams, &WholeVolume { grid, image: &values, label: None }).unwrap();
        step.apply(&NoParams, &statistics, &mut Window::new(&mut values, 2, grid, ([0; 3], [1, 1, 2])));
        assert_eq!(values, [-1.0, 1.0, -1.0, 1.0]);
    }

    #[test]
    fn three_values_by_hand() {
        let mut values = [1.0, 2.0, 3.0];
        let step = step("{}");
        let statistics = step.statistics(&NoParams, &WholeVolume::single_row(&values)).unwrap();
        step.apply(&NoParams, &statistics, &mut Window::single_row(&mut values));
        assert_eq!(values, [-1.0, 0.0, 1.0]);
    }

    #[test]
    fn an_empty_mask_is_an_error() {
        let step = step("mask: { above: 9 }");
        let error = step.statistics(&NoParams, &WholeVolume::single_row(&[1.0, 2.0])).unwrap_err().to_string();
        assert!(error.contains("mask is empty"), "{error}");
    }

    #[test]
    fn a_constant_volume_is_an_error() {
        assert!(step("{}").statistics(&NoParams, &WholeVolume::single_row(&[2.0; 5])).is_err());
    }
}
