//! Linear rescaling of intensities.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::channels;
use crate::erasure::Registered;
use crate::statistics::descriptive;
use crate::{
    Component, Incoming, IntensityTransform, KeyProblem, NoParams, Region, TransformError, VolumeStatistics,
    WholeVolume, Window,
};
use random::Rng;
use values::{Percentile, Range};

/// Maps each volume's intensities linearly to a range, after clipping them at percentiles of the whole volume, as TorchIO's
/// RescaleIntensity.
///
/// ```yaml
/// - rescale_intensity: { to: [-1, 1], percentiles: [0.5, 99.5] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RescaleIntensity {
    /// Target range: the smallest and the largest intensity are mapped to its ends; default `[0, 1]`.
    #[serde(default = "unit_interval")]
    pub to: Range,
    /// Source range: the intensities that are mapped to the ends of `to`, such as `[-1000, 1000]`; values outside are not
    /// clipped. `null` (default) is the range of the volume after clipping.
    #[serde(default)]
    pub from: Option<Range>,
    /// Percentiles of the whole volume, from 0 to 100, at which intensities are clipped; default `[0, 100]`, example
    /// `[0.5, 99.5]`.
    #[serde(default = "all_values")]
    pub percentiles: [Percentile; 2],
    /// Region in which percentiles are computed, such as `{ above: -500 }`; `null` (default) is the whole volume. All voxels
    /// are clipped and mapped.
    #[serde(default)]
    pub mask: Option<Region>,
    /// Channels that the step changes, counted from 0, such as `[0, 2]`; the others keep their intensities. `null` (default) is
    /// all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<usize>>,
}

pub(crate) fn unit_interval() -> Range {
    Range { low: 0.0, high: 1.0 }
}

fn all_values() -> [Percentile; 2] {
    [0.0, 100.0].map(|value| Percentile::new(value).expect("0 and 100 are percentiles"))
}

/// The intensities at which a volume is clipped, and its smallest and largest intensity after that.
#[derive(Clone, Copy)]
struct Clipped {
    low: f32,
    high: f32,
    ends: [f32; 2],
}

impl Component for RescaleIntensity {
    type Params = NoParams;

    fn aliases() -> &'static [&'static str] {
        &[
            "RescaleIntensity",
            "ScaleIntensity",
            "ScaleIntensityRange",
            "ScaleIntensityRangePercentiles",
            "RescaleTo01Normalization",
        ]
    }

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let [low, high] = self.percentiles.map(Percentile::get);
        let percentiles = (low >= high).then(|| {
            let message = format!("expected percentiles [low, high] with low < high, got [{low}, {high}]");
            KeyProblem::new("percentiles", message).help("swap them")
        });
        let from = self.from.is_some_and(|from| (from.high - from.low) as f32 == 0.0).then(|| {
            KeyProblem::new("from", "expected a range above width zero").help("give [low, high] with low < high")
        });
        let to = self.to.is_fixed().then(|| {
            KeyProblem::new("to", "expected a range above width zero").help("give [low, high] with low < high")
        });
        let channels = channels::validate_channels(&self.channels);
        [percentiles, from, to, channels].into_iter().flatten().collect()
    }

    fn check_incoming(&self, incoming: &Incoming) -> Result<(), KeyProblem> {
        channels::check_channels(&self.channels, incoming.channels)
    }

    fn region(&self) -> Option<&Region> {
        self.mask.as_ref()
    }
}

impl IntensityTransform for RescaleIntensity {
    fn normalizes(&self) -> bool {
        true
    }

    fn needs_statistics(&self) -> bool {
        true
    }

    fn statistics(&self, _: &NoParams, whole: &WholeVolume) -> Result<VolumeStatistics, TransformError> {
        let failed = |reason| Err(TransformError { name: Self::NAME, reason });
        let image = channels::changed_values(&self.channels, whole);
        descriptive::require_finite(Self::NAME, &image)?;
        let percents = self.percentiles.map(Percentile::get);
        let [low, high] = match &self.mask {
            None => descriptive::percentiles(&image, percents),
            Some(mask) => {
                let statistics = mask.statistics(whole);
                let values = mask.values(Self::NAME, &WholeVolume { image: &image, ..*whole }, &statistics)?;
                if values.is_empty() {
                    return failed("its mask is empty, so there are no percentiles".to_owned());
                }
                descriptive::percentiles(&values, percents)
            }
        };
        let ends = descriptive::extremes(&image).map(|end| end.clamp(low, high));
        if self.from.is_none() && ends[0] == ends[1] {
            let [low_percent, high_percent] = percents;
            return failed(match &self.mask {
                None if percents == [0.0, 100.0] => {
                    format!("every intensity is {low}; a constant volume has no range to rescale")
                }
                _ => format!(
                    "the percentiles {low_percent} and {high_percent} are both {}, which leaves no range to rescale; choose percentiles farther apart, or another mask",
                    ends[0]
                ),
            });
        }
        Ok(VolumeStatistics::new(Clipped { low, high, ends }))
    }

    fn apply(&self, _: &NoParams, statistics: &VolumeStatistics, window: &mut Window) {
        let Clipped { low, high, ends } = *statistics.get();
        let from = self.from.unwrap_or(Range { low: f64::from(ends[0]), high: f64::from(ends[1]) });
        let (start, width) = (from.low as f32, (from.high - from.low) as f32);
        let (to_start, to_width) = (self.to.low as f32, (self.to.high - self.to.low) as f32);
        for channel in channels::changed(&self.channels, window.channels) {
            window.map_channel(channel, |v| (v.max(low).min(high) - start) / width * to_width + to_start);
        }
    }

    fn is_sensitive_to_outliers(&self) -> bool {
        self.percentiles.map(Percentile::get) == [0.0, 100.0] && self.from.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rescaled(yaml: &str, values: &[f32]) -> Vec<f32> {
        let transform: RescaleIntensity = serde_yaml::from_str(yaml).unwrap();
        let statistics = transform.statistics(&NoParams, &WholeVolume::single_row(values)).unwrap();
        let mut values = values.to_vec();
        transform.apply(&NoParams, &statistics, &mut Window::single_row(&mut values));
        values
    }

    #[test]
    fn the_smallest_and_largest_go_to_the_ends() {
        assert_eq!(rescaled("to: [-1, 1]", &[0.0, 5.0, 10.0]), [-1.0, 0.0, 1.0]);
    }

    #[test]
    fn other_channels_keep_their_intensities() {
        let transform: RescaleIntensity = serde_yaml::from_str("channels: [1]").unwrap();
        let grid = volume::Grid { shape: [1, 1, 2], affine: volume::Affine::IDENTITY };
        let mut values = [7.0, 9.0, 10.0, 30.0];
        let whole = WholeVolume { grid, image: &values, label: None };
        let statistics = transform.statistics(&NoParams, &whole).unwrap();
        transform.apply(&NoParams, &statistics, &mut Window::new(&mut values, 2, grid, ([0; 3], [1, 1, 2])));
        assert_eq!(values, [7.0, 9.0, 0.0, 1.0]);
    }

    #[test]
    fn a_given_source_range_does_not_cut() {
        let values = rescaled("{to: [0, 1], from: [-1000, 1000]}", &[-2000.0, 3000.0]);
        assert_eq!(values, [-0.5, 2.0]);
    }

    #[test]
    fn voxels_that_are_not_finite_are_an_error() {
        let transform: RescaleIntensity = serde_yaml::from_str("percentiles: [0.5, 99.5]").unwrap();
        let error =
            transform.statistics(&NoParams, &WholeVolume::single_row(&[1.0, f32::NAN, 2.0])).unwrap_err().to_string();
        assert!(error.contains("1 voxels are not finite"), "{error}");
    }

    #[test]
    fn an_empty_range_is_an_error() {
        let error = |yaml: &str, values: &[f32]| {
            let transform: RescaleIntensity = serde_yaml::from_str(yaml).unwrap();
            transform.statistics(&NoParams, &WholeVolume::single_row(values)).unwrap_err().to_string()
        };
        assert!(error("{}", &[3.0; 4]).contains("every intensity is 3"));
        let mut mostly_empty = [0.0; 100];
        mostly_empty[99] = 7.0;
        let error = error("percentiles: [1, 90]", &mostly_empty);
        assert!(error.contains("percentiles 1 and 90 are both 0"), "{error}");
    }
}
