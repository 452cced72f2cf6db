//! Resampling within slices: source points of a row along z differ by whole voxels along z only, as in nnU-Net's rotation of thick
//! slices.
//!
//! So all voxels of a row have the same interpolation weights, and their neighbours are the same voxels of four rows of the
//! source: nothing is gathered, and nothing interpolated along z.

mod labels;

use std::ops::Range;

use simd::{prefetch, vectorized};

use super::request::{Request, Slice};
use super::source::ImageSource;
use crate::lazy::fixed_point::{ONE, fixed, split};
use crate::lazy::index_mapping::IndexMapping;
use crate::{Convention, Interpolation};
use volume::{Affine, offset};

/// Voxels along z that are computed together, and more of them for long rows.
const GROUP: usize = 8;
const WIDE_GROUP: usize = 32;

/// The largest number of slices by which a map may shift.
const MAX_SHIFT: f64 = (1 << 17) as f64;

/// Returns whether the rows of a mapping stay in their slices.
pub(super) fn applies(mapping: &IndexMapping, interpolation: Interpolation) -> bool {
    let Affine([x, y, z]) = mapping.map;
    mapping.convention == Convention::GridSample
        && interpolation == Interpolation::Linear
        && mapping.displacements.is_empty()
        && mapping.intermediate_grids.is_empty()
        && [x[2], y[2], z[0], z[1], z[2]] == [0.0, 0.0, 0.0, 0.0, 1.0]
        && z[3].fract() == 0.0
        && z[3].abs() < MAX_SHIFT
}

/// Computes slices at consecutive x of a request to whose mapping this module [`applies`]; the first one is at `first_x`.
pub(super) fn fill(request: &Request, first_x: usize, slices: &mut [Slice]) {
    let along_z = AlongZ::new(request);
    let mut rows = Vec::with_capacity(request.shape[1]);
    for (x, (images, label)) in (first_x..).zip(slices) {
        let row = |y: usize| {
            let [x, y, _] = request.voxel([x, y, 0]);
            Row::new(source_row(&request.mapping.map, x as f64, y as f64), request.mapping.source_shape)
        };
        rows.clear();
        rows.extend((0..request.shape[1]).map(row));
        for ((image, source), border) in images.iter_mut().zip(request.sources).zip(request.border_values) {
            interpolate(source, *border, &rows, &along_z, image);
        }
        if let (Some(label), Some(source)) = (label.as_mut(), request.labels) {
            labels::look_up(&source, request.mapping.source_shape, &rows, &along_z, label);
        }
    }
}

/// Returns the point of a row along x and y, as [`Line::new`](crate::lazy::line::Line::new).
#[inline(always)]
fn source_row(map: &Affine, x: f64, y: f64) -> [i64; 2] {
    let [[xx, xy, _, shift_x], [yx, yy, _, shift_y], _] = map.0;
    [fixed(xx * x + xy * y + shift_x), fixed(yx * x + yy * y + shift_y)]
}

/// Steps along x by which source rows are prefetched.
const AHEAD: f64 = 3.0;

/// The voxels of rows along z.
struct AlongZ {
    /// Voxels of a row.
    length: usize,
    /// Those that are in a slice of the source.
    inside: Range<usize>,
    /// The slice of the source from which the first of them comes.
    first: usize,
    /// The steps of the source, along x and y, that lead to the rows that are prefetched.
    ahead: [isize; 2],
}

impl AlongZ {
    fn new(request: &Request) -> Self {
        let (length, size) = (request.shape[2], request.mapping.source_shape[2] as i64);
        let shift = request.start[2] as i64 + request.mapping.map.0[2][3] as i64;
        let clip = |index: i64| index.clamp(0, length as i64) as usize;
        let inside = clip(-shift)..clip(size - shift);
        let [ahead_x, ahead_y] = [0, 1].map(|axis| (request.mapping.map.0[axis][0] * AHEAD).round() as isize);
        Self { length, first: (shift + inside.start as i64) as usize, inside, ahead: [ahead_x, ahead_y] }
    }

    /// Prefetches rows of a source from which rows some steps further along x come, given the position of a source row.
    #[inline(always)]
    fn prefetch<T>(&self, values: &[T], shape: [usize; 3], position: usize) {
        let [x, y] = self.ahead;
        let distance = (x * shape[1] as isize + y) * shape[2] as isize;
        // The row and the next one along y.
        prefetch(values, position.wrapping_add_signed(distance), 2 * self.length);
    }
}

/// A row along z, relative to the rows of the source between which it is.
struct Row {
    /// Index of the lower ones along x and y.
    index: [i64; 2],
    /// Weights of the upper ones along x and y.
    weights: [f32; 2],
    /// The point of the row along x and y.
    point: [i64; 2],
    neighbours: Neighbours,
}

/// Which of the four rows around a row are in the source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Neighbours {
    All,
    Some,
    None,
}

impl Row {
    #[inline(always)]
    fn new(point: [i64; 2], [size_x, size_y, _]: [usize; 3]) -> Self {
        let [(x, weight_x), (y, weight_y)] = [split(point[0]), split(point[1])];
        let is_between = |point: i64, size: usize| (0..(size as i64 - 1) * ONE).contains(&point);
        let is_near = |point: i64, size: usize| (1 - ONE..size as i64 * ONE).contains(&point);
        let neighbours = match () {
            () if is_between(point[0], size_x) && is_between(point[1], size_y) => Neighbours::All,
            () if is_near(point[0], size_x) && is_near(point[1], size_y) => Neighbours::Some,
            () => Neighbours::None,
        };
        Self { index: [x, y], weights: [weight_x, weight_y], point, neighbours }
    }

    /// Returns the positions of the four rows around it in a block from `start` on, from the slice `z` on: `[x, y]` is (0, 0),
    /// (0, 1), (1, 0), (1, 1). Only if all are in the source.
    #[inline(always)]
    fn positions(&self, start: [usize; 3], shape: [usize; 3], z: usize) -> [usize; 4] {
        let [x, y] = self.index;
        let first = offset(shape, [x as usize - start[0], y as usize - start[1], z - start[2]]);
        let (next_x, next_y) = (shape[1] * shape[2], shape[2]);
        [first, first + next_y, first + next_x, first + next_x + next_y]
    }
}

/// Interpolates the rows at one x; voxels outside the source have the value `border`.
fn interpolate(source: &ImageSource, border: f32, rows: &[Row], along_z: &AlongZ, image: &mut [f32]) {
    let AlongZ { length, inside, first, .. } = along_z;
    for (row, out) in rows.iter().zip(image.chunks_exact_mut(*length)) {
        if row.neighbours == Neighbours::None || inside.is_empty() {
            out.fill(border);
            continue;
        }
        out[..inside.start].fill(border);
        out[inside.end..].fill(border);
        if row.neighbours == Neighbours::Some {
            mix_with_border(source, border, row, *first, &mut out[inside.clone()]);
        }
    }
    if !inside.is_empty() {
        mix_rows(source.values, (source.start, source.shape), rows, along_z, image);
    }
}

vectorized! {
    /// Interpolates the rows of which all neighbours are in a block, given by its first voxel and its shape.
    fn mix_rows(
        values: &[f32],
        block: ([usize; 3], [usize; 3]),
        rows: &[Row],
        along_z: &AlongZ,
        out: &mut [f32],
    ) {
        let AlongZ { length, inside, first, .. } = along_z;
        for (row, out) in rows.iter().zip(out.chunks_exact_mut(*length)) {
            if row.neighbours == Neighbours::All {
                let [a, b, c, d] = row.positions(block.0, block.1, *first);
                along_z.prefetch(values, block.1, a);
                let from = |position: usize| &values[position..position + inside.len()];
                mix_between([from(a), from(b), from(c), from(d)], row.weights, &mut out[inside.start..inside.end]);
            }
        }
    }
}

vectorized! {
    /// Interpolates between four rows, along y and then along x, as the other kernels.
    pub(super) fn mix(rows: [&[f32]; 4], weights: [f32; 2], out: &mut [f32]) {
        mix_between(rows, weights, out);
    }
}

#[inline(always)]
fn mix_between(rows: [&[f32]; 4], weights: [f32; 2], out: &mut [f32]) {
    let mut first = 0;
    while first + WIDE_GROUP <= out.len() {
        mix_lanes::<WIDE_GROUP>(rows, first, weights, out);
        first += WIDE_GROUP;
    }
    while first < out.len() && out.len() >= GROUP {
        // The last voxels overlap those before.
        mix_lanes::<GROUP>(rows, first.min(out.len() - GROUP), weights, out);
        first += GROUP;
    }
    for first in first..out.len() {
        mix_lanes::<1>(rows, first, weights, out);
    }
}

#[inline(always)]
fn mix_lanes<const N: usize>([a, b, c, d]: [&[f32]; 4], first: usize, [x, y]: [f32; 2], out: &mut [f32]) {
    let (a, b) = (&a[first..first + N], &b[first..first + N]);
    let (c, d) = (&c[first..first + N], &d[first..first + N]);
    let out = &mut out[first..first + N];
    for lane in 0..N {
        let (near, far) = (a[lane] + (b[lane] - a[lane]) * y, c[lane] + (d[lane] - c[lane]) * y);
        out[lane] = near + (far - near) * x;
    }
}

/// Interpolates a row that has neighbours outside the source, whose value is `border`.
fn mix_with_border(source: &ImageSource, border: f32, row: &Row, first: usize, out: &mut [f32]) {
    out.fill(0.0);
    for corner in 0..4 {
        let is_next = [corner >> 1, corner & 1];
        let along = |axis: usize| if is_next[axis] == 1 { row.weights[axis] } else { 1.0 - row.weights[axis] };
        let weight = along(0) * along(1);
        if weight == 0.0 {
            continue;
        }
        let index: [i64; 2] = std::array::from_fn(|axis| row.index[axis] + is_next[axis]);
        if (0..2).any(|axis| !(0..source.volume[axis] as i64).contains(&index[axis])) {
            out.iter_mut().for_each(|value| *value += border * weight);
            continue;
        }
        let local = |axis: usize| index[axis] as usize - source.start[axis];
        let position = offset(source.shape, [local(0), local(1), first - source.start[2]]);
        let values = &source.values[position..][..out.len()];
        out.iter_mut().zip(values).for_each(|(sum, value)| *sum += value * weight);
    }
}
