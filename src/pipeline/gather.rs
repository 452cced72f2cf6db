//! Reading an incoming block at mapped positions: whole voxels, or interpolated points.

use std::ops::Range;

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::vector;
use super::view::Block;
use crate::data::volume::{Affine, Label, offset};
use crate::pipeline::origin::{Origin, is_nearest_inside};
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
    for (channel, values) in out.chunks_exact_mut(voxels).enumerate() {
        let source = Source { values: incoming.channel(channel), start: incoming.start, shape: incoming.shape };
        for_each_slice(values, shape[1] * shape[2], |x, slice| {
            for (y, row) in slice.chunks_exact_mut(shape[2]).enumerate() {
                let (x, y) = ((start[0] + x) as f64, (start[1] + y) as f64);
                let lines = lines(&warp.between, &warp.map, warp.shape, x, y);
                let inside = inside_along_z(&lines, is_inside, start[2], shape[2]);
                row[..inside.start].fill(fills[channel]);
                row[inside.end..].fill(fills[channel]);
                let first = start[2] + inside.start;
                linear_row(&source, warp.shape, own(&lines), first, &mut row[inside]);
            }
        });
    }
    out
}

/// The voxels of a row that lie inside; `first` is the index along z of the first one.
fn linear_row(source: &Source, shape: [usize; 3], line: &Line, first: usize, row: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if vector::is_available() && source.values.len() < i32::MAX as usize {
        // SAFETY: the processor has AVX2.
        return unsafe { vector::linear_row(source, shape, line, first, row) };
    }
    for (z, value) in row.iter_mut().enumerate() {
        *value = source.interpolate(shape, line.at((first + z) as f64));
    }
}

/// The labels of a row's voxels that lie inside; `first` is the index along z of the first one.
fn label_row(source: &[Label], shape: [usize; 3], line: &Line, first: usize, row: &mut [Label]) {
    let mut taken = 0;
    #[cfg(target_arch = "x86_64")]
    if vector::is_available() && source.len() < i32::MAX as usize {
        // SAFETY: the processor has AVX2.
        taken = unsafe { vector::label_row(source, shape, line, first, row) };
    }
    let [_, size_y, size_z] = shape;
    for (z, label) in row.iter_mut().enumerate().skip(taken) {
        // Inside, no place is negative, so cutting the fraction off rounds down.
        let [x, y, z] = line.at((first + z) as f64).map(|place| (place + 0.5) as u32 as usize);
        *label = source[(x * size_y + y) * size_z + z];
    }
}

/// The positions of a row of outgoing voxels along z.
pub(super) struct Line {
    pub(super) base: [f64; 3],
    pub(super) step: [f64; 3],
    pub(super) shift: [f64; 3],
}

impl Line {
    pub(super) fn new(map: &Affine, x: f64, y: f64) -> Self {
        Self {
            base: map.0.map(|[a, b, ..]| a * x + b * y),
            step: map.0.map(|[_, _, c, _]| c),
            shift: map.0.map(|[_, _, _, shift]| shift),
        }
    }

    /// The same bits as [`Affine::apply`].
    pub(super) fn at(&self, z: f64) -> [f64; 3] {
        std::array::from_fn(|row| self.base[row] + self.step[row] * z + self.shift[row])
    }
}

/// The positions of a row in every grid in between, and at last in the grid that is read, with their shapes.
fn lines(between: &[(Affine, [usize; 3])], map: &Affine, shape: [usize; 3], x: f64, y: f64) -> Vec<(Line, [usize; 3])> {
    let grids = between.iter().map(|(map, shape)| (map, *shape)).chain([(map, shape)]);
    grids.map(|(map, shape)| (Line::new(map, x, y), shape)).collect()
}

/// The positions in the grid that is read.
fn own(lines: &[(Line, [usize; 3])]) -> &Line {
    &lines.last().expect("a row lies in the grid that is read").0
}

/// Whether a place along an axis is within half a voxel of a grid of that size.
fn is_inside(place: f64, size: usize) -> bool {
    place >= -0.5 && place <= size as f64 - 0.5
}

/// Which voxels of a row lie inside some grids: those whose places along every axis of every grid are `within` its
/// size. Grids are boxes and rows are straight, so they are contiguous.
fn inside_along_z(
    lines: &[(Line, [usize; 3])],
    within: impl Fn(f64, usize) -> bool,
    start: usize,
    length: usize,
) -> Range<usize> {
    let is_within = |z: usize| {
        lines.iter().all(|(line, shape)| {
            let point = line.at((start + z) as f64);
            (0..3).all(|axis| within(point[axis], shape[axis]))
        })
    };
    let (mut first, mut end) = (0.0f64, length as f64);
    for (line, shape) in lines {
        for ((at_start, step), size) in line.at(start as f64).into_iter().zip(line.step).zip(*shape) {
            let (low, high) = (-0.5, size as f64 - 0.5);
            if step == 0.0 {
                if !within(at_start, size) {
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
    while first < end && !is_within(first) {
        first += 1;
    }
    while end > first && !is_within(end - 1) {
        end -= 1;
    }
    first..end
}

impl Warp {
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

/// One channel of an incoming block.
pub(super) struct Source<'a> {
    pub(super) values: &'a [f32],
    pub(super) start: [usize; 3],
    pub(super) shape: [usize; 3],
}

impl Source<'_> {
    /// Linear interpolation at a point inside the incoming grid of this shape.
    pub(super) fn interpolate(&self, shape: [usize; 3], point: [f64; 3]) -> f32 {
        let mut low = [0; 3];
        let mut share = [0.0f32; 3];
        for axis in 0..3 {
            let position = point[axis].max(0.0);
            let index = (position as u32 as usize).min(shape[axis] - 1);
            low[axis] = index - self.start[axis];
            share[axis] = (position - index as f64) as f32;
        }
        let [_, size_y, size_z] = self.shape;
        let base = offset(self.shape, low);
        let is_last = |axis: usize| low[axis] + self.start[axis] + 1 >= shape[axis];
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
}

/// The labels of a block of outgoing voxels: row by row what [`Origin::source`] says of each voxel.
pub(super) fn labels(source: &[Label], origin: &Origin, start: [usize; 3], shape: [usize; 3]) -> Vec<Label> {
    let mut out = vec![0; shape.iter().product()];
    for_each_slice(&mut out, shape[1] * shape[2], |x, slice| {
        for (y, row) in slice.chunks_exact_mut(shape[2]).enumerate() {
            let (x, y) = ((start[0] + x) as f64, (start[1] + y) as f64);
            let lines = lines(&origin.between, &origin.map, origin.source_shape, x, y);
            let inside = inside_along_z(&lines, is_nearest_inside, start[2], shape[2]);
            let first = start[2] + inside.start;
            label_row(source, origin.source_shape, own(&lines), first, &mut row[inside]);
        }
    });
    out
}
