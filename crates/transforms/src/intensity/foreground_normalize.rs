//! Intensities of a dataset's foreground.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::step::Registered;
use crate::validation::{require, same_count};
use crate::whole_volume::statistics;
use crate::{
    Component, FittedTransform, Incoming, IntensityTransform, KeyProblem, TransformError, VolumeStatistics,
    WholeVolume, Window,
};
use random::Rng;
use values::Percentile;

/// Cuts intensities at percentiles of the dataset's foreground, subtracts its mean and divides by its standard
/// deviation: nnU-Net's scheme for CT.
///
/// The numbers come from the training subjects alone; each counts the same, however many voxels above label 0 it has.
/// They are learnt once and kept with the cache and the run.
///
/// ```yaml
/// - foreground_normalize: { percentiles: [0.5, 99.5] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForegroundNormalize {
    /// The percentiles of the foreground at which intensities are cut.
    #[serde(default = "nnunets")]
    pub percentiles: [Percentile; 2],
    /// The numbers of each channel; `null` learns them from the training subjects.
    #[serde(default)]
    pub statistics: Option<Vec<ForegroundStatistics>>,
}

fn nnunets() -> [Percentile; 2] {
    [0.5, 99.5].map(|value| Percentile::new(value).expect("0.5 and 99.5 are percentiles"))
}

/// Numbers about the foreground of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForegroundStatistics {
    /// Where intensities are cut from below.
    pub low: f64,
    /// Where intensities are cut from above.
    pub high: f64,
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub std: f64,
}

/// The numbers of each channel, or `None` before they are learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ForegroundNormalizeParams(pub Option<Vec<ForegroundStatistics>>);

/// Intensities that a subject contributes: its quantiles at so many even places. So every subject counts the same, as
/// where nnU-Net draws the same number of voxels from each, and without the chance.
const QUANTILES: usize = 20_000;

/// nnU-Net divides by no less.
const SMALLEST_DEVIATION: f64 = 1e-8;

impl Component for ForegroundNormalize {
    type Params = ForegroundNormalizeParams;

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
        [percentiles, deviation, bounds].into_iter().flatten().collect()
    }

    fn validate_params(&self, params: &Self::Params, incoming: &Incoming) -> Result<(), String> {
        same_count("channels", params.0.as_ref().map_or(0, Vec::len), incoming.channels)
    }
}

impl IntensityTransform for ForegroundNormalize {
    fn needs_statistics(&self) -> bool {
        // That there are numbers for each channel is found out where an error can be told.
        true
    }

    fn statistics(
        &self,
        foreground: &ForegroundNormalizeParams,
        whole: &WholeVolume,
    ) -> Result<VolumeStatistics, TransformError> {
        let (given, channels) = (foreground.numbers().len(), whole.channels().count());
        let reason = format!("expected statistics for each of {channels} channels, got {given}");
        if given == channels {
            Ok(VolumeStatistics::default())
        } else {
            Err(TransformError { name: Self::NAME, reason })
        }
    }

    fn apply(&self, foreground: &ForegroundNormalizeParams, _: &VolumeStatistics, window: &mut Window) {
        for (channel, numbers) in foreground.numbers().iter().enumerate() {
            let (low, high) = (numbers.low as f32, numbers.high as f32);
            let (mean, deviation) = (numbers.mean as f32, numbers.std.max(SMALLEST_DEVIATION) as f32);
            window.map_channel(channel, |value| (value.max(low).min(high) - mean) / deviation);
        }
    }

    fn fitted(&self) -> Option<&dyn FittedTransform<Params = ForegroundNormalizeParams>> {
        Some(self)
    }
}

impl ForegroundNormalizeParams {
    fn numbers(&self) -> &[ForegroundStatistics] {
        self.0.as_ref().expect("statistics are learnt before a volume is normalised")
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
        let of_channel = |values: &[f32]| -> Vec<f32> {
            let mut inside: Vec<f32> =
                values.iter().zip(label).filter(|(_, label)| **label > 0).map(|(value, _)| *value).collect();
            inside.sort_unstable_by(f32::total_cmp);
            let count = inside.len();
            // The middles of equal shares of the foreground.
            let place = |index: usize| (2 * index + 1) * count / (2 * QUANTILES);
            (0..if count == 0 { 0 } else { QUANTILES }).map(|index| inside[place(index)]).collect()
        };
        Ok(whole.channels().map(of_channel).collect())
    }

    fn fit(&self, samples: &[Vec<Vec<f32>>]) -> Result<ForegroundNormalizeParams, TransformError> {
        let channels = samples.first().map_or(0, Vec::len);
        let of_channel = |channel: usize| {
            let values: Vec<f32> = samples.iter().flat_map(|sample| sample[channel].iter().copied()).collect();
            if values.is_empty() {
                let reason = "no training subject has a voxel above label 0".to_owned();
                return Err(TransformError { name: Self::NAME, reason });
            }
            let [low, high] = statistics::percentiles(&values, self.percentiles.map(Percentile::get)).map(f64::from);
            let count = values.len() as f64;
            let (mean, deviation) = statistics::mean_and_deviation(&values);
            // nnU-Net divides by the count, not by one less.
            Ok(ForegroundStatistics { low, high, mean, std: deviation * ((count - 1.0) / count).sqrt() })
        };
        Ok(ForegroundNormalizeParams(Some((0..channels).map(of_channel).collect::<Result<_, _>>()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::{Affine, Grid};

    fn spec() -> ForegroundNormalize {
        serde_yaml::from_str("percentiles: [0, 100]").unwrap()
    }

    fn learnt(subjects: &[(&[f32], &[u16])]) -> ForegroundStatistics {
        let sample = |(image, label): &(&[f32], &[u16])| {
            let grid = Grid { shape: [1, 1, image.len()], affine: Affine::IDENTITY };
            spec().observe(&WholeVolume { grid, image, label: Some(label) }).unwrap()
        };
        spec().fit(&subjects.iter().map(sample).collect::<Vec<_>>()).unwrap().0.unwrap()[0]
    }

    #[test]
    fn the_background_does_not_count_and_subjects_count_alike() {
        let numbers =
            learnt(&[(&[1.0, 50.0, 3.0, 1.0, 3.0], &[1, 0, 2, 1, 1]), (&[8.0, 90.0], &[1, 0]), (&[7.0], &[0])]);
        assert_eq!((numbers.low, numbers.high), (1.0, 8.0));
        assert!((numbers.mean - 5.0).abs() < 1e-9, "{numbers:?}");
        // Of 1, 3 and twice 8, about 5.
        assert!((numbers.std - ((16.0 + 4.0 + 9.0 + 9.0f64) / 4.0).sqrt()).abs() < 1e-6, "{numbers:?}");
    }

    #[test]
    fn values_are_cut_centred_and_scaled() {
        let mut values = [-5.0, 1.0, 4.0, 90.0];
        let numbers =
            ForegroundNormalizeParams(Some(vec![ForegroundStatistics { low: 0.0, high: 9.0, mean: 1.0, std: 2.0 }]));
        spec().apply(&numbers, VolumeStatistics::none(), &mut Window::of(&mut values));
        assert_eq!(values, [-0.5, 0.0, 1.5, 4.0]);
    }

    #[test]
    fn no_foreground_at_all_is_an_error() {
        assert!(spec().fit(&[vec![Vec::new()]]).is_err());
    }
}
