//! Random loss of resolution along one axis.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validation::{MAX_DISPLACEMENT, all_axes, keys_where, require, valid_axis, validate_axes, within};
use crate::{Component, Incoming, IntensityTransform, KeyProblem, VolumeStatistics, Window};
use random::Rng;
use values::Range;
use volume::Grid;

/// Simulates thick slices, as TorchIO's RandomAnisotropy: downsamples the image along one axis with nearest-neighbour
/// interpolation and upsamples it again linearly, on the same grid. Labels are unchanged.
///
/// As in TorchIO, voxels more than half a coarse voxel beyond the outermost coarse ones become 0.
///
/// ```yaml
/// - anisotropy: { axes: [2], downsampling: [1.5, 5] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Anisotropy {
    /// Axes to choose from: 0 is x, 1 is y, 2 is z; default `[0, 1, 2]`.
    #[serde(default = "all_axes")]
    #[schemars(inner(range(max = 2)))]
    pub axes: Vec<usize>,
    /// Range of the downsampling factor, at least 1, default `[1.5, 5]`.
    #[serde(default = "up_to_five")]
    pub downsampling: Range,
}

fn up_to_five() -> Range {
    Range { low: 1.5, high: 5.0 }
}

/// The sampled axis and factor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnisotropyParams {
    /// The axis: 0 is x, 1 is y, 2 is z.
    pub axis: usize,
    /// The downsampling factor.
    pub downsampling: f64,
}

impl Component for Anisotropy {
    type Params = AnisotropyParams;

    fn aliases() -> &'static [&'static str] {
        &["RandomAnisotropy"]
    }

    fn sample_params(&self, rng: &mut Rng, _: &Incoming) -> AnisotropyParams {
        let axis = self.axes[rng.below(self.axes.len() as u64) as usize];
        AnisotropyParams { axis, downsampling: rng.uniform(self.downsampling) }
    }

    fn random_keys(&self) -> Vec<&'static str> {
        keys_where(&[("axes", self.axes.len() > 1), ("downsampling", !self.downsampling.is_fixed())])
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
    fn halo(&self, params: &AnisotropyParams, _: &Grid) -> [usize; 3] {
        let reach = params.downsampling.ceil() as usize + 1;
        std::array::from_fn(|axis| if axis == params.axis { reach } else { 0 })
    }

    fn apply(&self, params: &AnisotropyParams, _: &VolumeStatistics, window: &mut Window) {
        let (start, length, size) =
            (window.start[params.axis], window.shape[params.axis], window.grid.shape[params.axis]);
        let coarse = Coarse::new(size, params.downsampling);
        let sources: Vec<Option<Source>> =
            (start..start + length).map(|index| coarse.source(index, start, length)).collect();
        let mut out = vec![0.0; length];
        window.for_each_line(params.axis, |line| {
            for (value, source) in out.iter_mut().zip(&sources) {
                *value = source.map_or(0.0, |Source { low, high, weight }| {
                    let (low, high) = (f64::from(line[low]), f64::from(line[high]));
                    (low + (high - low) * weight) as f32
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

/// The two voxels of a line that a value is interpolated between, and the weight of the second.
#[derive(Clone, Copy)]
struct Source {
    low: usize,
    high: usize,
    weight: f64,
}

impl Coarse {
    fn new(size: usize, factor: f64) -> Self {
        // As in `resample`; an axis of one voxel is unchanged.
        let count = if size == 1 { 1 } else { ((size as f64 / factor + 1e-6).floor() as usize).max(1) };
        Self { size, count, factor: if size == 1 { 1.0 } else { factor } }
    }

    /// Returns the voxel nearest to a coarse one.
    fn voxel(&self, coarse: usize) -> usize {
        let position = (self.size as f64 - 1.0) / 2.0 + (coarse as f64 - (self.count as f64 - 1.0) / 2.0) * self.factor;
        ((position + 0.5).floor().max(0.0) as usize).min(self.size - 1)
    }

    /// Returns the source of a voxel in a block of `length` voxels from `start` on; `None` beyond the coarse grid.
    fn source(&self, index: usize, start: usize, length: usize) -> Option<Source> {
        let centre = (self.size as f64 - 1.0) / 2.0;
        let coarse = (index as f64 - centre) / self.factor + (self.count as f64 - 1.0) / 2.0;
        if coarse < -0.5 || coarse >= self.count as f64 - 0.5 {
            return None;
        }
        let coarse = coarse.clamp(0.0, self.count as f64 - 1.0);
        let low = coarse as usize;
        let high = (low + 1).min(self.count - 1);
        // In the halo sources may be outside the block; those values are not used.
        let local = |coarse: usize| self.voxel(coarse).saturating_sub(start).min(length - 1);
        Some(Source { low: local(low), high: local(high), weight: coarse - low as f64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coarsened(values: &[f32], downsampling: f64) -> Vec<f32> {
        let mut values = values.to_vec();
        let spec: Anisotropy = serde_yaml::from_str("{}").unwrap();
        spec.apply(
            &AnisotropyParams { axis: 2, downsampling },
            VolumeStatistics::none(),
            &mut Window::single_row(&mut values),
        );
        values
    }

    #[test]
    fn a_factor_of_one_changes_nothing() {
        assert_eq!(coarsened(&[1.0, 5.0, 2.0], 1.0), [1.0, 5.0, 2.0]);
    }

    #[test]
    fn every_third_voxel_is_sampled_and_the_rest_interpolated() {
        assert_eq!(coarsened(&[9.0, 3.0, 9.0, 9.0, 6.0, 9.0], 3.0), [3.0, 3.0, 4.0, 5.0, 6.0, 6.0]);
    }

    #[test]
    fn invalid_axes_and_factors_are_problems() {
        let problem = |yaml: &str| serde_yaml::from_str::<Anisotropy>(yaml).unwrap().validate().pop();
        assert!(problem("axes: []").is_some() && problem("axes: [3]").is_some());
        assert!(problem("downsampling: 0.5").is_some());
        assert_eq!(problem("axes: [0, 2]"), None);
    }
}
