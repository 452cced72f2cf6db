//! Random Gaussian blur.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::filters::separable::{self, Mirror};
use crate::validation::{keys_where, require, within};
use crate::{Component, Incoming, IntensityTransform, KeyProblem, VolumeStatistics, Window};
use random::Rng;
use values::{AxisRanges, Range};
use volume::Grid;

/// Blurs the image with a Gaussian filter, as TorchIO's RandomBlur and SciPy: truncated at four standard deviations,
/// with the volume mirrored at its borders.
///
/// ```yaml
/// - blur: { std_mm: [0, 2] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Blur {
    /// Range of the standard deviation along x, y and z in millimetres, default `[0, 2]`.
    #[serde(default = "up_to_two")]
    pub std_mm: AxisRanges,
}

fn up_to_two() -> AxisRanges {
    AxisRanges::same(Range { low: 0.0, high: 2.0 })
}

/// The sampled standard deviations along x, y and z in millimetres.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlurParams(pub [f64; 3]);

/// Maximum standard deviation in millimetres.
const MAX_MM: f64 = 1000.0;

/// The radius of the filter in standard deviations.
const TRUNCATE: f64 = 4.0;

impl Component for Blur {
    type Params = BlurParams;

    fn sample_params(&self, rng: &mut Rng, _: &Incoming) -> BlurParams {
        BlurParams(self.std_mm.0.map(|range| rng.uniform(range)))
    }

    fn random_keys(&self) -> Vec<&'static str> {
        keys_where(&[("std_mm", !self.std_mm.is_fixed())])
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let low = self.std_mm.0.iter().map(|range| range.low).fold(f64::INFINITY, f64::min);
        let high = self.std_mm.0.iter().map(|range| range.high).fold(0.0, f64::max);
        let too_wide = require(high <= MAX_MM, "std_mm", || {
            format!("expected a standard deviation of at most {MAX_MM} mm, got {high}")
        });
        let negative =
            require(low >= 0.0, "std_mm", || format!("expected a standard deviation of at least 0, got {low}"));
        too_wide.into_iter().chain(negative).collect()
    }

    fn validate_params(&self, params: &Self::Params, _: &Incoming) -> Result<(), String> {
        within("the standard deviations", &params.0, [0.0, MAX_MM])
    }
}

impl IntensityTransform for Blur {
    fn halo(&self, params: &BlurParams, grid: &Grid) -> [usize; 3] {
        let spacing = grid.spacing();
        std::array::from_fn(|axis| radius(params.0[axis] / spacing[axis]))
    }

    fn apply(&self, params: &BlurParams, _: &VolumeStatistics, window: &mut Window) {
        let spacing = window.grid.spacing();
        for (axis, (std_mm, spacing)) in params.0.into_iter().zip(spacing).enumerate() {
            let sigma = std_mm / spacing;
            // SciPy skips such axes.
            if sigma > 1e-15 {
                separable::symmetric(window, axis, &weights(sigma), Mirror::Edge);
            }
        }
    }
}

fn radius(sigma: f64) -> usize {
    (TRUNCATE * sigma + 0.5) as usize
}

/// Returns the weight of the centre, then those of the neighbours on either side.
fn weights(sigma: f64) -> Vec<f64> {
    let raw: Vec<f64> = (0..=radius(sigma)).map(|x| (-0.5 / (sigma * sigma) * (x * x) as f64).exp()).collect();
    let sum = raw[0] + 2.0 * raw[1..].iter().sum::<f64>();
    raw.into_iter().map(|weight| weight / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blurred(values: &[f32], std_mm: f64) -> Vec<f32> {
        let mut values = values.to_vec();
        let spec = Blur { std_mm: up_to_two() };
        spec.apply(&BlurParams([0.0, 0.0, std_mm]), VolumeStatistics::none(), &mut Window::single_row(&mut values));
        values
    }

    #[test]
    fn a_deviation_of_zero_changes_nothing() {
        assert_eq!(blurred(&[1.0, 5.0, 2.0], 0.0), [1.0, 5.0, 2.0]);
    }

    #[test]
    fn a_row_is_blurred_as_in_scipy() {
        // scipy.ndimage.gaussian_filter(numpy.float32([0, 0, 8, 0, 1]), 0.8)
        let expected = [0.178_808_47, 1.826_926_5, 4.011_762_6, 2.076_706_6, 0.905_795_6];
        let result = blurred(&[0.0, 0.0, 8.0, 0.0, 1.0], 0.8);
        for (result, expected) in result.iter().zip(expected) {
            assert!((result - expected).abs() < 1e-5, "{result} {expected}");
        }
    }
}
