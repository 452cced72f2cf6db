//! Ghosts of periodic motion, as in MR.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::filters::spectrum::{self, unshifted};
use crate::validation::{all_axes, keys_where, require, valid_axis, validate_axes, within};
use crate::{Component, Incoming, IntensityTransform, KeyProblem, VolumeStatistics, Window};
use random::Rng;
use values::Range;
use volume::Grid;

/// Adds ghosts along an axis, as TorchIO's RandomGhosting: planes of k-space are weakened at regular intervals.
///
/// ```yaml
/// - ghosting: { num_ghosts: [4, 10], axes: [0, 1, 2], intensity: [0.5, 1] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ghosting {
    /// Minimum and maximum number of ghosts, default `[4, 10]`; 0 leaves the image unchanged.
    #[serde(default = "four_to_ten")]
    pub num_ghosts: [usize; 2],
    /// Axes to choose from: 0 is x, 1 is y, 2 is z; default `[0, 1, 2]`.
    #[serde(default = "all_axes")]
    #[schemars(inner(range(max = 2)))]
    pub axes: Vec<usize>,
    /// Range of the attenuation of every n-th plane of k-space, default `[0.5, 1]`: 1 removes the planes, 0 leaves them.
    #[serde(default = "half_to_one")]
    pub intensity: Range,
    /// Range of the fraction of k-space around its centre that is restored, such as `[0.02, 0.1]`; `null` (default) restores
    /// the central plane only.
    #[serde(default)]
    pub restore: Option<Range>,
}

/// Maximum number of ghosts, the largest size of an axis.
const MAX_GHOSTS: usize = 65_535;

fn four_to_ten() -> [usize; 2] {
    [4, 10]
}

fn half_to_one() -> Range {
    Range { low: 0.5, high: 1.0 }
}

/// The sampled parameters of ghosting.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GhostingParams {
    /// The number of ghosts n: every n-th plane is attenuated.
    pub num_ghosts: usize,
    /// The axis: 0 is x, 1 is y, 2 is z.
    pub axis: usize,
    /// The attenuation of the planes.
    pub intensity: f64,
    /// The fraction of planes that is restored.
    pub restore: Option<f64>,
}

impl Component for Ghosting {
    type Params = GhostingParams;

    fn aliases() -> &'static [&'static str] {
        &["RandomGhosting"]
    }

    fn sample_params(&self, rng: &mut Rng, _: &Incoming) -> GhostingParams {
        let [min, max] = self.num_ghosts;
        GhostingParams {
            num_ghosts: min + rng.below((max - min) as u64 + 1) as usize,
            axis: self.axes[rng.below(self.axes.len() as u64) as usize],
            intensity: rng.uniform(self.intensity),
            restore: self.restore.map(|restore| rng.uniform(restore)),
        }
    }

    fn random_keys(&self) -> Vec<&'static str> {
        keys_where(&[
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
    /// Attenuating planes of k-space across an axis filters each line along the axis by itself.
    fn halo(&self, params: &GhostingParams, _: &Grid) -> [usize; 3] {
        std::array::from_fn(|axis| if axis == params.axis { usize::MAX } else { 0 })
    }

    fn apply(&self, params: &GhostingParams, _: &VolumeStatistics, window: &mut Window) {
        if params.num_ghosts == 0 || params.intensity == 0.0 {
            return;
        }
        let length = window.shape[params.axis];
        let restored = restored(length, params.restore);
        let attenuated: Vec<usize> = (0..length)
            .step_by(params.num_ghosts)
            .filter(|plane| !restored.contains(plane))
            .map(|plane| unshifted(plane, length))
            .collect();
        let mut transform = spectrum::Line::new(length);
        let gain = 1.0 - params.intensity as f32;
        window.for_each_line(params.axis, |line| {
            let spectrum = transform.spectrum(line);
            attenuated.iter().for_each(|plane| spectrum[*plane] *= gain);
            transform.restore(line);
        });
    }
}

/// Returns the planes of the shifted spectrum that are restored.
fn restored(length: usize, restore: Option<f64>) -> std::ops::Range<usize> {
    let centre = length / 2;
    match restore {
        None => centre..centre + 1,
        Some(fraction) => {
            // Halves are rounded to even, as in numpy.
            let half = (fraction * length as f64).round_ties_even() as usize / 2;
            centre - half..centre + half
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ghosted(values: &[f32], params: GhostingParams) -> Vec<f32> {
        let mut values = values.to_vec();
        let spec: Ghosting = serde_yaml::from_str("{}").unwrap();
        spec.apply(&params, VolumeStatistics::none(), &mut Window::single_row(&mut values));
        values
    }

    const PARAMS: GhostingParams = GhostingParams { num_ghosts: 2, axis: 2, intensity: 1.0, restore: None };

    #[test]
    fn an_intensity_of_zero_changes_nothing() {
        assert_eq!(ghosted(&[1.0, 5.0, 2.0], GhostingParams { intensity: 0.0, ..PARAMS }), [1.0, 5.0, 2.0]);
    }

    #[test]
    fn removing_every_second_plane_adds_a_shifted_copy() {
        // numpy: planes 0 and 2 of the shifted spectrum of 4; the central one, 2, is restored.
        let result = ghosted(&[1.0, 0.0, 0.0, 0.0], PARAMS);
        let expected = [0.75, 0.25, -0.25, 0.25];
        assert!(result.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{result:?}");
    }

    #[test]
    fn a_restored_spectrum_is_the_image() {
        let result = ghosted(&[1.0, 4.0, 2.0, 8.0], GhostingParams { restore: Some(1.0), ..PARAMS });
        assert!(result.iter().zip([1.0, 4.0, 2.0, 8.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{result:?}");
    }
}
