//! Reading an incoming block at mapped places: whole voxels, or interpolated points.

use std::ops::Range;

use rayon::prelude::*;

use super::block::Block;
use super::fixed::{HALF, Line, ONE, split};
#[cfg(target_arch = "x86_64")]
use super::vector;
use crate::data::buffers;
use crate::data::volume::{Label, offset};
use crate::pipeline::empty::EmptySpace;
use crate::pipeline::origin::Origin;
use crate::pipeline::path::Row;
use crate::transforms::{Interpolation, Lattice, Mirror, spline_weights};

/// Blocks of at least this many voxels are shared out among threads.
const PARALLEL_FROM: usize = 1 << 21;

/// Rows along y that are filled for every x before those behind them, so that what they share stays near the processor.
const ROWS_TOGETHER: usize = 16;

/// Fills each row along z of an outgoing array, in parallel where it is large. The result does not depend on that.
fn for_each_row<T: Send>(out: &mut [T], shape: [usize; 3], fill: impl Fn(usize, usize, &mut [T]) + Sync) {
    let [_, size_y, size_z] = shape;
    if out.len() >= PARALLEL_FROM {
        out.par_chunks_exact_mut(size_y * size_z).enumerate().for_each(|(x, slice)| {
            slice.chunks_exact_mut(size_z).enumerate().for_each(|(y, row)| fill(x, y, row));
        });
        return;
    }
    for first in (0..size_y).step_by(ROWS_TOGETHER) {
        let together = ROWS_TOGETHER.min(size_y - first);
        for (x, slice) in out.chunks_exact_mut(size_y * size_z).enumerate() {
            let rows = slice[first * size_z..].chunks_exact_mut(size_z).take(together);
            rows.enumerate().for_each(|(y, row)| fill(x, first + y, row));
        }
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
    let mut out = buffers::take(fills.len() * voxels);
    let [along_x, along_y, along_z] = std::array::from_fn(|axis| sources(map, axis, incoming_shape, start, shape));
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
                return row.fill(fills[channel]);
            };
            row[..along_z.inside.start].fill(fills[channel]);
            row[along_z.inside.end..].fill(fills[channel]);
            let row = &mut row[along_z.inside.clone()];
            let Some(from_z) = along_z.at(along_z.inside.start) else { return };
            let first = local(0, from_x) + local(1, from_y) + local(2, from_z);
            match (along_z.backwards, stride) {
                (false, 1) => row.copy_from_slice(&source[first..first + row.len()]),
                (false, _) => {
                    row.iter_mut().zip(source[first..].iter().step_by(stride)).for_each(|(to, from)| *to = *from);
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

/// Where the voxels along one outgoing axis come from.
struct Sources {
    /// Those with a source.
    inside: Range<usize>,
    /// The incoming index of the voxel 0, inside or not.
    first: i64,
    backwards: bool,
}

impl Sources {
    fn at(&self, index: usize) -> Option<usize> {
        let source = if self.backwards { self.first - index as i64 } else { self.first + index as i64 };
        self.inside.contains(&index).then_some(source as usize)
    }
}

fn sources(map: &Lattice, axis: usize, incoming: [usize; 3], start: [usize; 3], shape: [usize; 3]) -> Sources {
    let (along, size) = (map.axes[axis], incoming[map.axes[axis].source] as i64);
    let first = if along.flipped { along.offset - start[axis] as i64 } else { along.offset + start[axis] as i64 };
    let (low, high) = if along.flipped { (first - size + 1, first + 1) } else { (-first, size - first) };
    let clip = |index: i64| index.clamp(0, shape[axis] as i64) as usize;
    Sources { inside: clip(low)..clip(high).max(clip(low)), first, backwards: along.flipped }
}

/// Interpolates at the places that `origin` gives, and looks up the labels of the same block where `labels` are given,
/// whose places must be the same. For cubic interpolation the block holds spline coefficients.
pub(super) fn warp(
    incoming: &Block,
    (origin, interpolation): (&Origin, Interpolation),
    fills: &[f32],
    labels: Option<LabelSource>,
    start: [usize; 3],
    shape: [usize; 3],
) -> (Vec<f32>, Option<Vec<Label>>) {
    let (voxels, slice): (usize, usize) = (shape.iter().product(), shape[1] * shape[2]);
    let mut out = buffers::take(fills.len() * voxels);
    let mut out_labels = if labels.is_some() { buffers::take(voxels) } else { Vec::new() };
    let sources: Vec<Source> =
        (0..fills.len()).map(|channel| Source::of(incoming, channel, origin.source_shape)).collect();
    // For each x its slice of every channel and of the labels.
    let mut slices: Vec<Slice> = (0..shape[0]).map(|_| (Vec::new(), None)).collect();
    for channel in out.chunks_exact_mut(voxels) {
        slices.iter_mut().zip(channel.chunks_exact_mut(slice)).for_each(|((images, _), slice)| images.push(slice));
    }
    slices.iter_mut().zip(out_labels.chunks_exact_mut(slice)).for_each(|((_, label), slice)| *label = Some(slice));
    let fill = |x: usize, (images, out_labels): &mut Slice, rows: Range<usize>, places: &mut RowPlaces| {
        for y in rows {
            places.find(origin, [start[0] + x, start[1] + y, start[2]], shape[2]);
            let along = y * shape[2]..(y + 1) * shape[2];
            for ((image, source), fill) in images.iter_mut().zip(&sources).zip(fills) {
                places.interpolate(source, interpolation, *fill, &mut image[along.clone()]);
            }
            if let (Some(out), Some(labels)) = (out_labels.as_mut(), labels) {
                places.look_up(labels, origin.source_shape, &mut out[along]);
            }
        }
    };
    if voxels >= PARALLEL_FROM {
        let all = |(x, slice)| fill(x, slice, 0..shape[1], &mut RowPlaces::new(origin, shape[2]));
        slices.par_iter_mut().enumerate().for_each(all);
    } else {
        let mut places = RowPlaces::new(origin, shape[2]);
        for first in (0..shape[1]).step_by(ROWS_TOGETHER) {
            let rows = first..(first + ROWS_TOGETHER).min(shape[1]);
            slices.iter_mut().enumerate().for_each(|(x, slice)| fill(x, slice, rows.clone(), &mut places));
        }
    }
    (out, labels.map(|_| out_labels))
}

/// The places of a row of outgoing voxels, found once for all channels and the labels.
enum RowPlaces {
    /// They lie on a line, of whose places some are inside; the first voxel's index along z.
    Straight { inside: Range<usize>, line: Line, z: usize },
    /// They were found one by one.
    Bent(Row),
}

impl RowPlaces {
    /// Of a row of so many voxels, not found yet.
    fn new(origin: &Origin, length: usize) -> Self {
        if origin.bends.is_empty() {
            Self::Straight { inside: 0..0, line: Line::of([0; 3], [0; 3]), z: 0 }
        } else {
            Self::Bent(Row::new(length))
        }
    }

    /// Finds those of the row that begins at a voxel.
    fn find(&mut self, origin: &Origin, [x, y, z]: [usize; 3], length: usize) {
        match self {
            Self::Straight { .. } => {
                let (inside, line) = origin.inside(x, y, z..z + length);
                *self = Self::Straight { inside, line, z };
            }
            Self::Bent(row) => row.follow(&origin.path, [x, y, z]),
        }
    }

    fn interpolate(&self, source: &Source, interpolation: Interpolation, fill: f32, row: &mut [f32]) {
        match self {
            Self::Straight { inside, line, z } => straight_row(source, interpolation, fill, (inside, line, *z), row),
            Self::Bent(places) => bent_row(source, interpolation, fill, places, row),
        }
    }

    fn look_up(&self, source: LabelSource, shape: [usize; 3], row: &mut [Label]) {
        match self {
            Self::Straight { inside, line, z } => {
                row[..inside.start].fill(0);
                row[inside.end..].fill(0);
                label_row(source, shape, line, z + inside.start, &mut row[inside.clone()]);
            }
            Self::Bent(places) => bent_labels(source, shape, places, row),
        }
    }
}

/// The voxels at one x: those of each channel, and their labels.
type Slice<'a> = (Vec<&'a mut [f32]>, Option<&'a mut [Label]>);

/// A row of outgoing voxels whose places were found one by one.
fn bent_row(source: &Source, interpolation: Interpolation, fill: f32, row: &Row, out: &mut [f32]) {
    let one_by_one = |first: usize, out: &mut [f32]| {
        for (index, value) in (first..).zip(out) {
            *value = row.source(index).map_or(fill, |place| source.at(interpolation, place));
        }
    };
    #[cfg(target_arch = "x86_64")]
    if interpolation == Interpolation::Linear {
        return vector::bent_row(source, row, out, one_by_one);
    }
    one_by_one(0, out);
}

/// The labels of a row of outgoing voxels whose places were found one by one.
fn bent_labels(source: LabelSource, shape: [usize; 3], row: &Row, out: &mut [Label]) {
    let one_by_one = |first: usize, out: &mut [Label]| {
        for (index, label) in (first..).zip(out) {
            *label = row.source(index).map_or(0, |place| nearest_label(source.labels, shape, place));
        }
    };
    #[cfg(target_arch = "x86_64")]
    vector::bent_labels(source, shape, row, out, one_by_one);
    #[cfg(not(target_arch = "x86_64"))]
    one_by_one(0, out);
}

/// A row of outgoing voxels whose places lie on a line, those of voxels `inside` within the volume; the first one's index
/// along z is `z`.
fn straight_row(
    source: &Source,
    interpolation: Interpolation,
    fill: f32,
    (inside, line, z): (&Range<usize>, &Line, usize),
    row: &mut [f32],
) {
    row[..inside.start].fill(fill);
    row[inside.end..].fill(fill);
    let one_by_one = |range: Range<usize>, row: &mut [f32]| {
        for index in range {
            row[index] = source.at(interpolation, line.at(z + index));
        }
    };
    #[cfg(target_arch = "x86_64")]
    if interpolation == Interpolation::Linear
        && let Some(taken) = vector::linear_row(source, line, z, inside, row)
    {
        one_by_one(inside.start..taken.start, row);
        return one_by_one(taken.end..inside.end, row);
    }
    one_by_one(inside.clone(), row);
}

/// One channel of an incoming block.
pub(super) struct Source<'a> {
    pub(super) values: &'a [f32],
    pub(super) start: [usize; 3],
    pub(super) shape: [usize; 3],
    /// Voxels of the block's volume.
    pub(super) volume: [usize; 3],
}

impl<'a> Source<'a> {
    fn of(block: &'a Block, channel: usize, volume: [usize; 3]) -> Self {
        Self { values: block.channel(channel), start: block.start, shape: block.shape, volume }
    }

    /// The value at a place inside the volume.
    pub(super) fn at(&self, interpolation: Interpolation, place: [i64; 3]) -> f32 {
        match interpolation {
            Interpolation::Nearest => self.nearest(place),
            Interpolation::Linear => self.linear(place),
            Interpolation::Cubic => self.cubic(place),
        }
    }

    /// The smallest and the largest places whose eight voxels lie in the block.
    pub(super) fn interior(&self) -> ([i64; 3], [i64; 3]) {
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

    pub(super) fn linear(&self, place: [i64; 3]) -> f32 {
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
pub(super) struct LabelSource<'a> {
    pub(super) labels: &'a [Label],
    /// Where there are none but 0, where that is known.
    pub(super) empty: Option<&'a EmptySpace>,
}

/// The labels of a block of outgoing voxels: row by row what [`Origin::source`] says of each voxel.
pub(super) fn labels(source: LabelSource, origin: &Origin, start: [usize; 3], shape: [usize; 3]) -> Vec<Label> {
    let mut out = buffers::take(shape.iter().product());
    // Room for places that are found one by one is made for many rows at once.
    let together = if origin.bends.is_empty() { shape } else { [shape[0], 1, shape[1] * shape[2]] };
    for_each_row(&mut out, together, |x, first, rows| {
        let mut places = RowPlaces::new(origin, shape[2]);
        for (y, row) in (first..).zip(rows.chunks_exact_mut(shape[2])) {
            places.find(origin, [start[0] + x, start[1] + y, start[2]], shape[2]);
            places.look_up(source, origin.source_shape, row);
        }
    });
    out
}

/// The labels of a row's voxels that all lie inside; `first` is the index along z of the first one.
fn label_row(source: LabelSource, shape: [usize; 3], line: &Line, first: usize, row: &mut [Label]) {
    let labels = source.labels;
    let filled = source.empty.map_or(0..row.len(), |empty| empty.filled(line, first, row.len()));
    row[..filled.start].fill(0);
    row[filled.end..].fill(0);
    let (first, row) = (first + filled.start, &mut row[filled]);
    #[cfg(target_arch = "x86_64")]
    if vector::label_row(labels, shape, line, first, row) {
        return;
    }
    for (z, label) in row.iter_mut().enumerate() {
        *label = nearest_label(labels, shape, line.at(first + z));
    }
}

/// The label nearest to a place inside a label map.
pub(super) fn nearest_label(source: &[Label], shape: [usize; 3], place: [i64; 3]) -> Label {
    source[offset(shape, place.map(|place| ((place + HALF) >> 32) as usize))]
}
