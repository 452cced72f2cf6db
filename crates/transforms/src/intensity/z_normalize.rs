//! Normalization to zero mean and unit variance.

use crate::channels;
use crate::erasure::Registered;
use crate::statistics::descriptive;
use crate::statistics::region::RegionStatistics;
use crate::validation::require;
use crate::{
    Component, Incoming, IntensityTransform, KeyProblem, NoParams, Region, TransformError, VolumeStatistics,
    WholeVolume, Window,
};
use random::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Z-score normalization: subtracts each volume's mean and divides by its standard deviation, like TorchIO's ZNormalization. With
/// `ddof: 0`, `per_channel: true` and `min_std: 1.0e-8`, and `outside: unchanged` if there is a mask, it is nnU-Net's
/// ZScoreNormalization.
///
/// ```yaml
/// - z_normalize: {}
/// - z_normalize: { ddof: 0, per_channel: true, min_std: 1.0e-8 } # as in nnU-Net
/// - z_normalize: { ddof: 0, per_channel: true, min_std: 1.0e-8, mask: { nonzero: {} }, outside: unchanged } # with mask
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
    /// Smallest divisor: a smaller standard deviation is replaced by it, so that constant intensities become 0, for
    /// example `1e-8` as in nnU-Net. `null` (default) makes constant intensities an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_std: Option<f64>,
    /// Channels that the step changes, counted from 0, such as `[0, 2]`; the others keep their intensities. `null` (default) is
    /// all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<usize>>,
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

/// The mean and the standard deviation of each channel that is changed, and what the mask depends on.
struct Moments {
    /// The channel, its mean and its standard deviation.
    channels: Vec<(usize, [f32; 2])>,
    region: RegionStatistics,
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
        // It divides in single precision.
        let min_std = self.min_std.filter(|min| !(*min as f32 >= f32::MIN_POSITIVE && min.is_finite()));
        let min_std = min_std.map(|min| KeyProblem::new("min_std", format!("expected a number above 0, got {min}")));
        let channels = channels::validate_channels(&self.channels);
        ddof.into_iter().chain(outside).chain(min_std).chain(channels).collect()
    }

    fn check_incoming(&self, incoming: &Incoming) -> Result<(), KeyProblem> {
        channels::check_channels(&self.channels, incoming.channels)
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
        let region = self.mask.as_ref().map(|mask| mask.statistics(whole)).unwrap_or_default();
        let changed = channels::changed(&self.channels, whole.channels().count());
        let moments: Vec<[f32; 2]> = if self.per_channel {
            let of_one = |channel: &usize| self.measure(whole.channel(*channel), whole, &region);
            changed.iter().map(of_one).collect::<Result<_, _>>()?
        } else {
            let values = channels::changed_values(&self.channels, whole);
            vec![self.measure(&values, whole, &region)?; changed.len()]
        };
        Ok(VolumeStatistics::new(Moments { channels: changed.into_iter().zip(moments).collect(), region }))
    }

    fn apply(&self, _: &NoParams, statistics: &VolumeStatistics, window: &mut Window) {
        let Moments { channels, region } = statistics.get();
        let (grid, start, shape, label) = (window.grid, window.start, window.shape, window.label);
        let inside = self
            .mask
            .as_ref()
            .filter(|_| self.outside == Outside::Unchanged)
            .map(|mask| mask.resolve(Self::NAME, &grid, label, region).expect("`statistics` requires labels"));
        for (channel, [mean, deviation]) in channels {
            let values = window.channel_mut(*channel);
            let Some(inside) = &inside else {
                values.iter_mut().for_each(|value| *value = (*value - mean) / deviation);
                continue;
            };
            for (index, value) in values.iter_mut().enumerate() {
                let local = volume::unravel_index(shape, index);
                let voxel = std::array::from_fn(|axis| start[axis] + local[axis]);
                if inside.contains(voxel, *value, index) {
                    *value = (*value - mean) / deviation;
                }
            }
        }
    }
}

impl ZNormalize {
    /// Returns the mean and the standard deviation of one or several channels of a volume.
    fn measure(
        &self,
        image: &[f32],
        whole: &WholeVolume,
        region: &RegionStatistics,
    ) -> Result<[f32; 2], TransformError> {
        let error = |reason: String| TransformError { name: Self::NAME, reason };
        let (count, (mean, deviation)) = match &self.mask {
            None => (image.len(), descriptive::mean_and_deviation(image)),
            Some(mask) => {
                let values = mask.values(Self::NAME, &WholeVolume { image, ..*whole }, region)?;
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
        // Also of one value, whose standard deviation is not a number.
        let deviation = self.min_std.map_or(deviation, |min| deviation.max(min));
        if !(deviation.is_finite() && deviation > 0.0) {
            return Err(error(match deviation {
                0.0 => format!(
                    "every intensity is {mean}; a constant volume has no standard deviation to divide by; with \
                     `min_std: 1.0e-8` it becomes 0, as in nnU-Net"
                ),
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
        assert_eq!(step("min_std: 1.0e-8").validate(), []);
        for min_std in ["0", "-1", "1.0e-60"] {
            assert_eq!(step(&format!("min_std: {min_std}")).validate()[0].key, "min_std");
        }
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
    fn other_channels_keep_their_intensities() {
        let grid = Grid { shape: [1, 1, 2], affine: Affine::IDENTITY };
        let normalized = |yaml: &str| {
            let mut values = [1.0, 3.0, 10.0, 30.0, 5.0, 9.0];
            let step = step(yaml);
            let statistics = step.statistics(&NoParams, &WholeVolume { grid, image: &values, label: None }).unwrap();
            step.apply(&NoParams, &statistics, &mut Window::new(&mut values, 3, grid, ([0; 3], [1, 1, 2])));
            values
        };
        let each = normalized("{ ddof: 0, per_channel: true, channels: [0, 2] }");
        assert_eq!(each, [-1.0, 1.0, 10.0, 30.0, -1.0, 1.0]);
        // The mean of 1, 3, 5 and 9 is 4.5.
        let together = normalized("{ ddof: 0, channels: [2, 0] }");
        assert_eq!((together[2], together[3], together[0] < 0.0, together[4] > 0.0), (10.0, 30.0, true, true));
        assert!((together[0] + together[1] + together[4] + together[5]).abs() < 1e-6);
        assert_eq!(step("channels: [1, 1]").validate()[0].key, "channels");
        let incoming = Incoming { grid, channels: 2 };
        assert_eq!(step("channels: [2]").check_incoming(&incoming).unwrap_err().key, "channels");
    }

    #[test]
    fn the_nonzero_mask_has_holes_filled_and_the_outside_keeps_its_zeros() {
        // A plus with a hole, in a background of zeros; the middle slice of three.
        let plus = [0.0, 2.0, 0.0, 2.0, 0.0, 2.0, 0.0, 2.0, 0.0f32];
        let wall = [0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0f32];
        let mut values: Vec<f32> = [wall, plus, wall].concat();
        let grid = Grid { shape: [3; 3], affine: Affine::IDENTITY };
        let step = step("{ ddof: 0, mask: { nonzero: {} }, outside: unchanged }");
        let statistics = step.statistics(&NoParams, &WholeVolume { grid, image: &values, label: None }).unwrap();
        step.apply(&NoParams, &statistics, &mut Window::whole(&mut values, grid));
        // Six voxels of 2 around a hole of 0: mean 12 / 7, standard deviation 2 √6 / 7.
        let (mean, deviation) = (12.0 / 7.0, 2.0 * 6.0f32.sqrt() / 7.0);
        assert!((values[13] + mean / deviation).abs() < 1e-5, "{values:?}");
        assert!((values[4] - (2.0 - mean) / deviation).abs() < 1e-5, "{values:?}");
        assert_eq!((values[0], values[9], values[26]), (0.0, 0.0, 0.0));
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
    fn a_constant_volume_is_an_error_or_becomes_0() {
        assert!(step("{}").statistics(&NoParams, &WholeVolume::single_row(&[2.1; 5])).is_err());
        for (yaml, mut values) in
            [("{ ddof: 0, min_std: 1.0e-8 }", vec![2.1; 5]), ("{ ddof: 0, min_std: 0.5 }", vec![7.0])]
        {
            let step = step(yaml);
            let statistics = step.statistics(&NoParams, &WholeVolume::single_row(&values)).unwrap();
            step.apply(&NoParams, &statistics, &mut Window::single_row(&mut values));
            assert!(values.iter().all(|value| *value == 0.0), "{values:?}");
        }
        // A larger standard deviation is used as it is.
        let step = step("{ ddof: 0, min_std: 3 }");
        let mut values = [0.0, 8.0];
        let statistics = step.statistics(&NoParams, &WholeVolume::single_row(&values)).unwrap();
        step.apply(&NoParams, &statistics, &mut Window::single_row(&mut values));
        assert_eq!(values, [-1.0, 1.0]);
    }
}
