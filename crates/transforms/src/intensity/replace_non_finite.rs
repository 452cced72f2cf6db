//! Replacement of values that are not finite.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::erasure::Registered;
use crate::statistics::descriptive;
use crate::{Component, Incoming, IntensityTransform, NoParams, TransformError, VolumeStatistics, WholeVolume, Window};
use random::Rng;
use values::number_or_word::NumberOrWord;
use values::written_as_number_or_word;

/// Replaces NaN and infinite intensities, which some tools write outside the field of view. Without this step, an image
/// that has such voxels is an error. It must be the first step of `preprocess`.
///
/// ```yaml
/// - replace_non_finite: { with: 0 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceNonFinite {
    /// The new intensity: a number, such as 0, or -1024 for CT; or the `minimum` (also `null`), `maximum`, `mean` or
    /// `median` of the finite voxels of the same channel.
    pub with: Replacement,
}

/// The intensity that replaces others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Replacement {
    /// A given one.
    Value(f32),
    /// The minimum of the channel's finite voxels.
    Minimum,
    /// Their maximum.
    Maximum,
    /// Their mean.
    Mean,
    /// Their median.
    Median,
}

impl NumberOrWord for Replacement {
    const MEANINGS: &'static [Self] = &[Self::Minimum, Self::Maximum, Self::Mean, Self::Median];
    const WORDS: &'static [&'static str] = &["minimum", "maximum", "mean", "median"];

    fn from_number(number: f32) -> Self {
        Self::Value(number)
    }

    fn number(&self) -> Option<f32> {
        if let Self::Value(value) = self { Some(*value) } else { None }
    }
}

written_as_number_or_word!(Replacement);

impl Replacement {
    /// Returns the intensity for a channel, given its finite values.
    fn of(self, finite: &[f32]) -> f32 {
        match self {
            Self::Value(value) => value,
            Self::Minimum => descriptive::extremes(finite)[0],
            Self::Maximum => descriptive::extremes(finite)[1],
            Self::Mean => descriptive::mean(finite),
            Self::Median => descriptive::median(finite),
        }
    }
}

impl Component for ReplaceNonFinite {
    type Params = NoParams;

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }
}

impl IntensityTransform for ReplaceNonFinite {
    fn accepts_not_finite(&self) -> bool {
        true
    }

    fn needs_statistics(&self) -> bool {
        self.with.number().is_none()
    }

    fn statistics(&self, _: &NoParams, whole: &WholeVolume) -> Result<VolumeStatistics, TransformError> {
        let replacement = |(channel, values): (usize, &[f32])| {
            let finite: Vec<f32> = values.iter().copied().filter(|value| value.is_finite()).collect();
            if finite.is_empty() {
                let reason =
                    format!("channel {channel} has no finite voxel, so there is no value to replace others with");
                return Err(TransformError { name: Self::NAME, reason });
            }
            Ok(self.with.of(&finite))
        };
        Ok(VolumeStatistics::new(whole.channels().enumerate().map(replacement).collect::<Result<Vec<f32>, _>>()?))
    }

    fn apply(&self, _: &NoParams, statistics: &VolumeStatistics, window: &mut Window) {
        for channel in 0..window.channels {
            let with = self.with.number().unwrap_or_else(|| statistics.get::<Vec<f32>>()[channel]);
            window.map_channel(channel, |value| if value.is_finite() { value } else { with });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::{Affine, Grid};

    fn replaced(yaml: &str, channels: usize, values: &[f32]) -> Result<Vec<f32>, TransformError> {
        let step: ReplaceNonFinite = serde_yaml::from_str(yaml).unwrap();
        let grid = Grid { shape: [1, 1, values.len() / channels], affine: Affine::IDENTITY };
        let statistics = step.statistics(&NoParams, &WholeVolume { grid, image: values, label: None })?;
        let mut values = values.to_vec();
        let mut window = Window::new(&mut values, channels, grid, ([0; 3], grid.shape));
        step.apply(&NoParams, &statistics, &mut window);
        Ok(values)
    }

    #[test]
    fn nan_and_infinities_are_replaced_by_a_number() {
        let values = [1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX];
        assert_eq!(replaced("with: -7", 1, &values).unwrap(), [1.0, -7.0, -7.0, -7.0, f32::MAX]);
    }

    #[test]
    fn statistics_are_those_of_the_finite_voxels_of_the_channel() {
        let values = [1.0, 2.0, 6.0, f32::NAN, -1.0, f32::INFINITY, -1.0, -4.0];
        for (word, expected) in
            [("minimum", [1.0, -4.0]), ("maximum", [6.0, -1.0]), ("mean", [3.0, -2.0]), ("median", [2.0, -1.0])]
        {
            let replaced = replaced(&format!("with: {word}"), 2, &values).unwrap();
            assert_eq!([replaced[3], replaced[5]], expected, "{word}");
        }
    }

    #[test]
    fn a_channel_without_finite_voxels_is_an_error() {
        let error = replaced("with: mean", 2, &[1.0, f32::NAN]).unwrap_err().to_string();
        assert!(error.contains("channel 1 has no finite voxel"), "{error}");
    }
}
