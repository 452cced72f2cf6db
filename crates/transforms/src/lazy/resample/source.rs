//! The arrays that the resampler reads: a channel of a block, or a label map.

use super::votes::{OUTSIDE, winner};
use crate::lazy::background::BACKGROUND;
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
        interior(self.start, self.shape)
    }

    /// Returns the trilinear interpolation of the volume, which is surrounded by voxels of the value `border`.
    pub(in crate::lazy) fn linear_with_border(&self, point: [i64; 3], border: f32) -> f32 {
        let (low, high) = interior([0; 3], self.volume);
        if (0..3).all(|axis| (low[axis]..=high[axis]).contains(&point[axis])) {
            // The same operations as in groups of voxels.
            return self.linear(point);
        }
        let mut sum = 0.0;
        for_each_corner(point, |corner, weight| {
            let is_inside = (0..3).all(|axis| (0..self.volume[axis] as i64).contains(&corner[axis]));
            let value = if is_inside {
                self.values[offset(self.shape, std::array::from_fn(|axis| corner[axis] as usize - self.start[axis]))]
            } else {
                border
            };
            sum += value * weight;
        });
        sum
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

/// Returns the smallest and the largest point whose eight surrounding voxels are in a block.
pub(super) fn interior(start: [usize; 3], shape: [usize; 3]) -> ([i64; 3], [i64; 3]) {
    let low = start.map(|index| index as i64 * ONE);
    (low, std::array::from_fn(|axis| low[axis] + (shape[axis] as i64 - 1) * ONE - 1))
}

/// Calls `visit` with the voxels around a point whose interpolation weight is above 0, and these weights. Others may be outside
/// the block that is interpolated.
fn for_each_corner(point: [i64; 3], mut visit: impl FnMut([i64; 3], f32)) {
    let along = point.map(split);
    for corner in 0..8 {
        let is_next = |axis: usize| corner >> (2 - axis) & 1;
        let weights: [f32; 3] =
            std::array::from_fn(|axis| if is_next(axis) == 1 { along[axis].1 } else { 1.0 - along[axis].1 });
        let weight = weights[0] * weights[1] * weights[2];
        if weight > 0.0 {
            visit(std::array::from_fn(|axis| along[axis].0 + is_next(axis)), weight);
        }
    }
}

/// A block of a label map.
#[derive(Clone, Copy, Debug)]
pub(in crate::lazy) struct LabelSource<'a> {
    pub(in crate::lazy) labels: &'a [Label],
    pub(in crate::lazy) start: [usize; 3],
    pub(in crate::lazy) shape: [usize; 3],
    /// Where the labels are known to be 0.
    pub(in crate::lazy) empty: Option<&'a EmptySpace>,
    /// The label of voxels outside the map: 0, or [`BACKGROUND`], which voxels of the map then may have, too.
    pub(in crate::lazy) outside: Label,
}

impl LabelSource<'_> {
    /// Returns a whole label map of this shape.
    pub(in crate::lazy) fn whole(labels: &[Label], shape: [usize; 3]) -> LabelSource<'_> {
        LabelSource { labels, start: [0; 3], shape, empty: None, outside: 0 }
    }

    /// Returns the label nearest to a point inside the map.
    pub(in crate::lazy) fn nearest(&self, point: [i64; 3]) -> Label {
        self.labels[offset(self.shape, self.local(point.map(nearest_index)))]
    }

    /// Returns the index in the block of a voxel of the map.
    #[inline]
    fn local(&self, voxel: [i64; 3]) -> [usize; 3] {
        std::array::from_fn(|axis| voxel[axis] as usize - self.start[axis])
    }

    /// Returns the labels of the eight voxels around a point, all of which are on the map.
    #[inline]
    pub(super) fn corners(&self, point: [i64; 3]) -> [Label; 8] {
        let [_, size_y, size_z] = self.shape;
        let [x, y, z] = self.local(point.map(|coordinate| coordinate >> 32));
        let base = (x * size_y + y) * size_z + z;
        let mut corners = [0; 8];
        let (pairs, _) = corners.as_chunks_mut::<2>();
        for (pair, step) in pairs.iter_mut().zip([0, size_z, size_y * size_z, (size_y + 1) * size_z]) {
            pair.copy_from_slice(&self.labels[base + step..base + step + 2]);
        }
        corners
    }

    /// Returns the label with the largest interpolation weight at a point; voxels outside the map, whose shape is `volume`, count
    /// as one more label, which becomes `outside`.
    pub(in crate::lazy) fn vote(&self, volume: [usize; 3], point: [i64; 3]) -> Label {
        let corners = std::array::from_fn(|corner| {
            let voxel: [i64; 3] = std::array::from_fn(|axis| {
                // A neighbour of weight 0 may be outside the block.
                let is_next = is_next(corner, axis) && split(point[axis]).1 > 0.0;
                (point[axis] >> 32) + i64::from(is_next)
            });
            let is_inside = (0..3).all(|axis| (0..volume[axis] as i64).contains(&voxel[axis]));
            if is_inside { self.candidate(self.labels[offset(self.shape, self.local(voxel))]) } else { OUTSIDE }
        });
        self.winning(winner(corners, point))
    }

    /// Returns a label of the map as it is compared with others.
    pub(super) fn candidate(&self, label: Label) -> i32 {
        if label == BACKGROUND && self.outside == BACKGROUND { OUTSIDE } else { i32::from(label) }
    }

    /// Returns the label of the map that a compared one stands for.
    #[inline]
    pub(super) fn winning(&self, candidate: i32) -> Label {
        if candidate == OUTSIDE { self.outside } else { candidate as Label }
    }
}

/// Returns whether one of the eight voxels around a point is the next one along an axis, after the point.
fn is_next(corner: usize, axis: usize) -> bool {
    corner >> (2 - axis) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lazy::fixed_point::fixed;

    #[test]
    fn the_label_with_the_largest_weight_wins_and_the_nearest_one_between_equal_weights() {
        let labels = [1, 2, 2, 3];
        let source = LabelSource::whole(&labels, [1, 1, 4]);
        let at = |z: f64| source.vote([1, 1, 4], [0, 0, fixed(z)]);
        assert_eq!([at(0.4), at(0.6), at(2.4), at(2.6), at(3.0)], [1, 2, 2, 3, 3]);
        // Half-way: the nearest voxel is that with the even index.
        assert_eq!([at(0.5), at(2.5)], [1, 2]);
        // The outside has no label, and wins beyond half a voxel.
        assert_eq!([at(-0.4), at(-0.6), at(3.4), at(3.6)], [1, 0, 3, 0]);
    }
}
