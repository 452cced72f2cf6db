//! Random Gaussian noise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validation::{keys_where, require, within};
use crate::{Component, Incoming, IntensityTransform, KeyProblem, VolumeStatistics, Window};
use random::{NoiseField, Rng};
use simd::vectorized;
use values::Range;

/// Adds Gaussian noise whose mean and standard deviation are sampled per patch, as TorchIO's RandomNoise.
///
/// ```yaml
/// - noise: { std: [0, 0.25] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// Range of the mean in units of intensity, default 0.
    #[serde(default = "zero")]
    pub mean: Range,
    /// Range of the standard deviation in units of intensity, such as `[0, 0.25]`.
    pub std: Range,
}

fn zero() -> Range {
    Range::fixed(0.0)
}

/// The sampled parameters of noise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoiseParams {
    /// The mean, in units of intensity.
    pub mean: f64,
    /// The standard deviation, in units of intensity.
    pub std: f64,
    /// The field of standard normal values.
    pub field: NoiseField,
}

/// Values that are changed while their noise is in the cache of the processor.
const BLOCK: usize = 1 << 11;

impl Component for Noise {
    type Params = NoiseParams;

    fn aliases() -> &'static [&'static str] {
        &["RandomNoise", "RandGaussianNoise", "GaussianNoiseTransform"]
    }

    fn sample_params(&self, rng: &mut Rng, _: &Incoming) -> NoiseParams {
        NoiseParams { mean: rng.uniform(self.mean), std: rng.uniform(self.std), field: NoiseField::sample(rng) }
    }

    fn symmetric_ranges(&self) -> &'static [(&'static str, f64)] {
        &[("mean", 0.0)]
    }

    fn random_keys(&self) -> Vec<&'static str> {
        let is_noisy = self.std != Range::fixed(0.0);
        keys_where(&[("std", is_noisy), ("mean", !is_noisy && !self.mean.is_fixed())])
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let message = || format!("expected a standard deviation of at least 0, got {}", self.std.low);
        require(self.std.low >= 0.0, "std", message).into_iter().collect()
    }

    fn validate_params(&self, params: &Self::Params, _: &Incoming) -> Result<(), String> {
        within("std", &[params.std], [0.0, f64::MAX])?;
        within("mean", &[params.mean], [f64::MIN, f64::MAX])
    }
}

impl IntensityTransform for Noise {
    fn apply(&self, params: &NoiseParams, _: &VolumeStatistics, window: &mut Window) {
        let (mean, std) = (params.mean as f32, params.std as f32);
        let mut normals = [0.0; BLOCK];
        window.for_each_run(BLOCK, |position, values| {
            params.field.normals(position, &mut normals[..values.len()]);
            add(values, &normals, mean, std);
        });
    }
}

vectorized! {
    /// Adds standard normal values after multiplication by a standard deviation, and a mean.
    fn add(values: &mut [f32], normals: &[f32], mean: f32, std: f32) {
        values.iter_mut().zip(normals).for_each(|(value, normal)| *value += mean + std * normal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noisy(params: NoiseParams) -> Vec<f32> {
        let mut values = vec![0.0; 10_000];
        let spec = Noise { mean: Range::fixed(0.0), std: Range::fixed(1.0) };
        spec.apply(&params, VolumeStatistics::none(), &mut Window::single_row(&mut values));
        values
    }

    #[test]
    fn a_deviation_of_zero_adds_the_mean() {
        let values = noisy(NoiseParams { mean: 2.0, std: 0.0, field: NoiseField(1) });
        assert!(values.iter().all(|v| *v == 2.0));
    }

    #[test]
    fn the_noise_has_the_sampled_deviation() {
        let values = noisy(NoiseParams { mean: 0.0, std: 3.0, field: NoiseField(1) });
        let variance = values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
        assert!((variance.sqrt() - 3.0).abs() < 0.1, "{variance}");
    }
}
