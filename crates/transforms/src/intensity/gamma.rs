//! Random gamma correction.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validation::{keys_where, require, same_count};
use crate::{Component, Incoming, IntensityTransform, KeyProblem, VolumeStatistics, Window};
use random::Rng;
use simd::math::signed_pow;
use values::Range;

/// Gamma correction: raises magnitudes of intensities to a random power and preserves signs, as TorchIO's RandomGamma.
///
/// ```yaml
/// - gamma: { log_gamma: [-0.3, 0.3] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gamma {
    /// Range of the natural logarithm of the exponent, such as `[-0.3, 0.3]`; 0 leaves the image unchanged.
    pub log_gamma: Range,
}

/// Larger exponents make every intensity 0, 1 or infinite.
const MAX_LOG_GAMMA: f64 = 10.0;

/// The exponent of each channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GammaParams(pub Vec<f32>);

impl Component for Gamma {
    type Params = GammaParams;

    fn aliases() -> &'static [&'static str] {
        &["RandomGamma", "RandAdjustContrast", "AdjustContrast", "GammaTransform"]
    }

    fn sample_params(&self, rng: &mut Rng, incoming: &Incoming) -> GammaParams {
        GammaParams((0..incoming.channels).map(|_| rng.uniform(self.log_gamma).exp() as f32).collect())
    }

    fn symmetric_ranges(&self) -> &'static [(&'static str, f64)] {
        &[("log_gamma", 0.0)]
    }

    fn random_keys(&self) -> Vec<&'static str> {
        keys_where(&[("log_gamma", !self.log_gamma.is_fixed())])
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let Range { low, high } = self.log_gamma;
        let message = || {
            format!(
                "expected a log_gamma from -{MAX_LOG_GAMMA} to {MAX_LOG_GAMMA}, got [{low}, {high}]: it is the logarithm of the exponent"
            )
        };
        require(low >= -MAX_LOG_GAMMA && high <= MAX_LOG_GAMMA, "log_gamma", message).into_iter().collect()
    }

    fn validate_params(&self, params: &Self::Params, incoming: &Incoming) -> Result<(), String> {
        same_count("exponents", params.0.len(), incoming.channels)
    }
}

impl IntensityTransform for Gamma {
    fn apply(&self, params: &GammaParams, _: &VolumeStatistics, window: &mut Window) {
        for (channel, exponent) in params.0.iter().enumerate() {
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
        spec.apply(&GammaParams(vec![exponent]), VolumeStatistics::none(), &mut Window::single_row(&mut values));
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
}
