//! Random Gaussian blur.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::filters::separable::{self, Mirror};
use crate::validation::{keys_where, require, within};
use crate::{Component, Incoming, IntensityTransform, KeyProblem, VolumeStatistics, Window};
use random::Rng;
use values::{AxisRanges, Range, format_number};
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

/// Maximum standard deviation in voxels: a wider filter takes minutes for one volume, and turns it into its mean.
const MAX_VOXELS: f64 = 1000.0;

/// Minimum standard deviation in voxels that causes a warning.
const MANY_VOXELS: f64 = 50.0;

/// The radius of the filter in standard deviations.
const TRUNCATE: f64 = 4.0;

impl Component for Blur {
    type Params = BlurParams;

    fn aliases() -> &'static [&'static str] {
        &["RandomBlur", "Blur", "RandGaussianSmooth", "GaussianSmooth", "GaussianBlurTransform"]
    }

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

    fn check_incoming(&self, incoming: &Incoming) -> Result<(), KeyProblem> {
        let (axis, voxels) = self.widest(&incoming.grid);
        if voxels <= MAX_VOXELS {
            return Ok(());
        }
        let message = format!("{}, expected at most {MAX_VOXELS}", self.in_voxels(&incoming.grid, axis));
        Err(KeyProblem::new("std_mm", message)
            .help("use a smaller standard deviation, or fix the spacing in the header: is it in millimetres?"))
    }

    fn warning(&self, incoming: &Grid) -> Option<String> {
        let (axis, voxels) = self.widest(incoming);
        let slow = || format!("{}, which is slow and blurs nearly everything away", self.in_voxels(incoming, axis));
        (voxels > MANY_VOXELS).then(slow)
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

impl Blur {
    /// Returns the axis along which the filter is widest, and its largest standard deviation in voxels.
    fn widest(&self, grid: &Grid) -> (usize, f64) {
        let spacing = grid.spacing();
        let along = |axis: usize| (axis, self.std_mm.0[axis].high / spacing[axis]);
        let [x, y, z] = [0, 1, 2].map(along);
        [y, z].into_iter().fold(x, |widest, other| if other.1 > widest.1 { other } else { widest })
    }

    /// Describes the width of the filter along an axis.
    fn in_voxels(&self, grid: &Grid, axis: usize) -> String {
        let (deviation, spacing) = (self.std_mm.0[axis].high, grid.spacing()[axis]);
        let [deviation_mm, spacing_mm, voxels] = [deviation, spacing, deviation / spacing].map(format_number);
        let letter = ["x", "y", "z"][axis];
        format!("a standard deviation of {deviation_mm} mm is {voxels} voxels of {spacing_mm} mm along {letter}")
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
    fn a_filter_of_many_voxels_causes_a_warning_and_of_thousands_a_problem() {
        let checked = |std_mm: f64, spacing: [f64; 3]| {
            let spec = Blur { std_mm: AxisRanges::same(Range::fixed(std_mm)) };
            let grid = Grid { shape: [24; 3], affine: volume::Affine::scale_and_shift(spacing, [0.0; 3]) };
            let problem = spec.check_incoming(&Incoming { grid, channels: 1 }).err().map(|problem| problem.message);
            (problem, spec.warning(&grid))
        };
        assert_eq!(checked(2.0, [1.0, 1.0, 0.04]), (None, None));
        let (problem, warning) = checked(2.0, [1.0, 0.02, 1.0]);
        assert_eq!(problem, None);
        assert!(warning.unwrap().starts_with("a standard deviation of 2 mm is 100 voxels of 0.02 mm along y"));
        // A header in metres that is read as millimetres.
        let (problem, _) = checked(2.0, [4e-4; 3]);
        let expected = "a standard deviation of 2 mm is 5000 voxels of 0.0004 mm along x, expected at most 1000";
        assert_eq!(problem.unwrap(), expected);
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
