//! Ghosts of periodic motion, as in MR.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::filters::spectrum::{self, unshifted};
use crate::intensity::anisotropy::{all_axes, wrong_axes};
use crate::{Incoming, IntensityTransform, VolumeStatistics, Window};
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
const MOST_GHOSTS: usize = 65_535;

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

impl IntensityTransform for Ghosting {
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

impl Ghosting {
    /// What its parameters say against each other.
    pub fn problem(&self) -> Option<String> {
        let [fewest, most] = self.num_ghosts;
        if fewest > most {
            return Some(format!("expected the fewest ghosts before the most, got [{fewest}, {most}]"));
        }
        if most > MOST_GHOSTS {
            return Some(format!("expected at most {MOST_GHOSTS} ghosts, got {most}"));
        }
        if self.intensity.low < 0.0 {
            return Some(format!("expected an intensity of at least 0, got {}", self.intensity.low));
        }
        if let Some(restore) = self.restore.filter(|restore| restore.low < 0.0 || restore.high > 1.0) {
            return Some(format!(
                "expected a share to restore between 0 and 1, got [{}, {}]",
                restore.low, restore.high
            ));
        }
        wrong_axes(&self.axes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ghosted(values: &[f32], draw: GhostingParams) -> Vec<f32> {
        let mut values = values.to_vec();
        let spec: Ghosting = serde_yaml::from_str("{}").unwrap();
        spec.apply(&draw, &VolumeStatistics::Nothing, &mut Window::of(&mut values));
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
