//! Histogram standardization.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::erasure::Registered;
use crate::statistics::descriptive;
use crate::validation::same_count;
use crate::{
    Component, FittedTransform, ITSELF, Incoming, IntensityTransform, KeyProblem, Region, TransformError,
    VolumeStatistics, WholeVolume, Window,
};
use random::Rng;

/// Maps intensities piecewise linearly so that the percentiles of every volume become the same landmarks, as TorchIO's
/// HistogramStandardization after Nyúl and Udupa.
///
/// The landmarks are the mean percentiles of the training subjects, each first mapped to 0 … 100. They are computed once
/// and stored in the cache and the run folder.
///
/// ```yaml
/// - histogram_standardization: { mask: { above_mean: {} } }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistogramStandardization {
    /// Region in which percentiles are computed, such as `{ above_mean: {} }`; `null` (default) is the whole volume. All
    /// voxels are mapped.
    #[serde(default)]
    pub mask: Option<Region>,
    /// Landmarks of each channel: 13 increasing numbers, for percentiles 1, 10, 20, 25, 30, 40, 50, 60, 70, 75, 80, 90 and
    /// 99. `null` (default) computes them from the training subjects.
    #[serde(default)]
    pub landmarks: Option<Vec<[f64; PERCENTILES.len()]>>,
}

/// The percentiles of the landmarks.
const PERCENTILES: [f64; 13] = [1.0, 10.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0, 70.0, 75.0, 80.0, 90.0, 99.0];

/// The indices of the knots of the map: as in TorchIO, quartiles 1 and 3 are not used.
const USED: [usize; 11] = [0, 1, 2, 4, 5, 6, 7, 8, 10, 11, 12];

/// The range to which the first and the last percentile of every training subject are mapped before averaging.
const STANDARD_RANGE: [f64; 2] = [0.0, 100.0];

/// Minimum distance between percentiles; the slope between closer ones is 0.
const MIN_WIDTH: f64 = 1e-5;

/// The landmarks of each channel; `None` before fitting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HistogramStandardizationParams(pub Option<Vec<[f64; PERCENTILES.len()]>>);

/// A piecewise linear map of intensities.
struct PiecewiseLinear {
    /// The inner knots, in rising order.
    knots: Vec<f64>,
    /// Slope and offset of each piece.
    pieces: Vec<[f64; 2]>,
}

impl Component for HistogramStandardization {
    type Params = HistogramStandardizationParams;

    fn aliases() -> &'static [&'static str] {
        &["HistogramStandardization", "HistogramNormalize"]
    }

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> HistogramStandardizationParams {
        HistogramStandardizationParams(self.landmarks.clone())
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let falls = |landmarks: &[f64; 13]| landmarks.windows(2).any(|pair| pair[0] > pair[1]);
        let falling = self.landmarks.iter().flatten().position(falls).map(|channel| {
            KeyProblem::new(
                "landmarks",
                format!("expected landmarks in rising order; those of channel {channel} are not"),
            )
        });
        falling.into_iter().collect()
    }

    fn validate_params(&self, params: &Self::Params, incoming: &Incoming) -> Result<(), String> {
        same_count("channels", params.0.as_ref().map_or(0, Vec::len), incoming.channels)
    }

    fn check_incoming(&self, incoming: &Incoming) -> Result<(), KeyProblem> {
        let given = self.landmarks.as_ref().map(Vec::len);
        match given.and_then(|given| missing_channels(given, incoming.channels)) {
            None => Ok(()),
            Some(message) => Err(KeyProblem::new(ITSELF, message)
                .help("give one list of 13 numbers per channel, or leave out `landmarks` to fit them")),
        }
    }

    fn region(&self) -> Option<&Region> {
        self.mask.as_ref()
    }
}

impl IntensityTransform for HistogramStandardization {
    fn normalizes(&self) -> bool {
        true
    }

    fn needs_statistics(&self) -> bool {
        true
    }

    fn statistics(
        &self,
        landmarks: &HistogramStandardizationParams,
        whole: &WholeVolume,
    ) -> Result<VolumeStatistics, TransformError> {
        let landmarks = landmarks.0.as_ref().expect("the transform is fitted before a volume is mapped");
        let percentiles = self.percentiles(whole)?;
        if let Some(reason) = missing_channels(landmarks.len(), percentiles.len()) {
            return Err(TransformError { name: Self::NAME, reason });
        }
        let maps = landmarks.iter().zip(&percentiles).map(|(to, from)| PiecewiseLinear::new(to, from));
        Ok(VolumeStatistics::new(maps.collect::<Vec<_>>()))
    }

    fn apply(&self, _: &HistogramStandardizationParams, statistics: &VolumeStatistics, window: &mut Window) {
        let channels: &Vec<PiecewiseLinear> = statistics.get();
        for (channel, map) in channels.iter().enumerate() {
            window.map_channel(channel, |value| map.apply(value));
        }
    }

    fn fitted(&self) -> Option<&dyn FittedTransform<Params = HistogramStandardizationParams>> {
        Some(self)
    }
}

impl FittedTransform for HistogramStandardization {
    fn needs_fit(&self) -> bool {
        self.landmarks.is_none()
    }

    fn is_fitted(&self, params: &HistogramStandardizationParams) -> bool {
        params.0.is_some()
    }

    fn observe(&self, whole: &WholeVolume) -> Result<Vec<Vec<f32>>, TransformError> {
        let percentiles = self.percentiles(whole)?;
        if let Some(flat) = percentiles.iter().find(|values| values[0] == values[PERCENTILES.len() - 1]) {
            let reason = format!("its percentiles 1 and 99 are both {}, so they cannot be mapped to a range", flat[0]);
            return Err(TransformError { name: Self::NAME, reason });
        }
        Ok(percentiles.into_iter().map(|values| values.into_iter().map(|value| value as f32).collect()).collect())
    }

    fn fit(&self, observations: &[Vec<Vec<f32>>]) -> Result<HistogramStandardizationParams, TransformError> {
        let channels = observations.first().map_or(0, Vec::len);
        Ok(HistogramStandardizationParams(Some(
            (0..channels).map(|channel| mean_landmarks(observations, channel)).collect(),
        )))
    }
}

impl HistogramStandardization {
    /// Returns the percentiles of each channel.
    fn percentiles(&self, whole: &WholeVolume) -> Result<Vec<Vec<f64>>, TransformError> {
        descriptive::require_finite(Self::NAME, whole.image)?;
        whole
            .channels()
            .map(|values| match &self.mask {
                None => Ok(descriptive::quantiles(values, &PERCENTILES)),
                Some(mask) => {
                    let channel = WholeVolume { image: values, ..*whole };
                    // Above the mean of the channel, but not zero in any channel.
                    let statistics = mask.statistics(if mask.is_of_all_channels() { whole } else { &channel });
                    let values = mask.values(Self::NAME, &channel, &statistics)?;
                    if values.is_empty() {
                        let reason = "its mask is empty, so there are no percentiles".to_owned();
                        return Err(TransformError { name: Self::NAME, reason });
                    }
                    Ok(descriptive::quantiles(&values, &PERCENTILES))
                }
            })
            .collect()
    }
}

/// Returns the mean percentiles of the training subjects on the standard range.
fn mean_landmarks(observations: &[Vec<Vec<f32>>], channel: usize) -> [f64; PERCENTILES.len()] {
    let [low, high] = STANDARD_RANGE;
    let mut mean = [0.0; PERCENTILES.len()];
    for subject in observations {
        let values = &subject[channel];
        let (first, last) = (f64::from(values[0]), f64::from(values[PERCENTILES.len() - 1]));
        let slope = (high - low) / (last - first);
        for (mean, value) in mean.iter_mut().zip(values) {
            *mean += (low + slope * (f64::from(*value) - first)) / observations.len() as f64;
        }
    }
    mean
}

impl PiecewiseLinear {
    /// Returns the map from the percentiles of a volume to the landmarks.
    fn new(landmarks: &[f64; PERCENTILES.len()], percentiles: &[f64]) -> Self {
        let pieces = USED.windows(2).map(|pair| {
            let width = percentiles[pair[1]] - percentiles[pair[0]];
            let slope = if width < MIN_WIDTH { 0.0 } else { (landmarks[pair[1]] - landmarks[pair[0]]) / width };
            [slope, landmarks[pair[0]] - slope * percentiles[pair[0]]]
        });
        let knots = USED[1..USED.len() - 1].iter().map(|index| percentiles[*index]).collect();
        Self { knots, pieces: pieces.collect() }
    }

    fn apply(&self, value: f32) -> f32 {
        let value = f64::from(value);
        let [slope, offset] = self.pieces[self.knots.partition_point(|knot| *knot <= value)];
        (slope * value + offset) as f32
    }
}

/// Returns an error message if the number of lists of landmarks is not the number of channels.
fn missing_channels(given: usize, channels: usize) -> Option<String> {
    (given != channels).then(|| format!("expected landmarks for each of {channels} channels, got {given}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> HistogramStandardization {
        serde_yaml::from_str("{}").unwrap()
    }

    #[test]
    fn percentiles_become_the_landmarks() {
        let mut values: Vec<f32> = (0..=100).map(|i| (i * i) as f32).collect();
        let landmarks = HistogramStandardizationParams(Some(vec![std::array::from_fn(|i| i as f64 * 10.0)]));
        let statistics = spec().statistics(&landmarks, &WholeVolume::single_row(&values)).unwrap();
        spec().apply(&landmarks, &statistics, &mut Window::single_row(&mut values));
        for (index, expected) in [(1, 0.0), (10, 10.0), (50, 60.0), (99, 120.0)] {
            assert!((values[index] - expected).abs() < 1e-3, "{index}: {}", values[index]);
        }
    }

    #[test]
    fn the_landmarks_of_one_subject_are_its_percentiles_on_the_standard_range() {
        let values: Vec<f32> = (0..=100).map(|i| i as f32).collect();
        let observation = spec().observe(&WholeVolume::single_row(&values)).unwrap();
        let landmarks = spec().fit(&[observation]).unwrap().0.unwrap();
        assert!((landmarks[0][0], landmarks[0][12]) == (0.0, 100.0));
        assert!((landmarks[0][6] - 50.0).abs() < 1e-9);
    }

    #[test]
    fn a_constant_volume_cannot_be_observed() {
        assert!(spec().observe(&WholeVolume::single_row(&[3.0; 9])).is_err());
    }
}
