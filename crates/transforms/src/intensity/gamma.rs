//! Contrast change by a random power.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Incoming, IntensityTransform, VolumeStatistics, Window};
use random::Rng;
use simd::math::signed_pow;
use values::Range;

/// Raises intensities to a random power, keeping their sign.
///
/// ```yaml
/// - gamma: { log_gamma: [-0.3, 0.3] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gamma {
    /// Natural logarithm of the exponent; 0 leaves the image as it is.
    pub log_gamma: Range,
}

/// Larger ones make every intensity 0, 1 or infinite.
const LARGEST_LOG_GAMMA: f64 = 10.0;

impl Gamma {
    /// What its parameters say against each other.
    pub fn problem(&self) -> Option<String> {
        let Range { low, high } = self.log_gamma;
        let is_large = low < -LARGEST_LOG_GAMMA || high > LARGEST_LOG_GAMMA;
        is_large.then(|| {
            format!("expected a log_gamma from -{LARGEST_LOG_GAMMA} to {LARGEST_LOG_GAMMA}, got [{low}, {high}]: it is the logarithm of the exponent")
        })
    }
}

impl IntensityTransform for Gamma {
    /// The exponent of each channel.
    type Params = Vec<f32>;

    fn sample_params(&self, rng: &mut Rng, incoming: &Incoming) -> Vec<f32> {
        (0..incoming.channels).map(|_| rng.uniform(self.log_gamma).exp() as f32).collect()
    }

    fn apply(&self, exponents: &Vec<f32>, _: &VolumeStatistics, window: &mut Window) {
        for (channel, exponent) in exponents.iter().enumerate() {
            if *exponent != 1.0 {
                signed_pow(window.channel_mut(channel), *exponent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(exponent: f32) -> [f32; 3] {
        let mut values = [-4.0, 0.0, 9.0];
        let spec = Gamma { log_gamma: Range::fixed(0.0) };
        spec.apply(&vec![exponent], &VolumeStatistics::Nothing, &mut Window::of(&mut values));
        values
    }

    #[test]
    fn zero_log_gamma_changes_nothing() {
        assert_eq!(changed(0.0f32.exp()), [-4.0, 0.0, 9.0]);
    }

    #[test]
    fn a_root_keeps_the_sign() {
        let found = changed(0.5);
        assert!(found.iter().zip([-2.0, 0.0, 3.0]).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{found:?}");
    }
}
