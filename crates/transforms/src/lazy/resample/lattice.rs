//! Resampling under lattice maps: whole voxels are copied.

use std::ops::Range;

use rayon::prelude::*;

use super::request::{MIN_PARALLEL_VOXELS, ROWS_PER_TILE};
use super::reverse::reverse_plane;
use super::source::LabelSource;
use crate::Lattice;
use crate::lazy::block::Block;
use volume::{Label, buffer_pool};

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
    let axes = AxisSources::of_block(map, incoming_shape, start, shape);
    for (channel, (values, border)) in out.chunks_exact_mut(voxels).zip(border_values).enumerate() {
        let source = Source { values: incoming.channel(channel), start: incoming.start, shape: incoming.shape };
        copy(&source, map, &axes, *border, shape, values);
    }
    out
}

/// Copies the labels of a block of the outgoing volume; voxels outside the incoming one have the label `labels.outside`.
pub(in crate::lazy) fn lattice_labels(
    labels: &LabelSource,
    map: &Lattice,
    incoming_shape: [usize; 3],
    start: [usize; 3],
    shape: [usize; 3],
) -> Vec<Label> {
    let mut out = buffer_pool::acquire(shape.iter().product());
    let axes = AxisSources::of_block(map, incoming_shape, start, shape);
    let source = Source { values: labels.labels, start: labels.start, shape: labels.shape };
    copy(&source, map, &axes, labels.outside, shape, &mut out);
    out
}

/// One channel of an incoming block.
struct Source<'a, T> {
    values: &'a [T],
    start: [usize; 3],
    shape: [usize; 3],
}

fn copy<T: Copy + Send + Sync>(
    source: &Source<T>,
    map: &Lattice,
    [along_x, along_y, along_z]: &[AxisSources; 3],
    border: T,
    shape: [usize; 3],
    out: &mut [T],
) {
    let strides = [source.shape[1] * source.shape[2], source.shape[2], 1];
    let stride = strides[map.axes[2].source];
    let local = |axis: usize, index: usize| {
        let from = map.axes[axis].source;
        (index - source.start[from]) * strides[from]
    };
    let is_contiguous = (0..3).all(|axis| map.axes[axis].source == axis)
        && along_z.inside == (0..shape[2])
        && source.shape[2] == shape[2];
    let flipped = [along_y.flipped, along_z.flipped];
    if is_contiguous && out.len() < MIN_PARALLEL_VOXELS {
        // The rows inside follow one another, in the source too.
        let (first, end) = (along_y.inside.start * shape[2], along_y.inside.end * shape[2]);
        for (x, out) in out.chunks_exact_mut(shape[1] * shape[2]).enumerate() {
            let (Some(from_x), Some(from_y), Some(from_z)) = (along_x.at(x), along_y.lowest(), along_z.lowest()) else {
                out.fill(border);
                continue;
            };
            let from = local(0, from_x) + local(1, from_y) + local(2, from_z);
            out[..first].fill(border);
            out[end..].fill(border);
            out[first..end].copy_from_slice(&source.values[from..from + end - first]);
            reverse_plane(&mut out[first..end], shape[2], flipped);
        }
        return;
    }
    for_each_row(out, shape, |x, y, row| {
        let (Some(from_x), Some(from_y)) = (along_x.at(x), along_y.at(y)) else {
            return row.fill(border);
        };
        row[..along_z.inside.start].fill(border);
        row[along_z.inside.end..].fill(border);
        let row = &mut row[along_z.inside.clone()];
        let Some(from_z) = along_z.at(along_z.inside.start) else { return };
        let first = local(0, from_x) + local(1, from_y) + local(2, from_z);
        match (along_z.flipped, stride) {
            (false, 1) => row.copy_from_slice(&source.values[first..first + row.len()]),
            (false, _) => {
                row.iter_mut().zip(source.values[first..].iter().step_by(stride)).for_each(|(to, from)| *to = *from);
            }
            (true, 1) => {
                let from = &source.values[first + 1 - row.len()..=first];
                row.iter_mut().zip(from.iter().rev()).for_each(|(to, from)| *to = *from);
            }
            (true, _) => {
                let from = source.values[..=first].iter().rev().step_by(stride);
                row.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
        }
    });
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
    /// Returns those of each axis of a block of the outgoing volume.
    fn of_block(map: &Lattice, incoming: [usize; 3], start: [usize; 3], shape: [usize; 3]) -> [Self; 3] {
        std::array::from_fn(|axis| Self::new(map, axis, incoming, start, shape))
    }

    fn new(map: &Lattice, axis: usize, incoming: [usize; 3], start: [usize; 3], shape: [usize; 3]) -> Self {
        let (along, size) = (map.axes[axis], incoming[map.axes[axis].source] as i64);
        let first = if along.flipped { along.offset - start[axis] as i64 } else { along.offset + start[axis] as i64 };
        let (low, high) = if along.flipped { (first - size + 1, first + 1) } else { (-first, size - first) };
        let clip = |index: i64| index.clamp(0, shape[axis] as i64) as usize;
        Self { inside: clip(low)..clip(high).max(clip(low)), first, flipped: along.flipped }
    }

    /// Returns the lowest source of the outgoing voxels that have one.
    fn lowest(&self) -> Option<usize> {
        if self.flipped {
            self.inside.end.checked_sub(1).and_then(|last| self.at(last))
        } else {
            self.at(self.inside.start)
        }
    }

    fn at(&self, index: usize) -> Option<usize> {
        let source = if self.flipped { self.first - index as i64 } else { self.first + index as i64 };
        self.inside.contains(&index).then_some(source as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LatticeAxis;
    use volume::{offset, unravel_index};

    #[test]
    fn voxels_are_copied_as_one_by_one() {
        let incoming = [7, 6, 9];
        let values: Vec<f32> = (0..incoming.iter().product::<usize>()).map(|i| i as f32).collect();
        let block = Block::new([0; 3], incoming, &values[..]);
        for combination in 0..64usize {
            let is = |bit: usize| combination >> bit & 1 == 1;
            let sources = if is(3) { [0, 1, 2] } else { [0, 2, 1] };
            // All of the rows along z, or a part of them; with and without voxels outside.
            let (shift, shape) = match (is(4), is(5)) {
                (false, false) => ([0; 3], sources.map(|axis| incoming[axis])),
                (true, false) => ([1, 1, 0], [4, 4, incoming[sources[2]]]),
                (false, true) => ([-2, 3, 0], [10, 9, incoming[sources[2]]]),
                (true, true) => ([1, -1, 2], [5, 8, 6]),
            };
            let axes = std::array::from_fn(|axis| {
                let last = incoming[sources[axis]] as i64 - 1;
                let offset = if is(axis) { last - shift[axis] } else { shift[axis] };
                LatticeAxis { source: sources[axis], flipped: is(axis), offset }
            });
            let map = Lattice { axes };
            let out = lattice(&block, &map, incoming, &[-1.0], [0; 3], shape);
            for (index, value) in out.into_iter().enumerate() {
                let voxel = unravel_index(shape, index);
                let mut source = [0; 3];
                for (axis, along) in axes.iter().enumerate() {
                    let step = if along.flipped { -(voxel[axis] as i64) } else { voxel[axis] as i64 };
                    source[along.source] = along.offset + step;
                }
                let is_inside = (0..3).all(|axis| (0..incoming[axis] as i64).contains(&source[axis]));
                let expected =
                    if is_inside { values[offset(incoming, source.map(|index| index as usize))] } else { -1.0 };
                assert_eq!(value, expected, "{map:?} {voxel:?}");
            }
        }
    }

    #[test]
    fn composed_maps_are_those_of_both_steps() {
        let axis = |source, flipped, offset| LatticeAxis { source, flipped, offset };
        for flips in 0..64usize {
            let is = |bit: usize| flips >> bit & 1 == 1;
            let first = Lattice { axes: [axis(1, is(0), 5), axis(0, is(1), 7), axis(2, is(2), 3)] };
            let then = Lattice { axes: [axis(2, is(3), 4), axis(0, is(4), 1), axis(1, is(5), 6)] };
            let composed = first.after(&then);
            for voxel in [[0.0, 0.0, 0.0], [1.0, 4.0, 2.0]] {
                assert_eq!(composed.affine().apply(voxel), first.affine().apply(then.affine().apply(voxel)), "{flips}");
            }
        }
        let flip = Lattice { axes: [axis(0, true, 3), axis(1, false, 0), axis(2, false, 2)] };
        assert!(flip.stays_inside([4, 5, 6], [4, 5, 8]));
        assert!(!flip.stays_inside([4, 5, 7], [4, 5, 8]) && !flip.stays_inside([5, 5, 6], [5, 5, 8]));
    }
}
