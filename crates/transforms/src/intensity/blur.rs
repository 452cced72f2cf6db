//! Random Gaussian blur.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::channels::{certain, is_certain, is_random, sample_per_channel, validate_per_channel};
use crate::filters::separable::{self, Mirror};
use crate::filters::short::{self, Extent};
use crate::validation::{keys_where, require, within};
use crate::{Component, Incoming, IntensityTransform, KeyProblem, VolumeStatistics, Window};
use random::Rng;
use values::{AxisRanges, Probability, Range, format_number};
use volume::Grid;

/// Blurs the image with a Gaussian filter, as TorchIO's RandomBlur and SciPy: truncated at four standard deviations,
/// with the volume mirrored at its borders. With `std_voxels` it is nnU-Net's GaussianBlurTransform.
///
/// ```yaml
/// - blur: { std_mm: [0, 2] }
/// - blur: { std_voxels: [0.5, 1], channel_probability: 0.5 } # as in nnU-Net
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Blur {
    /// Range of the standard deviation along x, y and z in millimetres, default `[0, 2]`.
    #[serde(default = "up_to_two")]
    pub std_mm: AxisRanges,
    /// Range of the standard deviation along x, y and z in voxels, instead of `std_mm`, such as `[0.5, 1]`. Each channel has
    /// standard deviations of its own. The filter is nnU-Net's: its length is the odd number of voxels nearest to 6 standard
    /// deviations + 0.5, and the volume is mirrored at the centres of its outermost voxels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub std_voxels: Option<AxisRanges>,
    /// Probability that a channel is blurred; `1` (default) blurs every channel. Only with `std_voxels`.
    #[serde(default = "certain", skip_serializing_if = "is_certain")]
    pub channel_probability: Probability,
}

fn up_to_two() -> AxisRanges {
    AxisRanges::same(Range { low: 0.0, high: 2.0 })
}

/// The sampled standard deviations along x, y and z.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BlurParams {
    /// In millimetres, for all channels.
    Millimetres([f64; 3]),
    /// In voxels, for each channel; `None` if it is unchanged.
    Voxels(Vec<Option<[f64; 3]>>),
}

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

    fn sample_params(&self, rng: &mut Rng, incoming: &Incoming) -> BlurParams {
        match self.std_voxels {
            None => BlurParams::Millimetres(self.std_mm.0.map(|range| rng.uniform(range))),
            Some(ranges) => {
                let deviations = |rng: &mut Rng| ranges.0.map(|range| rng.uniform(range));
                BlurParams::Voxels(sample_per_channel(rng, incoming.channels, self.channel_probability, deviations))
            }
        }
    }

    fn random_keys(&self) -> Vec<&'static str> {
        match self.std_voxels {
            None => keys_where(&[("std_mm", !self.std_mm.is_fixed())]),
            Some(ranges) => keys_where(&[
                ("std_voxels", self.channel_probability.get() > 0.0 && !ranges.is_fixed()),
                ("channel_probability", is_random(self.channel_probability)),
            ]),
        }
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let Some(ranges) = self.std_voxels else {
            let alone = require(is_certain(&self.channel_probability), "channel_probability", || {
                "`channel_probability` requires `std_voxels`; with `std_mm` all channels are blurred alike".to_owned()
            });
            return validate_ranges("std_mm", "mm", &self.std_mm, MAX_MM).into_iter().chain(alone).collect();
        };
        let both = require(self.std_mm == up_to_two(), "std_mm", || {
            "expected either `std_mm` or `std_voxels`, got both".to_owned()
        });
        validate_ranges("std_voxels", "voxels", &ranges, MAX_VOXELS).into_iter().chain(both).collect()
    }

    fn validate_params(&self, params: &Self::Params, incoming: &Incoming) -> Result<(), String> {
        match (params, self.std_voxels.is_some()) {
            (BlurParams::Millimetres(deviations), false) => {
                within("the standard deviations", deviations, [0.0, MAX_MM])
            }
            (BlurParams::Voxels(deviations), true) => {
                validate_per_channel("standard deviations", deviations, incoming.channels, |deviations| {
                    within("the standard deviations", deviations, [0.0, MAX_VOXELS])
                })
            }
            (_, false) => Err("expected three standard deviations in millimetres, since `std_mm` is used".to_owned()),
            (_, true) => Err("expected standard deviations of each channel, since `std_voxels` is used".to_owned()),
        }
    }

    fn check_incoming(&self, incoming: &Incoming) -> Result<(), KeyProblem> {
        let (axis, voxels) = self.widest(&incoming.grid);
        if voxels <= MAX_VOXELS || self.std_voxels.is_some() {
            return Ok(());
        }
        let message = format!("{}, expected at most {MAX_VOXELS}", self.in_voxels(&incoming.grid, axis));
        Err(KeyProblem::new("std_mm", message)
            .help("use a smaller standard deviation, or fix the spacing in the header: is it in millimetres?"))
    }

    fn warning(&self, incoming: &Grid) -> Option<String> {
        if self.std_voxels.is_some() {
            return None;
        }
        let (axis, voxels) = self.widest(incoming);
        let slow = || format!("{}, which is slow and blurs nearly everything away", self.in_voxels(incoming, axis));
        (voxels > MANY_VOXELS).then(slow)
    }
}

impl IntensityTransform for Blur {
    fn is_identity(&self, params: &BlurParams) -> bool {
        matches!(params, BlurParams::Voxels(channels) if channels.iter().all(Option::is_none))
    }

    fn halo(&self, params: &BlurParams, grid: &Grid) -> [usize; 3] {
        match params {
            BlurParams::Millimetres(deviations) => {
                let spacing = grid.spacing();
                std::array::from_fn(|axis| radius(deviations[axis] / spacing[axis]))
            }
            BlurParams::Voxels(channels) => std::array::from_fn(|axis| {
                channels.iter().flatten().map(|deviations| short_radius(deviations[axis])).max().unwrap_or(0)
            }),
        }
    }

    fn apply(&self, params: &BlurParams, _: &VolumeStatistics, window: &mut Window) {
        match params {
            BlurParams::Millimetres(deviations) => {
                let spacing = window.grid.spacing();
                for (axis, (std_mm, spacing)) in deviations.iter().zip(spacing).enumerate() {
                    let sigma = std_mm / spacing;
                    // SciPy skips such axes.
                    if sigma > 1e-15 {
                        separable::symmetric(window, axis, &weights(sigma, radius(sigma)), Mirror::Edge);
                    }
                }
            }
            BlurParams::Voxels(channels) => {
                let extent = Extent { start: window.start, shape: window.shape, volume: window.grid.shape };
                for (channel, deviations) in channels.iter().enumerate() {
                    let Some(deviations) = deviations else { continue };
                    let taps = deviations.map(|sigma| {
                        let weights = weights(sigma, short_radius(sigma));
                        weights.into_iter().map(|weight| weight as f32).collect::<Vec<f32>>()
                    });
                    let [x, y, z] = &taps;
                    short::filter(window.channel_mut(channel), &extent, [x, y, z], Mirror::Centre);
                }
            }
        }
    }
}

/// Checks the standard deviations of a key.
fn validate_ranges(key: &'static str, unit: &str, ranges: &AxisRanges, max: f64) -> Vec<KeyProblem> {
    let low = ranges.0.iter().map(|range| range.low).fold(f64::INFINITY, f64::min);
    let high = ranges.0.iter().map(|range| range.high).fold(0.0, f64::max);
    let too_wide =
        require(high <= max, key, || format!("expected a standard deviation of at most {max} {unit}, got {high}"));
    let negative = require(low >= 0.0, key, || format!("expected a standard deviation of at least 0, got {low}"));
    too_wide.into_iter().chain(negative).collect()
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

/// Returns the radius of nnU-Net's filter, whose number of taps is the odd one nearest to 6 standard deviations + 0.5.
fn short_radius(sigma: f64) -> usize {
    ((6.0 * sigma + 0.5) / 2.0) as usize
}

/// Returns the weight of the centre, then those of the neighbours on either side up to a radius.
fn weights(sigma: f64, radius: usize) -> Vec<f64> {
    let weight = |x: usize| if x == 0 { 1.0 } else { (-0.5 / (sigma * sigma) * (x * x) as f64).exp() };
    let raw: Vec<f64> = (0..=radius).map(weight).collect();
    let sum = raw[0] + 2.0 * raw[1..].iter().sum::<f64>();
    raw.into_iter().map(|weight| weight / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blurred(values: &[f32], std_mm: f64) -> Vec<f32> {
        let mut values = values.to_vec();
        let spec: Blur = serde_yaml::from_str("{}").unwrap();
        let params = BlurParams::Millimetres([0.0, 0.0, std_mm]);
        spec.apply(&params, VolumeStatistics::none(), &mut Window::single_row(&mut values));
        values
    }

    #[test]
    fn a_deviation_of_zero_changes_nothing() {
        assert_eq!(blurred(&[1.0, 5.0, 2.0], 0.0), [1.0, 5.0, 2.0]);
    }

    #[test]
    fn a_filter_of_many_voxels_causes_a_warning_and_of_thousands_a_problem() {
        let checked = |std_mm: f64, spacing: [f64; 3]| {
            let spec: Blur = serde_yaml::from_str(&format!("std_mm: {std_mm}")).unwrap();
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

    #[test]
    fn the_number_of_taps_is_the_odd_one_nearest_to_six_deviations_and_a_half() {
        // _round_to_nearest_odd(6 * sigma + 0.5) of batchgeneratorsv2.
        for (sigma, taps) in [(0.2, 1), (0.5, 3), (0.58, 3), (0.6, 5), (0.9, 5), (0.92, 7), (1.0, 7), (5.0, 31)] {
            assert_eq!(2 * short_radius(sigma) + 1, taps, "{sigma}");
        }
    }

    #[test]
    fn keys_of_the_two_filters_are_not_mixed() {
        let key = |yaml: &str| serde_yaml::from_str::<Blur>(yaml).unwrap().validate().pop().map(|problem| problem.key);
        assert_eq!(key("{std_voxels: [0.5, 1], channel_probability: 0.5}"), None);
        assert_eq!(key("{std_mm: [0.5, 1], std_voxels: [0.5, 1]}"), Some("std_mm"));
        assert_eq!(key("{std_mm: [0.5, 1], channel_probability: 0.5}"), Some("channel_probability"));
        assert_eq!(key("{std_voxels: [-0.5, 1]}"), Some("std_voxels"));
    }

    #[test]
    fn recorded_parameters_are_lists_as_before_or_one_list_per_channel() {
        let read = |json: &str| serde_json::from_str::<BlurParams>(json).unwrap();
        assert_eq!(read("[1, 2, 3]"), BlurParams::Millimetres([1.0, 2.0, 3.0]));
        assert_eq!(read("[null, [1, 2, 3]]"), BlurParams::Voxels(vec![None, Some([1.0, 2.0, 3.0])]));
    }
}
