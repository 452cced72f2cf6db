//! Resampling under lattice maps: whole voxels are copied.

use std::ops::Range;

use rayon::prelude::*;

use super::request::{MIN_PARALLEL_VOXELS, ROWS_PER_TILE};
use crate::Lattice;
use crate::lazy::block::Block;
use volume::buffer_pool;

/// Copies the voxels of a block of the outgoing volume.
pub(in crate::lazy) fn lattice(
    incoming: &Block,
    map: &Lattice,
    incoming_shape: [usize; 3],
    border_values: &[f32],
    start: [usize; 3],
    shape: [usize; 3],
) -> Vec<f32> {
    let voxels: usize = shape.iter().product();
    let mut out = buffer_pool::acquire(border_values.len() * voxels);
    let [along_x, along_y, along_z] =
        std::array::from_fn(|axis| AxisSources::new(map, axis, incoming_shape, start, shape));
    let strides = [incoming.shape[1] * incoming.shape[2], incoming.shape[2], 1];
    let stride = strides[map.axes[2].source];
    for (channel, values) in out.chunks_exact_mut(voxels).enumerate() {
        let source = incoming.channel(channel);
        let local = |axis: usize, index: usize| {
            let from = map.axes[axis].source;
            (index - incoming.start[from]) * strides[from]
        };
        for_each_row(values, shape, |x, y, row| {
            let (Some(from_x), Some(from_y)) = (along_x.at(x), along_y.at(y)) else {
                return row.fill(border_values[channel]);
            };
            row[..along_z.inside.start].fill(border_values[channel]);
            row[along_z.inside.end..].fill(border_values[channel]);
            let row = &mut row[along_z.inside.clone()];
            let Some(from_z) = along_z.at(along_z.inside.start) else { return };
            let first = local(0, from_x) + local(1, from_y) + local(2, from_z);
            match (along_z.flipped, stride) {
                (false, 1) => row.copy_from_slice(&source[first..first + row.len()]),
                (false, _) => {
                    row.iter_mut().zip(source[first..].iter().step_by(stride)).for_each(|(to, from)| *to = *from);
                }
                (true, 1) => {
                    row.copy_from_slice(&source[first + 1 - row.len()..=first]);
                    row.reverse();
                }
                (true, _) => {
                    let from = source[..=first].iter().rev().step_by(stride);
                    row.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                }
            }
        });
    }
    out
}

/// Returns the incoming region that a block of outgoing voxels comes from; `None` if all of it is outside.
pub(in crate::lazy) fn lattice_source(
    lattice: &Lattice,
    incoming: [usize; 3],
    start: [usize; 3],
    shape: [usize; 3],
) -> Option<([usize; 3], [usize; 3])> {
    let mut from = [0; 3];
    let mut size = [0; 3];
    for (outgoing, axis) in lattice.axes.iter().enumerate() {
        let (first, last) = (start[outgoing] as i64, (start[outgoing] + shape[outgoing]) as i64 - 1);
        let (first, last) = if axis.flipped {
            (axis.offset - last, axis.offset - first)
        } else {
            (axis.offset + first, axis.offset + last)
        };
        let (first, last) = (first.max(0), last.min(incoming[axis.source] as i64 - 1));
        if first > last {
            return None;
        }
        from[axis.source] = first as usize;
        size[axis.source] = (last - first) as usize + 1;
    }
    Some((from, size))
}

/// Calls `fill` with each row along z of an array, in parallel if it is large. The result does not depend on that.
fn for_each_row<T: Send>(out: &mut [T], shape: [usize; 3], fill: impl Fn(usize, usize, &mut [T]) + Sync) {
    let [_, size_y, size_z] = shape;
    if out.len() >= MIN_PARALLEL_VOXELS {
        out.par_chunks_exact_mut(size_y * size_z).enumerate().for_each(|(x, slice)| {
            slice.chunks_exact_mut(size_z).enumerate().for_each(|(y, row)| fill(x, y, row));
        });
        return;
    }
    for first in (0..size_y).step_by(ROWS_PER_TILE) {
        let count = ROWS_PER_TILE.min(size_y - first);
        for (x, slice) in out.chunks_exact_mut(size_y * size_z).enumerate() {
            let rows = slice[first * size_z..].chunks_exact_mut(size_z).take(count);
            rows.enumerate().for_each(|(y, row)| fill(x, first + y, row));
        }
    }
}

/// The incoming indices of the voxels along one outgoing axis.
struct AxisSources {
    /// The outgoing voxels with a source.
    inside: Range<usize>,
    /// The incoming index of voxel 0, inside or not.
    first: i64,
    flipped: bool,
}

impl AxisSources {
    fn new(map: &Lattice, axis: usize, incoming: [usize; 3], start: [usize; 3], shape: [usize; 3]) -> Self {
        let (along, size) = (map.axes[axis], incoming[map.axes[axis].source] as i64);
        let first = if along.flipped { along.offset - start[axis] as i64 } else { along.offset + start[axis] as i64 };
        let (low, high) = if along.flipped { (first - size + 1, first + 1) } else { (-first, size - first) };
        let clip = |index: i64| index.clamp(0, shape[axis] as i64) as usize;
        Self { inside: clip(low)..clip(high).max(clip(low)), first, flipped: along.flipped }
    }

    fn at(&self, index: usize) -> Option<usize> {
        let source = if self.flipped { self.first - index as i64 } else { self.first + index as i64 };
        self.inside.contains(&index).then_some(source as usize)
    }
}
