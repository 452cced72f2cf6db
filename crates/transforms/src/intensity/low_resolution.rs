//! Random loss of resolution.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::channels::{certain, is_random, sample_per_channel, validate_per_channel};
use crate::validation::{all_axes, keys_where, require, validate_axes, within};
use crate::{Component, Incoming, IntensityTransform, KeyProblem, VolumeStatistics, Window};
use random::Rng;
use simd::vectorized;
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
    /// For each voxel of the window the two coarse ones that it is interpolated between.
    sources: Vec<[u32; 2]>,
    /// The weights of the second ones.
    weights: Vec<f32>,
}

impl CoarseAxis {
    fn new(coarse: &Coarse, start: usize, length: usize) -> Self {
        let first = coarse.position(start).0;
        let last = (coarse.position(start + length - 1).0 + 1).min(coarse.count - 1);
        // In the halo, coarse voxels may be outside the window; those values are not used.
        let local = |coarse_index: usize| coarse.voxel(coarse_index).saturating_sub(start).min(length - 1);
        let source = |index: usize| {
            let (low, weight) = coarse.position(index);
            let high = (low + 1).min(coarse.count - 1);
            ([(low - first) as u32, (high - first) as u32], weight)
        };
        let (sources, weights) = (start..start + length).map(source).unzip();
        Self { voxels: (first..=last).map(local).collect(), sources, weights }
    }
}

/// Replaces the values of a window by those interpolated between coarse voxels.
fn interpolate(values: &mut [f32], shape: [usize; 3], [along_x, along_y, along_z]: &[CoarseAxis; 3]) {
    let size_z = shape[2];
    // The rows along z of the coarse voxels along x and y, interpolated along z.
    let rows_per_x = along_y.voxels.len();
    let mut rows = buffer_pool::acquire(along_x.voxels.len() * rows_per_x * size_z);
    let mut coarse_row = vec![0.0; along_z.voxels.len()];
    for (index, row) in rows.chunks_exact_mut(size_z).enumerate() {
        let (x, y) = (along_x.voxels[index / rows_per_x], along_y.voxels[index % rows_per_x]);
        let source = &values[offset(shape, [x, y, 0])..][..size_z];
        coarse_row.iter_mut().zip(&along_z.voxels).for_each(|(value, voxel)| *value = source[*voxel]);
        for ((value, [low, high]), weight) in row.iter_mut().zip(&along_z.sources).zip(&along_z.weights) {
            *value = coarse_row[*low as usize] * (1.0 - weight) + coarse_row[*high as usize] * weight;
        }
    }
    let row_at = |x: u32, y: u32| &rows[(x as usize * rows_per_x + y as usize) * size_z..][..size_z];
    let (sources_x, weights_x) = (&along_x.sources, &along_x.weights);
    let slices = values.chunks_exact_mut(shape[1] * size_z);
    for ((slice, [x0, x1]), weight_x) in slices.zip(sources_x).zip(weights_x) {
        let rows_y = slice.chunks_exact_mut(size_z).zip(&along_y.sources).zip(&along_y.weights);
        for ((out, [y0, y1]), weight_y) in rows_y {
            let corners = [row_at(*x0, *y0), row_at(*x0, *y1), row_at(*x1, *y0), row_at(*x1, *y1)];
            mix_rows(corners, [*weight_x, *weight_y], out);
        }
    }
    buffer_pool::release(rows);
}

vectorized! {
    /// Interpolates bilinearly between four rows.
    fn mix_rows(rows: [&[f32]; 4], weights: [f32; 2], out: &mut [f32]) {
        let [x, y] = weights;
        let (other_x, other_y) = (1.0 - x, 1.0 - y);
        let length = out.len();
        let [a, b, c, d] = rows.map(|row| &row[..length]);
        for index in 0..length {
            let near = a[index] * other_y + b[index] * y;
            let far = c[index] * other_y + d[index] * y;
            out[index] = near * other_x + far * x;
        }
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
