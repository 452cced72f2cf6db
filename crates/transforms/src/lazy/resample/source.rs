//! What is read: a channel of a block, or a label map.

use crate::lazy::block::Block;
use crate::lazy::empty_space::EmptySpace;
use crate::lazy::fixed_point::{HALF, ONE, split};
use crate::{Interpolation, Mirror, spline_weights};
use volume::{Label, offset};

/// One channel of an incoming block.
pub(in crate::lazy) struct Source<'a> {
    pub(in crate::lazy) values: &'a [f32],
    pub(in crate::lazy) start: [usize; 3],
    pub(in crate::lazy) shape: [usize; 3],
    /// Voxels of the block's volume.
    pub(in crate::lazy) volume: [usize; 3],
}

impl<'a> Source<'a> {
    pub(super) fn of(block: &'a Block, channel: usize, volume: [usize; 3]) -> Self {
        Self { values: block.channel(channel), start: block.start, shape: block.shape, volume }
    }

    /// The value at a place inside the volume.
    pub(in crate::lazy) fn at(&self, interpolation: Interpolation, place: [i64; 3]) -> f32 {
        match interpolation {
            Interpolation::Nearest => self.nearest(place),
            Interpolation::Linear => self.linear(place),
            Interpolation::Cubic => self.cubic(place),
        }
    }

    /// The smallest and the largest places whose eight voxels lie in the block.
    pub(in crate::lazy) fn interior(&self) -> ([i64; 3], [i64; 3]) {
        let low = self.start.map(|index| index as i64 * ONE);
        (low, std::array::from_fn(|axis| low[axis] + (self.shape[axis] as i64 - 1) * ONE - 1))
    }

    fn nearest(&self, place: [i64; 3]) -> f32 {
        let index = std::array::from_fn(|axis| {
            let index = ((place[axis] + HALF) >> 32).clamp(0, self.volume[axis] as i64 - 1);
            index as usize - self.start[axis]
        });
        self.values[offset(self.shape, index)]
    }

    pub(in crate::lazy) fn linear(&self, place: [i64; 3]) -> f32 {
        let mut low = [0; 3];
        let mut share = [0.0f32; 3];
        for axis in 0..3 {
            let (index, rest) = split(place[axis].clamp(0, (self.volume[axis] as i64 - 1) * ONE));
            low[axis] = index as usize - self.start[axis];
            share[axis] = rest;
        }
        let [_, size_y, size_z] = self.shape;
        let base = offset(self.shape, low);
        let is_last = |axis: usize| low[axis] + self.start[axis] + 1 >= self.volume[axis];
        // At the last voxel of an axis the neighbour is the voxel itself.
        let dx = if is_last(0) { 0 } else { size_y * size_z };
        let dy = if is_last(1) { 0 } else { size_z };
        let pair = |at: usize| match is_last(2) {
            true => [self.values[at]; 2],
            false => [self.values[at], self.values[at + 1]],
        };
        let between =
            |a: [f32; 2], b: [f32; 2], share: f32| [a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share];
        let near = between(pair(base), pair(base + dy), share[1]);
        let far = between(pair(base + dx), pair(base + dx + dy), share[1]);
        let [a, b] = between(near, far, share[0]);
        a + (b - a) * share[2]
    }

    /// The cubic spline whose coefficients the block holds.
    fn cubic(&self, place: [i64; 3]) -> f32 {
        let mut taps = [[0usize; 4]; 3];
        let mut weights = [[0.0f64; 4]; 3];
        for axis in 0..3 {
            let (index, share) = split(place[axis]);
            weights[axis] = spline_weights(f64::from(share));
            let size = self.volume[axis] as i64;
            // As the coefficients were found.
            let tap = |tap: usize| Mirror::Centre.place(index - 1 + tap as i64, size) - self.start[axis];
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

/// A label map that voxels are looked up in.
#[derive(Clone, Copy, Debug)]
pub(in crate::lazy) struct LabelSource<'a> {
    pub(in crate::lazy) labels: &'a [Label],
    /// Where there are none but 0, where that is known.
    pub(in crate::lazy) empty: Option<&'a EmptySpace>,
}

impl LabelSource<'_> {
    /// The label nearest to a place inside a map of this shape.
    pub(in crate::lazy) fn nearest(&self, shape: [usize; 3], place: [i64; 3]) -> Label {
        self.labels[offset(shape, place.map(|place| ((place + HALF) >> 32) as usize))]
    }
}
