//! Resampling under maps that only scale and shift the axes: the rows around a row of voxels are rows of the source.
//!
//! So a row is interpolated between four rows of the source along y and x first, and then along z, as voxels one by one are.

use std::cell::RefCell;

use simd::{ROW_PADDING, interpolate_row, prefetch, vectorized};

use super::rows::{Rows, Span};
use super::slices::mix;
use super::source::{ImageSource, LabelSource};
use super::votes::VoteQueue;
use crate::lazy::fixed_point::{MAX_COORDINATE, fixed, split};
use crate::lazy::index_mapping::IndexMapping;
use crate::lazy::lanes::GROUP;
use crate::lazy::line::Line;
use crate::{Convention, Interpolation};
use volume::{Affine, Label, offset};

/// The largest scale along z: with a larger one, most of a source row would be interpolated in vain.
const MAX_SCALE: f64 = 8.0;

/// Voxels that are tested for different labels together.
const CHUNK: usize = 16;

/// Voxels whose labels are compared together, and fewer for short rows.
const LANES: [usize; 2] = [32, 8];

/// Rows along y after which source rows are used that are prefetched now.
const ROWS_AHEAD: f64 = 4.0;

/// Returns whether a mapping only scales and shifts the axes.
pub(super) fn applies(mapping: &IndexMapping, interpolation: Interpolation) -> bool {
    let Affine([[_, xy, xz, _], [yx, _, yz, _], [zx, zy, zz, _]]) = mapping.map;
    mapping.convention == Convention::GridSample
        && interpolation == Interpolation::Linear
        && mapping.displacements.is_empty()
        && mapping.intermediate_grids.is_empty()
        && [xy, xz, yx, yz, zx, zy] == [0.0; 6]
        && zz > 0.0
        && zz <= MAX_SCALE
}

/// The voxels of a row whose source points are in the interior of the block, along z; they are the same ones of all rows.
pub(super) struct AlongZ {
    span: Span,
    /// Index of the first source voxel.
    first: usize,
    /// The voxel below each point, counted from the first source voxel.
    indices: Vec<u32>,
    /// The weight of the next one.
    weights: Vec<f32>,
    /// For each source voxel, and one more, the number of points below it.
    points_below: Vec<u32>,
    /// The number of rows of the source from those of a row to those that are prefetched.
    rows_ahead: isize,
}

thread_local! {
    /// A source row, interpolated along x and y, and whether its labels differ.
    static SCRATCH: RefCell<(Vec<f32>, Vec<Label>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

impl AlongZ {
    /// Returns the voxels of rows of `length` voxels from z = `start` on whose points are in a box.
    pub(super) fn new(map: &Affine, interior: ([i64; 3], [i64; 3]), start: usize, length: usize) -> Self {
        let direction = Line::new(map, 0.0, 0.0);
        let anywhere = fixed(MAX_COORDINATE);
        let (low, high) = ([-anywhere, -anywhere, interior.0[2]], [anywhere, anywhere, interior.1[2]]);
        let inside = direction.range_within(low, high, start, length);
        let points = inside.clone().map(|z| split(direction.at(start + z)[2]));
        let first = points.clone().next().map_or(0, |(index, _)| index);
        let (indices, weights): (Vec<u32>, Vec<f32>) =
            points.map(|(index, weight)| ((index - first) as u32, weight)).unzip();
        let cells = indices.last().map_or(0, |index| *index + 1);
        let points_below = (0..=cells).map(|cell| indices.partition_point(|index| *index < cell) as u32).collect();
        let rows_ahead = (map.0[1][1] * ROWS_AHEAD).round() as isize;
        Self { span: [inside.start, inside.end], first: first as usize, indices, weights, points_below, rows_ahead }
    }

    /// Returns the source voxels that the points of a row are interpolated between.
    fn length(&self) -> usize {
        self.points_below.len()
    }

    /// Interpolates a span of each row, which is empty or that of these voxels. Spans of fewer than eight voxels are left
    /// unchanged.
    pub(super) fn interpolate_rows(&self, source: &ImageSource, rows: &Rows, spans: &[Span], image: &mut [f32]) {
        let [start, end] = self.span;
        if end - start < GROUP {
            return;
        }
        SCRATCH.with_borrow_mut(|(row, _)| {
            row.resize(self.length() + ROW_PADDING, 0.0);
            for ((base, span), out) in rows.bases.iter().zip(spans).zip(image.chunks_exact_mut(rows.length)) {
                if span[0] == span[1] {
                    continue;
                }
                assert_eq!(*span, self.span, "the points of all rows have the same positions along z");
                let [(x, weight_x), (y, weight_y)] = [split(base[0]), split(base[1])];
                let around = self.around(source.values, [x, y], source.start, source.shape);
                mix(around, [weight_x, weight_y], &mut row[..self.length()]);
                interpolate_row(row, &self.indices, &self.weights, &mut out[start..end]);
            }
        });
    }

    /// Interpolates the labels of a span of each row, which is empty or that of these voxels.
    pub(super) fn look_up_rows(
        &self,
        source: &LabelSource,
        rows: &Rows,
        spans: &[Span],
        queue: &mut VoteQueue,
        label: &mut [Label],
    ) {
        for row in (0..spans.len()).filter(|row| spans[*row][0] < spans[*row][1]) {
            self.look_up_row(source, rows, row, queue, label);
        }
    }

    /// Interpolates the labels of a row.
    fn look_up_row(&self, source: &LabelSource, rows: &Rows, row: usize, queue: &mut VoteQueue, label: &mut [Label]) {
        let [x, y, _, _] = rows.bases[row];
        let around = self.around(source.labels, [x >> 32, y >> 32], source.start, source.shape);
        let (cells, from) = (self.length() - 1, row * rows.length + self.span[0]);
        SCRATCH.with_borrow_mut(|(_, differences)| {
            differences.resize(cells, 0);
            find_differences(around, differences);
            let mut cell = 0;
            while cell < cells {
                let next = cell + uniform_cells(&differences[cell..]);
                let points = |cell: usize| self.points_below[cell] as usize;
                label[from + points(cell)..from + points(next)].fill(around[0][cell]);
                if next == cells {
                    break;
                }
                let ([a, b, c, d], above) = (around, next + 1);
                for z in points(next)..points(above) {
                    let near = [a[next], a[above], b[next], b[above]];
                    let far = [c[next], c[above], d[next], d[above]];
                    let labels = [near[0], near[1], near[2], near[3], far[0], far[1], far[2], far[3]];
                    queue.push(label, from + z, labels, rows.point(row, self.span[0] + z));
                }
                cell = above;
            }
        });
    }

    /// Returns the four rows of a block around rows at x and y: `[x, y]` is (0, 0), (0, 1), (1, 0), (1, 1).
    #[inline]
    fn around<'v, T>(&self, values: &'v [T], [x, y]: [i64; 2], start: [usize; 3], shape: [usize; 3]) -> [&'v [T]; 4] {
        let first = offset(shape, [x as usize - start[0], y as usize - start[1], self.first - start[2]]);
        let (next_x, next_y, length) = (shape[1] * shape[2], shape[2], self.length());
        let (near, far) = (&values[first..], &values[first + next_x..]);
        let ahead = (first + next_x).wrapping_add_signed(self.rows_ahead * next_y as isize);
        prefetch(values, ahead, length);
        prefetch(values, ahead + next_y, length);
        [&near[..length], &near[next_y..next_y + length], &far[..length], &far[next_y..next_y + length]]
    }
}

/// Returns the number of cells before the first one whose labels differ.
fn uniform_cells(differences: &[Label]) -> usize {
    let is_different = |chunk: &[Label]| chunk.iter().fold(0, |bits, difference| bits | difference) != 0;
    let uniform = differences.chunks(CHUNK).take_while(|chunk| !is_different(chunk)).count() * CHUNK;
    let rest = differences.get(uniform..).unwrap_or_default();
    uniform.min(differences.len()) + rest.iter().take_while(|difference| **difference == 0).count()
}

vectorized! {
    /// Computes whether the labels of four rows, at each z and the next one, differ: 0 if not.
    fn find_differences(rows: [&[Label]; 4], out: &mut [Label]) {
        let mut first = 0;
        while first + LANES[0] <= out.len() {
            differences_of::<{ LANES[0] }>(rows, first, out);
            first += LANES[0];
        }
        while first < out.len() && out.len() >= LANES[1] {
            // The last labels may overlap those before.
            differences_of::<{ LANES[1] }>(rows, first.min(out.len() - LANES[1]), out);
            first += LANES[1];
        }
        for first in first..out.len() {
            differences_of::<1>(rows, first, out);
        }
    }
}

#[inline(always)]
fn differences_of<const N: usize>([a, b, c, d]: [&[Label]; 4], first: usize, out: &mut [Label]) {
    let (a, next_a) = (&a[first..first + N], &a[first + 1..first + 1 + N]);
    let (b, next_b) = (&b[first..first + N], &b[first + 1..first + 1 + N]);
    let (c, next_c) = (&c[first..first + N], &c[first + 1..first + 1 + N]);
    let (d, next_d) = (&d[first..first + N], &d[first + 1..first + 1 + N]);
    let out = &mut out[first..first + N];
    for lane in 0..N {
        let label = a[lane];
        let near = (label ^ b[lane]) | (label ^ c[lane]) | (label ^ d[lane]) | (label ^ next_a[lane]);
        out[lane] = near | (label ^ next_b[lane]) | (label ^ next_c[lane]) | (label ^ next_d[lane]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lazy::block::Block;
    use crate::lazy::resample::{source, warp};
    use random::{Purpose, Seed};
    use volume::unravel_index;

    #[test]
    fn uniform_cells_are_counted_up_to_the_first_different_one() {
        for length in [0, 1, 15, 16, 17, 40] {
            for different in 0..=length {
                let differences: Vec<Label> = (0..length).map(|cell| Label::from(cell >= different)).collect();
                assert_eq!(uniform_cells(&differences), different);
            }
        }
    }

    #[test]
    fn scaled_rows_have_the_values_and_labels_of_their_voxels_one_by_one() {
        let mut rng = Seed(11).stream(Purpose::Phantom, 0, "aligned", 0);
        let (size, out) = ([30, 31, 45], [28, 33, 50]);
        let voxels: usize = size.iter().product();
        let values: Vec<f32> = (0..voxels).map(|_| rng.normal() as f32).collect();
        let (incoming, mut counts) = (Block::new([0; 3], size, &values[..]), [0; 3]);
        let image_source = ImageSource::new(&incoming, 0, size);
        for (scale, block) in [(0.5, 6), (0.77, 1), (1.0, 5), (1.31, 3), (3.3, 9), (9.0, 4)] {
            let map = (0..voxels).map(|voxel| {
                let [x, y, z] = unravel_index(size, voxel);
                ((x / block + 2 * (y / block) + z / block) % 4) as Label
            });
            let map: Vec<Label> = map.collect();
            let labels = LabelSource { outside: 9, ..LabelSource::whole(&map, size) };
            let shift = out.map(|_| 3.0 * rng.unit() - 1.5);
            let affine = Affine::scale_and_shift([scale, 0.5 * scale, scale], shift);
            let mapping =
                IndexMapping { convention: Convention::GridSample, ..IndexMapping::affine(affine, out, size) };
            assert_eq!(applies(&mapping, Interpolation::Linear), scale < 9.0);
            for (start, shape) in [([0; 3], out), ([3, 20, 10], [9, 13, 17]), ([0, 0, 40], [28, 20, 5])] {
                let linear = (&mapping, Interpolation::Linear);
                let (image, label) = warp(&incoming, linear, &[-5.0], Some(labels), start, shape);
                for (index, (value, label)) in image.into_iter().zip(label.unwrap()).enumerate() {
                    let local = unravel_index(shape, index);
                    let voxel: [usize; 3] = std::array::from_fn(|axis| start[axis] + local[axis]);
                    let (sampled, line) = mapping.row_sampled(voxel[0], voxel[1], voxel[2]..voxel[2] + 1);
                    let point = line.at(voxel[2]);
                    let (low, high) = source::interior([0; 3], size);
                    let is_interior = (0..3).all(|axis| (low[axis]..=high[axis]).contains(&point[axis]));
                    let (kind, expected) = match sampled.is_empty() {
                        true => (0, (-5.0, 9)),
                        false => {
                            let value = image_source.linear_with_border(point, -5.0);
                            (1 + usize::from(is_interior), (value, labels.vote(size, point)))
                        }
                    };
                    assert_eq!((value.to_bits(), label), (f32::to_bits(expected.0), expected.1), "{scale} {voxel:?}");
                    counts[kind] += 1;
                }
            }
        }
        assert!(counts.iter().all(|count| *count > 1000), "{counts:?}");
    }
}
