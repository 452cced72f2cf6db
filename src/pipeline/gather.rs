//! Reading an incoming block at mapped positions: whole voxels, or interpolated points.

use rayon::prelude::*;

use super::view::Block;
use crate::data::volume::{Affine, Label, offset};
use crate::pipeline::Origin;
use crate::transforms::Lattice;

/// Blocks of at least this many voxels are shared out among threads.
const PARALLEL_FROM: usize = 1 << 21;

/// Fills each x-slice of an outgoing array, in parallel where it is large. The result does not depend on that.
fn for_each_slice<T: Send>(out: &mut [T], slice: usize, fill: impl Fn(usize, &mut [T]) + Sync) {
    if out.len() >= PARALLEL_FROM {
        out.par_chunks_exact_mut(slice).enumerate().for_each(|(x, values)| fill(x, values));
    } else {
        out.chunks_exact_mut(slice).enumerate().for_each(|(x, values)| fill(x, values));
    }
}

/// Moves whole voxels: `start` and `shape` say which outgoing voxels are wanted.
pub(super) fn lattice(
    incoming: &Block,
    map: &Lattice,
    incoming_shape: [usize; 3],
    fills: &[f32],
    start: [usize; 3],
    shape: [usize; 3],
) -> Vec<f32> {
    let voxels: usize = shape.iter().product();
    let mut out = vec![0.0; fills.len() * voxels];
    for (channel, values) in out.chunks_exact_mut(voxels).enumerate() {
        for_each_slice(values, shape[1] * shape[2], |x, slice| {
            for (y, row) in slice.chunks_exact_mut(shape[2]).enumerate() {
                for (z, value) in row.iter_mut().enumerate() {
                    let wanted = [start[0] + x, start[1] + y, start[2] + z];
                    *value = match source_of(map, wanted, incoming_shape) {
                        Some(index) => incoming.at(channel, index),
                        None => fills[channel],
                    };
                }
            }
        });
    }
    out
}

fn source_of(map: &Lattice, outgoing: [usize; 3], shape: [usize; 3]) -> Option<[usize; 3]> {
    let mut source = [0; 3];
    for (axis, index) in map.axes.iter().zip(outgoing) {
        let index = if axis.flipped { axis.offset - index as i64 } else { axis.offset + index as i64 };
        if !(0..shape[axis.source] as i64).contains(&index) {
            return None;
        }
        source[axis.source] = index as usize;
    }
    Some(source)
}

/// A chain of warps as one: the map to the incoming grid, and the grids in between.
#[derive(Clone, Debug)]
pub(super) struct Warp {
    /// From outgoing to incoming voxels.
    pub map: Affine,
    /// The incoming grid's shape.
    pub shape: [usize; 3],
    /// From outgoing voxels to those of the grids in between, and their shapes.
    pub between: Vec<(Affine, [usize; 3])>,
}

/// Interpolates linearly. A point within half a voxel of a grid is inside it, as in ITK.
pub(super) fn linear(incoming: &Block, warp: &Warp, fills: &[f32], start: [usize; 3], shape: [usize; 3]) -> Vec<f32> {
    let voxels: usize = shape.iter().product();
    let mut out = vec![0.0; fills.len() * voxels];
    let channels = fills.len();
    for (channel, values) in out.chunks_exact_mut(voxels).enumerate().take(channels) {
        let source = incoming.channel(channel);
        for_each_slice(values, shape[1] * shape[2], |x, slice| {
            for (y, row) in slice.chunks_exact_mut(shape[2]).enumerate() {
                let (x, y) = ((start[0] + x) as f64, (start[1] + y) as f64);
                let inside = warp.inside_along_z(x, y, start[2], shape[2]);
                let line = Line::new(&warp.map, x, y);
                for (z, value) in row.iter_mut().enumerate() {
                    *value = if inside.contains(&z) {
                        interpolate(source, incoming, warp.shape, line.at((start[2] + z) as f64))
                    } else {
                        fills[channel]
                    };
                }
            }
        });
    }
    out
}

/// The positions of a row of outgoing voxels along z.
struct Line {
    base: [f64; 3],
    step: [f64; 3],
    shift: [f64; 3],
}

impl Line {
    fn new(map: &Affine, x: f64, y: f64) -> Self {
        Self {
            base: map.0.map(|[a, b, ..]| a * x + b * y),
            step: map.0.map(|[_, _, c, _]| c),
            shift: map.0.map(|[_, _, _, shift]| shift),
        }
    }

    /// The same bits as [`Affine::apply`].
    fn at(&self, z: f64) -> [f64; 3] {
        std::array::from_fn(|row| self.base[row] + self.step[row] * z + self.shift[row])
    }
}

impl Warp {
    /// Which voxels of a row lie inside the incoming grid and every grid in between; they are contiguous.
    fn inside_along_z(&self, x: f64, y: f64, start: usize, length: usize) -> std::ops::Range<usize> {
        let grids = self.between.iter().map(|(map, shape)| (map, shape)).chain([(&self.map, &self.shape)]);
        let lines: Vec<_> = grids.map(|(map, shape)| (Line::new(map, x, y), shape)).collect();
        let is_inside = |z: usize| {
            lines.iter().all(|(line, shape)| {
                let point = line.at((start + z) as f64);
                (0..3).all(|axis| point[axis] >= -0.5 && point[axis] <= shape[axis] as f64 - 0.5)
            })
        };
        let (mut first, mut end) = (0.0f64, length as f64);
        for (line, shape) in &lines {
            for axis in 0..3 {
                let (low, high) = (-0.5, shape[axis] as f64 - 0.5);
                let (at_start, step) = (line.at(start as f64)[axis], line.step[axis]);
                if step == 0.0 {
                    if at_start < low || at_start > high {
                        return 0..0;
                    }
                } else {
                    let (a, b) = ((low - at_start) / step, (high - at_start) / step);
                    first = first.max(a.min(b));
                    end = end.min(a.max(b) + 1.0);
                }
            }
        }
        if first >= end {
            return 0..0;
        }
        // The division rounds; the two ends are settled by the test itself, so that every window agrees.
        let mut first = (first.floor() as usize).saturating_sub(1);
        let mut end = ((end.ceil().max(0.0) as usize) + 1).min(length);
        while first < end && !is_inside(first) {
            first += 1;
        }
        while end > first && !is_inside(end - 1) {
            end -= 1;
        }
        first..end
    }

    /// The incoming voxels that a block of outgoing ones may touch.
    pub fn touched(&self, start: [usize; 3], shape: [usize; 3]) -> ([usize; 3], [usize; 3]) {
        let mut low = [f64::INFINITY; 3];
        let mut high = [f64::NEG_INFINITY; 3];
        for corner in 0..8 {
            let index = |axis: usize| (start[axis] + if corner >> axis & 1 == 1 { shape[axis] - 1 } else { 0 }) as f64;
            let point = self.map.apply([index(0), index(1), index(2)]);
            for axis in 0..3 {
                low[axis] = low[axis].min(point[axis]);
                high[axis] = high[axis].max(point[axis]);
            }
        }
        let first: [usize; 3] =
            std::array::from_fn(|axis| (low[axis].floor() - 1.0).clamp(0.0, self.shape[axis] as f64 - 1.0) as usize);
        let end: [usize; 3] = std::array::from_fn(|axis| {
            (high[axis].ceil() + 2.0).clamp(first[axis] as f64 + 1.0, self.shape[axis] as f64) as usize
        });
        (first, std::array::from_fn(|axis| end[axis] - first[axis]))
    }
}

/// Linear interpolation at a point inside the incoming grid.
fn interpolate(source: &[f32], block: &Block, shape: [usize; 3], point: [f64; 3]) -> f32 {
    let mut low = [0; 3];
    let mut step = [0; 3];
    let mut share = [0.0f32; 3];
    for axis in 0..3 {
        let position = point[axis].max(0.0);
        let index = (position as usize).min(shape[axis] - 1);
        low[axis] = index - block.start[axis];
        share[axis] = (position - index as f64) as f32;
        step[axis] = usize::from(index + 1 < shape[axis]);
    }
    let [_, size_y, size_z] = block.shape;
    let base = offset(block.shape, low);
    let (dx, dy, dz) = (step[0] * size_y * size_z, step[1] * size_z, step[2]);
    let along_z = |at: usize| source[at] + (source[at + dz] - source[at]) * share[2];
    let along_y = |at: usize| {
        let (a, b) = (along_z(at), along_z(at + dy));
        a + (b - a) * share[1]
    };
    let (a, b) = (along_y(base), along_y(base + dx));
    a + (b - a) * share[0]
}

/// The labels of a block of outgoing voxels.
pub(super) fn labels(source: &[Label], origin: &Origin, start: [usize; 3], shape: [usize; 3]) -> Vec<Label> {
    let mut out = vec![0; shape.iter().product()];
    for_each_slice(&mut out, shape[1] * shape[2], |x, slice| {
        for (y, row) in slice.chunks_exact_mut(shape[2]).enumerate() {
            for (z, label) in row.iter_mut().enumerate() {
                if let Some(index) = origin.source([start[0] + x, start[1] + y, start[2] + z]) {
                    *label = source[offset(origin.source_shape, index)];
                }
            }
        }
    });
    out
}
