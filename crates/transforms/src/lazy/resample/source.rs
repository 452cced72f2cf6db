//! The arrays that the resampler reads: a channel of a block, or a label map.

use crate::lazy::block::Block;
use crate::lazy::empty_space::EmptySpace;
use crate::lazy::fixed_point::{ONE, nearest_index, split};
use crate::{Interpolation, Mirror, spline_weights};
use volume::{Label, offset};

/// One channel of an incoming block.
pub(in crate::lazy) struct ImageSource<'a> {
    pub(in crate::lazy) values: &'a [f32],
    pub(in crate::lazy) start: [usize; 3],
    pub(in crate::lazy) shape: [usize; 3],
    /// Voxels of the volume that the block is part of.
    pub(in crate::lazy) volume: [usize; 3],
}

impl<'a> ImageSource<'a> {
    /// Returns a channel of a block of a volume of this shape.
    pub(in crate::lazy) fn new(block: &'a Block, channel: usize, volume: [usize; 3]) -> Self {
        Self { values: block.channel(channel), start: block.start, shape: block.shape, volume }
    }

    /// Returns the interpolated value at a point inside the volume. For cubic interpolation the block contains spline
    /// coefficients.
    pub(in crate::lazy) fn interpolate(&self, interpolation: Interpolation, point: [i64; 3]) -> f32 {
        match interpolation {
            Interpolation::Nearest => self.nearest(point),
            Interpolation::Linear => self.linear(point),
            Interpolation::Cubic => self.cubic(point),
        }
    }

    /// Returns the smallest and the largest point whose eight surrounding voxels are in the block.
    pub(in crate::lazy) fn interior(&self) -> ([i64; 3], [i64; 3]) {
        let low = self.start.map(|index| index as i64 * ONE);
        (low, std::array::from_fn(|axis| low[axis] + (self.shape[axis] as i64 - 1) * ONE - 1))
    }

    fn nearest(&self, point: [i64; 3]) -> f32 {
        let index = std::array::from_fn(|axis| {
            let index = nearest_index(point[axis]).clamp(0, self.volume[axis] as i64 - 1);
            index as usize - self.start[axis]
        });
        self.values[offset(self.shape, index)]
    }

    /// Returns the trilinear interpolation; points past the outermost voxel centres take the value there.
    pub(in crate::lazy) fn linear(&self, point: [i64; 3]) -> f32 {
        let mut low = [0; 3];
        let mut weights = [0.0f32; 3];
        for axis in 0..3 {
            let (index, weight) = split(point[axis].clamp(0, (self.volume[axis] as i64 - 1) * ONE));
            low[axis] = index as usize - self.start[axis];
            weights[axis] = weight;
        }
        let [_, size_y, size_z] = self.shape;
        let base = offset(self.shape, low);
        let is_last = |axis: usize| low[axis] + self.start[axis] + 1 >= self.volume[axis];
        // The last voxel of an axis is its own neighbour.
        let dx = if is_last(0) { 0 } else { size_y * size_z };
        let dy = if is_last(1) { 0 } else { size_z };
        let pair = |at: usize| match is_last(2) {
            true => [self.values[at]; 2],
            false => [self.values[at], self.values[at + 1]],
        };
        let lerp =
            |a: [f32; 2], b: [f32; 2], weight: f32| [a[0] + (b[0] - a[0]) * weight, a[1] + (b[1] - a[1]) * weight];
        let near = lerp(pair(base), pair(base + dy), weights[1]);
        let far = lerp(pair(base + dx), pair(base + dx + dy), weights[1]);
        let [a, b] = lerp(near, far, weights[0]);
        a + (b - a) * weights[2]
    }

    /// Evaluates the cubic B-spline whose coefficients are in the block.
    fn cubic(&self, point: [i64; 3]) -> f32 {
        let mut taps = [[0usize; 4]; 3];
        let mut weights = [[0.0f64; 4]; 3];
        for axis in 0..3 {
            let (index, weight) = split(point[axis]);
            weights[axis] = spline_weights(f64::from(weight));
            let size = self.volume[axis] as i64;
            // The same boundary condition as for the coefficients.
            let tap = |tap: usize| Mirror::Centre.index(index - 1 + tap as i64, size) - self.start[axis];
            taps[axis] = std::array::from_fn(tap);
        }
        let along_z = |x: usize, y: usize| {
            let row = offset(self.shape, [x, y, 0]);
            (0..4).map(|k| weights[2][k] * f64::from(self.values[row + taps[2][k]])).sum::<f64>()
        };
        let along_y = |x: usize| (0..4).map(|j| weights[1][j] * along_z(x, taps[1][j])).sum::<f64>();
        (0..4).map(|i| weights[0][i] * along_y(taps[0][i])).sum::<f64>() as f32
    }
}

/// A label map.
#[derive(Clone, Copy, Debug)]
pub(in crate::lazy) struct LabelSource<'a> {
    pub(in crate::lazy) labels: &'a [Label],
    /// Where the labels are known to be 0.
    pub(in crate::lazy) empty: Option<&'a EmptySpace>,
}

impl LabelSource<'_> {
    /// Returns the label nearest to a point inside a map of this shape.
    pub(in crate::lazy) fn nearest(&self, shape: [usize; 3], point: [i64; 3]) -> Label {
        self.labels[offset(shape, point.map(|coordinate| nearest_index(coordinate) as usize))]
    }
}
