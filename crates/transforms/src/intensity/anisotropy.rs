//! Lost resolution along one axis.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validation::{MAX_DISPLACEMENT, all_axes, random, require, valid_axis, validate_axes, within};
use crate::{Component, Incoming, IntensityTransform, KeyProblem, VolumeStatistics, Window};
use random::Rng;
use values::Range;
use volume::Grid;

/// Makes the image as coarse along one axis as a scan with thick slices, on the same grid, as TorchIO's
/// RandomAnisotropy: the nearest voxels are kept, what lies between is interpolated linearly. Labels stay.
///
/// As in TorchIO, voxels half a coarse voxel and more beyond the outermost coarse ones become 0.
///
/// ```yaml
/// - anisotropy: { axes: [2], downsampling: [1.5, 5] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Anisotropy {
    /// The axes to choose from: 0 is x, 1 is y, 2 is z.
    #[serde(default = "all_axes")]
    #[schemars(inner(range(max = 2)))]
    pub axes: Vec<usize>,
    /// How much larger voxels become along the axis, at least 1.
    #[serde(default = "up_to_five")]
    pub downsampling: Range,
}

fn up_to_five() -> Range {
    Range { low: 1.5, high: 5.0 }
}

/// What one loss of resolution drew.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnisotropyParams {
    /// The axis: 0 is x, 1 is y, 2 is z.
    pub axis: usize,
    /// How much larger voxels become.
    pub downsampling: f64,
}

impl Component for Anisotropy {
    type Params = AnisotropyParams;

    fn sample_params(&self, rng: &mut Rng, _: &Incoming) -> AnisotropyParams {
        let axis = self.axes[rng.below(self.axes.len() as u64) as usize];
        AnisotropyParams { axis, downsampling: rng.uniform(self.downsampling) }
    }

    fn random_keys(&self) -> Vec<&'static str> {
        random(&[("axes", self.axes.len() > 1), ("downsampling", !self.downsampling.is_fixed())])
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let low = self.downsampling.low;
        let factor =
            require(low >= 1.0, "downsampling", || format!("expected a downsampling of at least 1, got {low}"));
        factor.into_iter().chain(validate_axes(&self.axes)).collect()
    }

    fn validate_params(&self, params: &Self::Params, _: &Incoming) -> Result<(), String> {
        valid_axis(params.axis)?;
        within("downsampling", &[params.downsampling], [1.0, MAX_DISPLACEMENT])
    }
}

impl IntensityTransform for Anisotropy {
    fn halo(&self, draw: &AnisotropyParams, _: &Grid) -> [usize; 3] {
        let reach = draw.downsampling.ceil() as usize + 1;
        std::array::from_fn(|axis| if axis == draw.axis { reach } else { 0 })
    }

    fn apply(&self, draw: &AnisotropyParams, _: &VolumeStatistics, window: &mut Window) {
        let (start, length, size) = (window.start[draw.axis], window.shape[draw.axis], window.grid.shape[draw.axis]);
        let coarse = Coarse::new(size, draw.downsampling);
        let sources: Vec<Option<Source>> =
            (start..start + length).map(|place| coarse.source(place, start, length)).collect();
        let mut out = vec![0.0; length];
        window.for_each_line(draw.axis, |line| {
            for (value, source) in out.iter_mut().zip(&sources) {
                *value = source.map_or(0.0, |Source { low, high, share }| {
                    let (low, high) = (f64::from(line[low]), f64::from(line[high]));
                    (low + (high - low) * share) as f32
                });
            }
            line.copy_from_slice(&out);
        });
    }
}

/// The coarse voxels along an axis.
struct Coarse {
    size: usize,
    count: usize,
    factor: f64,
}

/// Between which voxels of the line a value lies, and how near to the second.
#[derive(Clone, Copy)]
struct Source {
    low: usize,
    high: usize,
    share: f64,
}

impl Coarse {
    fn new(size: usize, factor: f64) -> Self {
        // As `resample` counts them; an axis of one voxel is kept.
        let count = if size == 1 { 1 } else { ((size as f64 / factor + 1e-6).floor() as usize).max(1) };
        Self { size, count, factor: if size == 1 { 1.0 } else { factor } }
    }

    /// The voxel nearest to a coarse one.
    fn voxel(&self, coarse: usize) -> usize {
        let place = (self.size as f64 - 1.0) / 2.0 + (coarse as f64 - (self.count as f64 - 1.0) / 2.0) * self.factor;
        ((place + 0.5).floor().max(0.0) as usize).min(self.size - 1)
    }

    /// Where a voxel's value comes from, in a block of `length` voxels from `start` on; `None` beyond the coarse grid.
    fn source(&self, place: usize, start: usize, length: usize) -> Option<Source> {
        let centre = (self.size as f64 - 1.0) / 2.0;
        let coarse = (place as f64 - centre) / self.factor + (self.count as f64 - 1.0) / 2.0;
        if coarse < -0.5 || coarse >= self.count as f64 - 0.5 {
            return None;
        }
        let coarse = coarse.clamp(0.0, self.count as f64 - 1.0);
        let low = coarse as usize;
        let high = (low + 1).min(self.count - 1);
        // Within the halo of the block's ends the sources may lie outside; those values are not used.
        let local = |coarse: usize| self.voxel(coarse).saturating_sub(start).min(length - 1);
        Some(Source { low: local(low), high: local(high), share: coarse - low as f64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coarsened(values: &[f32], downsampling: f64) -> Vec<f32> {
        let mut values = values.to_vec();
        let spec: Anisotropy = serde_yaml::from_str("{}").unwrap();
        spec.apply(&AnisotropyParams { axis: 2, downsampling }, VolumeStatistics::none(), &mut Window::of(&mut values));
        values
    }

    #[test]
    fn a_factor_of_one_changes_nothing() {
        assert_eq!(coarsened(&[1.0, 5.0, 2.0], 1.0), [1.0, 5.0, 2.0]);
    }

    #[test]
    fn every_third_voxel_is_kept_and_the_rest_interpolated() {
        assert_eq!(coarsened(&[9.0, 3.0, 9.0, 9.0, 6.0, 9.0], 3.0), [3.0, 3.0, 4.0, 5.0, 6.0, 6.0]);
    }

    #[test]
    fn axes_that_are_none_are_a_problem() {
        let problem = |yaml: &str| serde_yaml::from_str::<Anisotropy>(yaml).unwrap().validate().pop();
        assert!(problem("axes: []").is_some() && problem("axes: [3]").is_some());
        assert!(problem("downsampling: 0.5").is_some());
        assert_eq!(problem("axes: [0, 2]"), None);
    }
}
