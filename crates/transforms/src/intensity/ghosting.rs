//! Ghosts of periodic motion, as in MR.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::filters::spectrum::{self, unshifted};
use crate::validation::{all_axes, random, require, valid_axis, validate_axes, within};
use crate::{Component, Incoming, IntensityTransform, KeyProblem, VolumeStatistics, Window};
use random::Rng;
use values::Range;
use volume::Grid;

/// Adds ghosts along an axis, as TorchIO's RandomGhosting: planes of k-space are weakened at regular distances.
///
/// ```yaml
/// - ghosting: { num_ghosts: [4, 10], axes: [0, 1, 2], intensity: [0.5, 1] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ghosting {
    /// The fewest and the most ghosts; 0 leaves the image as it is.
    #[serde(default = "four_to_ten")]
    pub num_ghosts: [usize; 2],
    /// The axes to choose from: 0 is x, 1 is y, 2 is z.
    #[serde(default = "all_axes")]
    #[schemars(inner(range(max = 2)))]
    pub axes: Vec<usize>,
    /// How much the planes are weakened: 1 takes them out, 0 leaves them.
    #[serde(default = "half_to_one")]
    pub intensity: Range,
    /// The share of k-space around its centre that is kept as it was; `null` keeps the central plane alone.
    #[serde(default)]
    pub restore: Option<Range>,
}

/// No axis has more planes.
const MAX_GHOSTS: usize = 65_535;

fn four_to_ten() -> [usize; 2] {
    [4, 10]
}

fn half_to_one() -> Range {
    Range { low: 0.5, high: 1.0 }
}

/// What one ghosting drew.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GhostingParams {
    /// Every so many planes are weakened.
    pub num_ghosts: usize,
    /// The axis: 0 is x, 1 is y, 2 is z.
    pub axis: usize,
    /// How much the planes are weakened.
    pub intensity: f64,
    /// The share of planes that is kept.
    pub restore: Option<f64>,
}

impl Component for Ghosting {
    type Params = GhostingParams;

    fn sample_params(&self, rng: &mut Rng, _: &Incoming) -> GhostingParams {
        let [fewest, most] = self.num_ghosts;
        GhostingParams {
            num_ghosts: fewest + rng.below((most - fewest) as u64 + 1) as usize,
            axis: self.axes[rng.below(self.axes.len() as u64) as usize],
            intensity: rng.uniform(self.intensity),
            restore: self.restore.map(|restore| rng.uniform(restore)),
        }
    }

    fn random_keys(&self) -> Vec<&'static str> {
        random(&[
            ("axes", self.axes.len() > 1),
            ("num_ghosts", self.num_ghosts[0] != self.num_ghosts[1]),
            ("intensity", !self.intensity.is_fixed()),
            ("restore", self.restore.is_some_and(|restore| !restore.is_fixed())),
        ])
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let [min, max] = self.num_ghosts;
        let restore = self.restore.unwrap_or(Range::fixed(0.0));
        let problems = [
            require(min <= max, "num_ghosts", || format!("expected [min, max] with min <= max, got [{min}, {max}]")),
            require(max <= MAX_GHOSTS, "num_ghosts", || format!("expected at most {MAX_GHOSTS} ghosts, got {max}")),
            require(self.intensity.low >= 0.0, "intensity", || {
                format!("expected an intensity of at least 0, got {}", self.intensity.low)
            }),
            require(restore.low >= 0.0 && restore.high <= 1.0, "restore", || {
                format!("expected fractions between 0 and 1, got [{}, {}]", restore.low, restore.high)
            }),
            validate_axes(&self.axes),
        ];
        problems.into_iter().flatten().collect()
    }

    fn validate_params(&self, params: &Self::Params, _: &Incoming) -> Result<(), String> {
        valid_axis(params.axis)?;
        within("restore", params.restore.as_slice(), [0.0, 1.0])
    }
}

impl IntensityTransform for Ghosting {
    /// Planes of k-space across an axis weigh all lines along it alike, so lines along it are all it needs.
    fn halo(&self, draw: &GhostingParams, _: &Grid) -> [usize; 3] {
        std::array::from_fn(|axis| if axis == draw.axis { usize::MAX } else { 0 })
    }

    fn apply(&self, draw: &GhostingParams, _: &VolumeStatistics, window: &mut Window) {
        if draw.num_ghosts == 0 || draw.intensity == 0.0 {
            return;
        }
        let length = window.shape[draw.axis];
        let kept = kept(length, draw.restore);
        let weakened: Vec<usize> = (0..length)
            .step_by(draw.num_ghosts)
            .filter(|place| !kept.contains(place))
            .map(|place| unshifted(place, length))
            .collect();
        let mut transform = spectrum::Line::new(length);
        let left = 1.0 - draw.intensity as f32;
        window.for_each_line(draw.axis, |line| {
            let spectrum = transform.spectrum(line);
            weakened.iter().for_each(|place| spectrum[*place] *= left);
            transform.restore(line);
        });
    }
}

/// The planes of the shifted spectrum that stay as they are.
fn kept(length: usize, restore: Option<f64>) -> std::ops::Range<usize> {
    let middle = length / 2;
    match restore {
        None => middle..middle + 1,
        Some(share) => {
            // Rounded to the even neighbour at halves, as numpy does.
            let half = (share * length as f64).round_ties_even() as usize / 2;
            middle - half..middle + half
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ghosted(values: &[f32], draw: GhostingParams) -> Vec<f32> {
        let mut values = values.to_vec();
        let spec: Ghosting = serde_yaml::from_str("{}").unwrap();
        spec.apply(&draw, VolumeStatistics::none(), &mut Window::of(&mut values));
        values
    }

    const DRAW: GhostingParams = GhostingParams { num_ghosts: 2, axis: 2, intensity: 1.0, restore: None };

    #[test]
    fn no_intensity_changes_nothing() {
        assert_eq!(ghosted(&[1.0, 5.0, 2.0], GhostingParams { intensity: 0.0, ..DRAW }), [1.0, 5.0, 2.0]);
    }

    #[test]
    fn every_second_plane_taken_out_halves_the_image_and_its_shifted_copy() {
        // numpy: planes 0 and 2 of the shifted spectrum of 4; the middle one, 2, is kept.
        let found = ghosted(&[1.0, 0.0, 0.0, 0.0], DRAW);
        let expected = [0.75, 0.25, -0.25, 0.25];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn a_restored_spectrum_is_the_image() {
        let found = ghosted(&[1.0, 4.0, 2.0, 8.0], GhostingParams { restore: Some(1.0), ..DRAW });
        assert!(found.iter().zip([1.0, 4.0, 2.0, 8.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }
}
