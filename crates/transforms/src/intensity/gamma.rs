//! Random gamma correction.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::channels::{certain, is_certain, is_random, sample_factor, sample_per_channel, validate_per_channel};
use crate::statistics::moments::{Sums, moments};
use crate::validation::{ITSELF, keys_where, require, within};
use crate::{Component, Incoming, IntensityTransform, KeyProblem, VolumeStatistics, Window};
use random::Rng;
use simd::math::{range_pow, signed_pow};
use simd::vectorized;
use values::{Probability, Range};
use volume::Grid;

/// Gamma correction: raises magnitudes of intensities to a random power and preserves signs, as TorchIO's RandomGamma. With
/// `exponent` it is nnU-Net's GammaTransform.
///
/// ```yaml
/// - gamma: { log_gamma: [-0.3, 0.3] }
/// - gamma: { exponent: [0.7, 1.5], keep_mean_and_std: true } # as in nnU-Net
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gamma {
    /// Range of the natural logarithm of the exponent, such as `[-0.3, 0.3]`; 0 leaves the image unchanged. Either this or
    /// `exponent` is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_gamma: Option<Range>,
    /// Range of the exponent, such as `[0.7, 1.5]`; 1 leaves the image unchanged. The channel is mapped linearly to the range
    /// from 0 to 1, raised to the power, and mapped back to its old range. If the range contains 1, half of the exponents are
    /// sampled uniformly below 1 and half above 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exponent: Option<Range>,
    /// If true, intensities are inverted before the correction, and inverted back after it; default false. Only with
    /// `exponent`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub invert: bool,
    /// If true, the corrected channel is scaled and shifted so that it keeps its mean and standard deviation; default false. Only
    /// with `exponent`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_mean_and_std: bool,
    /// Probability that a channel is changed; `1` (default) changes every channel. Only with `exponent`.
    #[serde(default = "certain", skip_serializing_if = "is_certain")]
    pub channel_probability: Probability,
}

/// Larger exponents make every intensity 0, 1 or infinite.
const MAX_LOG_GAMMA: f64 = 10.0;

/// Exponents, the logarithms of which are limited in the same way.
const EXPONENTS: [f64; 2] = [1e-4, 1e4];

/// Smaller ranges and standard deviations are not divided by, as in nnU-Net.
const MIN_DIVISOR: f32 = 1e-7;

/// Values that are corrected while they are in the cache of the processor.
const BLOCK: usize = 1 << 12;

/// The exponent of each channel; `None` if it is unchanged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GammaParams(pub Vec<Option<f32>>);

impl Component for Gamma {
    type Params = GammaParams;

    fn aliases() -> &'static [&'static str] {
        &["RandomGamma", "RandAdjustContrast", "AdjustContrast", "GammaTransform"]
    }

    fn sample_params(&self, rng: &mut Rng, incoming: &Incoming) -> GammaParams {
        let channels = incoming.channels;
        GammaParams(match (self.exponent, self.log_gamma) {
            (Some(range), _) => {
                let exponent = |rng: &mut Rng| sample_factor(rng, range) as f32;
                sample_per_channel(rng, channels, self.channel_probability, exponent)
            }
            (None, range) => {
                let range = range.unwrap_or(Range::fixed(0.0));
                (0..channels).map(|_| Some(rng.uniform(range).exp() as f32)).collect()
            }
        })
    }

    fn symmetric_ranges(&self) -> &'static [(&'static str, f64)] {
        &[("log_gamma", 0.0), ("exponent", 1.0)]
    }

    fn random_keys(&self) -> Vec<&'static str> {
        let is_applied = self.channel_probability.get() > 0.0;
        keys_where(&[
            ("log_gamma", self.log_gamma.is_some_and(|range| !range.is_fixed())),
            ("exponent", is_applied && self.exponent.is_some_and(|range| !range.is_fixed())),
            ("channel_probability", is_random(self.channel_probability)),
        ])
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let problem = match (self.log_gamma, self.exponent) {
            (None, None) => {
                let neither = KeyProblem::new(ITSELF, "expected `log_gamma` or `exponent`, got neither");
                Some(neither.help("write log_gamma: [-0.3, 0.3] as in TorchIO, or exponent: [0.7, 1.5] as in nnU-Net"))
            }
            (Some(_), Some(_)) => {
                Some(KeyProblem::new("exponent", "expected either `log_gamma` or `exponent`, got both"))
            }
            (Some(Range { low, high }), None) => {
                require(low >= -MAX_LOG_GAMMA && high <= MAX_LOG_GAMMA, "log_gamma", || {
                    format!(
                        "expected a log_gamma from -{MAX_LOG_GAMMA} to {MAX_LOG_GAMMA}, got [{low}, {high}]: it is the logarithm of the exponent"
                    )
                })
            }
            (None, Some(Range { low, high })) => {
                require(low >= EXPONENTS[0] && high <= EXPONENTS[1], "exponent", || {
                    format!("expected exponents from {} to {}, got [{low}, {high}]", EXPONENTS[0], EXPONENTS[1])
                })
            }
        };
        let without = |is_given: bool, key: &'static str| {
            require(!is_given || self.exponent.is_some(), key, || format!("`{key}` requires `exponent`"))
        };
        let ignored = [
            without(self.invert, "invert"),
            without(self.keep_mean_and_std, "keep_mean_and_std"),
            without(!is_certain(&self.channel_probability), "channel_probability"),
        ];
        problem.into_iter().chain(ignored.into_iter().flatten()).collect()
    }

    fn validate_params(&self, params: &Self::Params, incoming: &Incoming) -> Result<(), String> {
        validate_per_channel("exponents", &params.0, incoming.channels, |exponent| match self.exponent {
            Some(_) => within("exponents", &[f64::from(*exponent)], EXPONENTS),
            None => Ok(()),
        })
    }
}

impl IntensityTransform for Gamma {
    fn is_identity(&self, params: &GammaParams) -> bool {
        params.0.iter().all(Option::is_none)
    }

    // The moments of the corrected channel are known only after all of it is corrected.
    fn halo(&self, _: &GammaParams, _: &Grid) -> [usize; 3] {
        [if self.needs_whole_volume() { usize::MAX } else { 0 }; 3]
    }

    fn needs_whole_volume(&self) -> bool {
        self.exponent.is_some()
    }

    fn apply(&self, params: &GammaParams, _: &VolumeStatistics, window: &mut Window) {
        for (channel, exponent) in params.0.iter().enumerate() {
            let Some(exponent) = *exponent else { continue };
            if self.exponent.is_some() {
                self.correct_range(window.channel_mut(channel), exponent);
            } else if exponent != 1.0 {
                signed_pow(window.channel_mut(channel), exponent);
            }
        }
    }
}

impl Gamma {
    /// Corrects a whole channel as nnU-Net does.
    fn correct_range(&self, values: &mut [f32], exponent: f32) {
        let old = moments(values);
        let range = old.high - old.low;
        let (sign, low) = if self.invert { (-1.0, -old.high) } else { (1.0, old.low) };
        let mean = sign * old.mean as f32;
        let mut corrected = Sums::new(mean);
        for block in values.chunks_mut(BLOCK) {
            range_pow(block, sign, low, range.max(MIN_DIVISOR), range, exponent);
            if self.keep_mean_and_std {
                corrected.add(block);
            }
        }
        let new = corrected.moments();
        if self.keep_mean_and_std {
            let (shift, scale) = (new.mean as f32, old.deviation as f32 / (new.deviation as f32).max(MIN_DIVISOR));
            rescale(values, shift, scale, mean, sign);
        } else if self.invert {
            values.iter_mut().for_each(|value| *value = -*value);
        }
    }
}

vectorized! {
    /// Computes `((x - shift) * scale + mean) * sign` in place.
    fn rescale(values: &mut [f32], shift: f32, scale: f32, mean: f32, sign: f32) {
        values.iter_mut().for_each(|value| *value = ((*value - shift) * scale + mean) * sign);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(exponent: f32) -> [f32; 3] {
        let mut values = [-4.0, 0.0, 9.0];
        let spec: Gamma = serde_yaml::from_str("log_gamma: 0").unwrap();
        spec.apply(&GammaParams(vec![Some(exponent)]), VolumeStatistics::none(), &mut Window::single_row(&mut values));
        values
    }

    #[test]
    fn zero_log_gamma_changes_nothing() {
        assert_eq!(changed(0.0f32.exp()), [-4.0, 0.0, 9.0]);
    }

    #[test]
    fn a_root_preserves_the_sign() {
        let result = changed(0.5);
        assert!(result.iter().zip([-2.0, 0.0, 3.0]).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{result:?}");
    }

    #[test]
    fn the_range_or_the_mean_and_the_deviation_are_kept() {
        let corrected = |yaml: &str| {
            let mut values: Vec<f32> = (0..5000).map(|i| (i as f32 * 0.3).sin() * 2.0 + 1.0).collect();
            let spec: Gamma = serde_yaml::from_str(yaml).unwrap();
            spec.apply(&GammaParams(vec![Some(1.4)]), VolumeStatistics::none(), &mut Window::single_row(&mut values));
            moments(&values)
        };
        let old = corrected("{exponent: [0.7, 1.5], channel_probability: 0}");
        let identity = moments(&(0..5000).map(|i| (i as f32 * 0.3).sin() * 2.0 + 1.0).collect::<Vec<f32>>());
        assert!((old.low - identity.low).abs() < 1e-5 && (old.high - identity.high).abs() < 1e-5);
        assert!(old.mean < identity.mean - 0.1);
        for yaml in
            ["{exponent: 1.4, keep_mean_and_std: true}", "{exponent: 1.4, keep_mean_and_std: true, invert: true}"]
        {
            let kept = corrected(yaml);
            assert!((kept.mean - identity.mean).abs() < 1e-5 && (kept.deviation - identity.deviation).abs() < 1e-5);
        }
        assert!(corrected("{exponent: 1.4, invert: true}").mean > identity.mean + 0.1);
    }

    #[test]
    fn a_constant_channel_is_unchanged() {
        let mut values = [3.0f32; 7];
        let spec: Gamma = serde_yaml::from_str("{exponent: 1.4, keep_mean_and_std: true}").unwrap();
        spec.apply(&GammaParams(vec![Some(1.4)]), VolumeStatistics::none(), &mut Window::single_row(&mut values));
        assert_eq!(values, [3.0; 7]);
    }

    #[test]
    fn keys_that_would_be_ignored_are_problems() {
        let key = |yaml: &str| serde_yaml::from_str::<Gamma>(yaml).unwrap().validate().pop().map(|problem| problem.key);
        assert_eq!(key("{exponent: [0.7, 1.5], invert: true, keep_mean_and_std: true}"), None);
        assert_eq!(key("{}"), Some(ITSELF));
        assert_eq!(key("{log_gamma: 0, exponent: 1}"), Some("exponent"));
        assert_eq!(key("{log_gamma: 0, invert: true}"), Some("invert"));
        assert_eq!(key("exponent: [0, 1]"), Some("exponent"));
    }
}
