//! Random loss of resolution.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::channels::{certain, is_random, sample_per_channel, validate_per_channel};
use crate::validation::{all_axes, keys_where, require, validate_axes, within};
use crate::{Component, Incoming, IntensityTransform, KeyProblem, VolumeStatistics, Window};
use random::Rng;
use simd::{ROW_PADDING, mix_row, vectorized};
use values::{Probability, Range};
use volume::{Grid, buffer_pool, offset};

/// Simulates a lower resolution, like nnU-Net's SimulateLowResolutionTransform: downsamples a channel with nearest-neighbour
/// interpolation (PyTorch's `nearest-exact`) and upsamples it again linearly, on the same grid. Labels are unchanged.
///
/// ```yaml
/// - low_resolution: { scale: [0.5, 1], channel_probability: 0.5 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LowResolution {
    /// Range of the scale: the low resolution as a fraction of the original one, above 0 and at most 1, such as `[0.5, 1]`. All
    /// axes have the same scale.
    pub scale: Range,
    /// Axes that lose resolution: 0 is x, 1 is y, 2 is z; default `[0, 1, 2]`. For thick axial slices, nnU-Net uses `[0, 1]`.
    #[serde(default = "all_axes")]
    #[schemars(inner(range(max = 2)))]
    pub axes: Vec<usize>,
    /// Probability that a channel is changed, default 1; each channel has its own scale.
    #[serde(default = "certain")]
    pub channel_probability: Probability,
}

/// The scale of each channel; `None` if it is unchanged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LowResolutionParams(pub Vec<Option<f64>>);

/// The smallest scale: no volume has more voxels along an axis than its inverse.
const MIN_SCALE: f64 = 1e-5;

impl Component for LowResolution {
    type Params = LowResolutionParams;

    fn aliases() -> &'static [&'static str] {
        &["SimulateLowResolutionTransform", "RandSimulateLowResolution"]
    }

    fn sample_params(&self, rng: &mut Rng, incoming: &Incoming) -> LowResolutionParams {
        let scale = |rng: &mut Rng| rng.uniform(self.scale);
        LowResolutionParams(sample_per_channel(rng, incoming.channels, self.channel_probability, scale))
    }

    fn random_keys(&self) -> Vec<&'static str> {
        let is_applied = self.channel_probability.get() > 0.0;
        keys_where(&[
            ("scale", is_applied && !self.scale.is_fixed()),
            ("channel_probability", is_random(self.channel_probability)),
        ])
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let Range { low, high } = self.scale;
        let scale = require(low >= MIN_SCALE && high <= 1.0, "scale", || {
            format!("expected a scale from {MIN_SCALE} to 1, got [{low}, {high}]")
        });
        scale.into_iter().chain(validate_axes(&self.axes)).collect()
    }

    fn validate_params(&self, params: &Self::Params, incoming: &Incoming) -> Result<(), String> {
        validate_per_channel("scales", &params.0, incoming.channels, |scale| {
            within("scales", &[*scale], [MIN_SCALE, 1.0])
        })
    }
}

impl IntensityTransform for LowResolution {
    fn is_identity(&self, params: &LowResolutionParams) -> bool {
        params.0.iter().all(Option::is_none)
    }

    fn halo(&self, params: &LowResolutionParams, grid: &Grid) -> [usize; 3] {
        let scales = params.0.iter().flatten();
        std::array::from_fn(|axis| {
            scales.clone().map(|scale| self.coarse(*scale, axis, grid).reach()).max().unwrap_or(0)
        })
    }

    fn apply(&self, params: &LowResolutionParams, _: &VolumeStatistics, window: &mut Window) {
        for (channel, scale) in params.0.iter().enumerate() {
            let Some(scale) = scale else { continue };
            let axes: [CoarseAxis; 3] = std::array::from_fn(|axis| {
                CoarseAxis::new(&self.coarse(*scale, axis, &window.grid), window.start[axis], window.shape[axis])
            });
            let shape = window.shape;
            interpolate(window.channel_mut(channel), shape, &axes);
        }
    }
}

impl LowResolution {
    fn coarse(&self, scale: f64, axis: usize, grid: &Grid) -> Coarse {
        let size = grid.shape[axis];
        // As PyTorch: scales in single precision, and Python's `round`.
        let count = (size as f64 * f64::from(scale as f32)).round_ties_even().max(1.0) as usize;
        Coarse { size, count: if self.axes.contains(&axis) { count } else { size } }
    }
}

/// The coarse voxels along an axis of a volume.
struct Coarse {
    size: usize,
    count: usize,
}

impl Coarse {
    /// Returns the largest distance between a voxel and those that it is interpolated between.
    fn reach(&self) -> usize {
        if self.count == self.size { 0 } else { 2 * self.size.div_ceil(self.count) + 1 }
    }

    /// Returns the voxel nearest to the centre of a coarse one, in single precision as PyTorch.
    fn voxel(&self, coarse: usize) -> usize {
        let ratio = self.size as f32 / self.count as f32;
        (((coarse as f32 + 0.5) * ratio) as usize).min(self.size - 1)
    }

    /// Returns the coarse voxel before a voxel, and the interpolation weight of the next one.
    fn position(&self, voxel: usize) -> (usize, f32) {
        let ratio = self.count as f32 / self.size as f32;
        let position = ((voxel as f32 + 0.5) * ratio - 0.5).max(0.0);
        let coarse = (position as usize).min(self.count - 1);
        (coarse, position - coarse as f32)
    }
}

/// The coarse voxels along an axis of a window.
struct CoarseAxis {
    /// The index in the window of each coarse voxel that is used.
    voxels: Vec<usize>,
    /// For each voxel of the window the first of the two coarse ones that it is interpolated between.
    sources: Vec<u32>,
    /// The weights of the second ones.
    weights: Vec<f32>,
    /// Whether each voxel is its own coarse one.
    is_unchanged: bool,
}

impl CoarseAxis {
    fn new(coarse: &Coarse, start: usize, length: usize) -> Self {
        let first = coarse.position(start).0;
        // The last coarse voxel is its own neighbour.
        let last = coarse.position(start + length - 1).0 + 1;
        // In the halo, coarse voxels may be outside the window; those values are not used.
        let local = |coarse_index: usize| {
            coarse.voxel(coarse_index.min(coarse.count - 1)).saturating_sub(start).min(length - 1)
        };
        let source = |index: usize| {
            let (low, weight) = coarse.position(index);
            ((low - first) as u32, weight)
        };
        let (sources, weights) = (start..start + length).map(source).unzip();
        let is_unchanged = coarse.count == coarse.size;
        Self { voxels: (first..=last).map(local).collect(), sources, weights, is_unchanged }
    }

    /// Interpolates between the coarse voxels of a row along this axis.
    fn interpolate(&self, row: &[f32], coarse_row: &mut Vec<f32>, out: &mut [f32]) {
        if self.is_unchanged {
            return out.copy_from_slice(row);
        }
        coarse_row.resize(self.voxels.len() + ROW_PADDING, 0.0);
        coarse_row.iter_mut().zip(&self.voxels).for_each(|(value, voxel)| *value = row[*voxel]);
        mix_row(coarse_row, &self.sources, &self.weights, out);
    }
}

/// Replaces the values of a window by those interpolated between coarse voxels, along z, then along y, then along x.
fn interpolate(values: &mut [f32], shape: [usize; 3], [along_x, along_y, along_z]: &[CoarseAxis; 3]) {
    let (size_z, plane) = (shape[2], shape[1] * shape[2]);
    // The rows along z of the coarse voxels along x and y.
    let coarse_plane = along_y.voxels.len() * size_z;
    let mut rows = buffer_pool::acquire(along_x.voxels.len() * coarse_plane);
    let mut coarse_row = Vec::new();
    for (x, rows) in along_x.voxels.iter().zip(rows.chunks_exact_mut(coarse_plane)) {
        for (y, row) in along_y.voxels.iter().zip(rows.chunks_exact_mut(size_z)) {
            along_z.interpolate(&values[offset(shape, [*x, *y, 0])..][..size_z], &mut coarse_row, row);
        }
    }
    // The coarse planes on either side of a plane.
    let mut between = buffer_pool::acquire(2 * plane);
    let (near, far) = between.split_at_mut(plane);
    let mut in_far = None;
    for ((out, x), weight) in values.chunks_exact_mut(plane).zip(&along_x.sources).zip(&along_x.weights) {
        let x = *x as usize;
        let coarse = |x: usize| &rows[x * coarse_plane..][..coarse_plane];
        if in_far != Some(x + 1) {
            match in_far == Some(x) {
                true => near.copy_from_slice(far),
                false => mix_planes(coarse(x), size_z, &along_y.sources, &along_y.weights, near),
            }
            mix_planes(coarse(x + 1), size_z, &along_y.sources, &along_y.weights, far);
            in_far = Some(x + 1);
        }
        mix(near, far, *weight, out);
    }
    buffer_pool::release(rows);
    buffer_pool::release(between);
}

vectorized! {
    /// Interpolates the rows of a plane between its coarse ones.
    fn mix_planes(coarse: &[f32], size_z: usize, sources: &[u32], weights: &[f32], out: &mut [f32]) {
        for ((out, y), weight) in out.chunks_exact_mut(size_z).zip(sources).zip(weights) {
            let (near, far) = coarse[*y as usize * size_z..][..2 * size_z].split_at(size_z);
            mix_values(near, far, *weight, out);
        }
    }
}

vectorized! {
    /// Interpolates between values.
    fn mix(near: &[f32], far: &[f32], weight: f32, out: &mut [f32]) {
        mix_values(near, far, weight, out);
    }
}

#[inline(always)]
fn mix_values(near: &[f32], far: &[f32], weight: f32, out: &mut [f32]) {
    let other = 1.0 - weight;
    for ((out, near), far) in out.iter_mut().zip(near).zip(far) {
        *out = near * other + far * weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coarsened(values: &[f32], scale: f64) -> Vec<f32> {
        let mut values = values.to_vec();
        let spec: LowResolution = serde_yaml::from_str("scale: [0.5, 1]").unwrap();
        let params = LowResolutionParams(vec![Some(scale)]);
        spec.apply(&params, VolumeStatistics::none(), &mut Window::single_row(&mut values));
        values
    }

    #[test]
    fn a_scale_of_one_changes_nothing() {
        assert_eq!(coarsened(&[1.0, 5.0, 2.0], 1.0), [1.0, 5.0, 2.0]);
    }

    #[test]
    fn every_second_voxel_is_sampled_and_the_rest_interpolated() {
        // PyTorch: interpolate(interpolate(v, 3, mode='nearest-exact'), 6, mode='linear').
        assert_eq!(coarsened(&[9.0, 4.0, 9.0, 0.0, 9.0, 8.0], 0.5), [4.0, 3.0, 1.0, 2.0, 6.0, 8.0]);
    }

    #[test]
    fn invalid_axes_and_scales_are_problems() {
        let problem = |yaml: &str| serde_yaml::from_str::<LowResolution>(yaml).unwrap().validate().pop();
        assert!(problem("{scale: 0.5, axes: []}").is_some() && problem("{scale: 0.5, axes: [3]}").is_some());
        assert!(problem("scale: [0, 1]").is_some() && problem("scale: 2").is_some());
        assert_eq!(problem("{scale: 0.5, axes: [0, 1]}"), None);
    }
}
