//! Normalization by the foreground of a dataset, as in nnU-Net.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::channels;
use crate::erasure::Registered;
use crate::statistics::descriptive;
use crate::validation::{require, same_count};
use crate::{
    Component, FittedTransform, Incoming, IntensityTransform, KeyProblem, TransformError, VolumeStatistics,
    WholeVolume, Window,
};
use random::Rng;
use values::Percentile;

/// Clips intensities at percentiles of the dataset's foreground, subtracts its mean and divides by its standard deviation:
/// nnU-Net's normalization for CT.
///
/// The foreground is the voxels with a label above 0. Its statistics are computed once, from the training subjects, each
/// with the same weight, and stored in the cache and the run folder.
///
/// ```yaml
/// - foreground_normalize: { percentiles: [0.5, 99.5] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForegroundNormalize {
    /// Percentiles of the foreground, from 0 to 100, at which intensities are clipped; default `[0.5, 99.5]`.
    #[serde(default = "nnunet_percentiles")]
    pub percentiles: [Percentile; 2],
    /// Statistics of each channel that is changed, `{ low, high, mean, std }`; `null` (default) computes them from the training
    /// subjects.
    #[serde(default)]
    pub statistics: Option<Vec<ForegroundStatistics>>,
    /// Channels that the step changes, counted from 0, such as `[0, 2]`; the others keep their intensities. `null` (default) is
    /// all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<usize>>,
}

fn nnunet_percentiles() -> [Percentile; 2] {
    [0.5, 99.5].map(|value| Percentile::new(value).expect("0.5 and 99.5 are percentiles"))
}

/// Statistics of the foreground of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForegroundStatistics {
    /// Lower limit of clipping, for example -17.
    pub low: f64,
    /// Upper limit of clipping, for example 201.
    pub high: f64,
    /// Mean that is subtracted, for example 99.4.
    pub mean: f64,
    /// Standard deviation that is divided by, for example 39.4.
    pub std: f64,
}

/// The statistics of each channel; `None` before fitting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ForegroundNormalizeParams(pub Option<Vec<ForegroundStatistics>>);

/// Number of evenly spaced quantiles that represent a subject, so that all subjects have the same weight; nnU-Net samples
/// the same number of voxels at random.
const QUANTILES: usize = 20_000;

/// Minimum divisor, as in nnU-Net.
const MIN_DEVIATION: f64 = 1e-8;

impl Component for ForegroundNormalize {
    type Params = ForegroundNormalizeParams;

    fn aliases() -> &'static [&'static str] {
        &["CTNormalization"]
    }

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> ForegroundNormalizeParams {
        ForegroundNormalizeParams(self.statistics.clone())
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let [low, high] = self.percentiles.map(Percentile::get);
        let statistics = || self.statistics.iter().flatten();
        let percentiles =
            require(low < high, "percentiles", || format!("expected [low, high] with low < high, got [{low}, {high}]"));
        let deviation = statistics().find(|given| given.std.is_nan() || given.std <= 0.0).map(|given| {
            KeyProblem::new("statistics", format!("expected a standard deviation above 0, got {}", given.std))
        });
        let bounds = statistics().find(|given| given.low >= given.high).map(|given| {
            KeyProblem::new("statistics", format!("expected low below high, got {} and {}", given.low, given.high))
        });
        let channels = channels::validate_channels(&self.channels);
        [percentiles, deviation, bounds, channels].into_iter().flatten().collect()
    }

    fn validate_params(&self, params: &Self::Params, incoming: &Incoming) -> Result<(), String> {
        let changed = channels::changed(&self.channels, incoming.channels);
        same_count("channels", params.0.as_ref().map_or(0, Vec::len), changed.len())
    }

    fn check_incoming(&self, incoming: &Incoming) -> Result<(), KeyProblem> {
        channels::check_channels(&self.channels, incoming.channels)
    }
}

impl IntensityTransform for ForegroundNormalize {
    fn normalizes(&self) -> bool {
        true
    }

    fn needs_statistics(&self) -> bool {
        // `statistics` checks the number of channels, since `apply` cannot return an error.
        true
    }

    fn statistics(
        &self,
        foreground: &ForegroundNormalizeParams,
        whole: &WholeVolume,
    ) -> Result<VolumeStatistics, TransformError> {
        let changed = channels::changed(&self.channels, whole.channels().count());
        let (given, channels) = (foreground.channels().len(), changed.len());
        let reason = format!("expected statistics for each of {channels} channels, got {given}");
        if given == channels {
            Ok(VolumeStatistics::default())
        } else {
            Err(TransformError { name: Self::NAME, reason })
        }
    }

    fn apply(&self, foreground: &ForegroundNormalizeParams, _: &VolumeStatistics, window: &mut Window) {
        let changed = channels::changed(&self.channels, window.channels);
        for (channel, numbers) in changed.into_iter().zip(foreground.channels()) {
            let (low, high) = (numbers.low as f32, numbers.high as f32);
            let (mean, deviation) = (numbers.mean as f32, numbers.std.max(MIN_DEVIATION) as f32);
            window.map_channel(channel, |value| (value.max(low).min(high) - mean) / deviation);
        }
    }

    fn fitted(&self) -> Option<&dyn FittedTransform<Params = ForegroundNormalizeParams>> {
        Some(self)
    }
}

impl ForegroundNormalizeParams {
    fn channels(&self) -> &[ForegroundStatistics] {
        self.0.as_ref().expect("the transform is fitted before a volume is normalized")
    }
}

impl FittedTransform for ForegroundNormalize {
    fn needs_fit(&self) -> bool {
        self.statistics.is_none()
    }

    fn is_fitted(&self, params: &ForegroundNormalizeParams) -> bool {
        params.0.is_some()
    }

    fn observe(&self, whole: &WholeVolume) -> Result<Vec<Vec<f32>>, TransformError> {
        let label = whole.label.ok_or_else(|| TransformError {
            name: Self::NAME,
            reason: "a subject without a label map has no foreground".to_owned(),
        })?;
        let quantiles = |values: &[f32]| -> Vec<f32> {
            let mut foreground: Vec<f32> =
                values.iter().zip(label).filter(|(_, label)| **label > 0).map(|(value, _)| *value).collect();
            foreground.sort_unstable_by(f32::total_cmp);
            let count = foreground.len();
            // The centres of equal parts of the sorted foreground.
            let position = |index: usize| (2 * index + 1) * count / (2 * QUANTILES);
            (0..if count == 0 { 0 } else { QUANTILES }).map(|index| foreground[position(index)]).collect()
        };
        let changed = channels::changed(&self.channels, whole.channels().count());
        Ok(changed.into_iter().map(|channel| quantiles(whole.channel(channel))).collect())
    }

    fn fit(&self, observations: &[Vec<Vec<f32>>]) -> Result<ForegroundNormalizeParams, TransformError> {
        let channels = observations.first().map_or(0, Vec::len);
        let fit_channel = |channel: usize| {
            let values: Vec<f32> = observations.iter().flat_map(|subject| subject[channel].iter().copied()).collect();
            if values.is_empty() {
                let reason = "no training subject has a voxel above label 0".to_owned();
                return Err(TransformError { name: Self::NAME, reason });
            }
            let [low, high] = descriptive::percentiles(&values, self.percentiles.map(Percentile::get)).map(f64::from);
            let count = values.len() as f64;
            let (mean, deviation) = descriptive::mean_and_deviation(&values);
            // nnU-Net divides by n, not n - 1.
            Ok(ForegroundStatistics { low, high, mean, std: deviation * ((count - 1.0) / count).sqrt() })
        };
        Ok(ForegroundNormalizeParams(Some((0..channels).map(fit_channel).collect::<Result<_, _>>()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::{Affine, Grid};

    fn spec() -> ForegroundNormalize {
        serde_yaml::from_str("percentiles: [0, 100]").unwrap()
    }

    fn fitted(subjects: &[(&[f32], &[u16])]) -> ForegroundStatistics {
        let sample = |(image, label): &(&[f32], &[u16])| {
            let grid = Grid { shape: [1, 1, image.len()], affine: Affine::IDENTITY };
            spec().observe(&WholeVolume { grid, image, label: Some(label) }).unwrap()
        };
        spec().fit(&subjects.iter().map(sample).collect::<Vec<_>>()).unwrap().0.unwrap()[0]
    }

    #[test]
    fn the_background_is_excluded_and_subjects_have_equal_weight() {
        let numbers =
            fitted(&[(&[1.0, 50.0, 3.0, 1.0, 3.0], &[1, 0, 2, 1, 1]), (&[8.0, 90.0], &[1, 0]), (&[7.0], &[0])]);
        assert_eq!((numbers.low, numbers.high), (1.0, 8.0));
        assert!((numbers.mean - 5.0).abs() < 1e-9, "{numbers:?}");
        // The deviation of 1, 3, 8 and 8 from their mean 5.
        assert!((numbers.std - ((16.0 + 4.0 + 9.0 + 9.0f64) / 4.0).sqrt()).abs() < 1e-6, "{numbers:?}");
    }

    #[test]
    fn values_are_clipped_centred_and_scaled() {
        let mut values = [-5.0, 1.0, 4.0, 90.0];
        let numbers =
            ForegroundNormalizeParams(Some(vec![ForegroundStatistics { low: 0.0, high: 9.0, mean: 1.0, std: 2.0 }]));
        spec().apply(&numbers, VolumeStatistics::none(), &mut Window::single_row(&mut values));
        assert_eq!(values, [-0.5, 0.0, 1.5, 4.0]);
    }

    #[test]
    fn other_channels_are_neither_measured_nor_changed() {
        let spec: ForegroundNormalize = serde_yaml::from_str("{ percentiles: [0, 100], channels: [1] }").unwrap();
        let grid = Grid { shape: [1, 1, 2], affine: Affine::IDENTITY };
        let mut values = [7.0, 9.0, 10.0, 30.0];
        let whole = WholeVolume { grid, image: &values, label: Some(&[1, 1]) };
        let sample = spec.observe(&whole).unwrap();
        assert_eq!(sample.len(), 1);
        let params = spec.fit(&[sample]).unwrap();
        let statistics = spec.statistics(&params, &whole).unwrap();
        spec.apply(&params, &statistics, &mut Window::new(&mut values, 2, grid, ([0; 3], [1, 1, 2])));
        assert_eq!((values[0], values[1]), (7.0, 9.0));
        assert!((values[2] + 1.0).abs() < 1e-5 && (values[3] - 1.0).abs() < 1e-5, "{values:?}");
        let incoming = Incoming { grid, channels: 1 };
        assert_eq!(spec.check_incoming(&incoming).unwrap_err().key, "channels");
        assert!(spec.validate_params(&params, &Incoming { channels: 3, ..incoming }).is_ok());
    }

    #[test]
    fn an_empty_foreground_is_an_error() {
        assert!(spec().fit(&[vec![Vec::new()]]).is_err());
    }
}
