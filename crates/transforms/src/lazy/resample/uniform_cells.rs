//! Cells of a label map in which all labels are equal, so that interpolation between them need not read them.

use simd::vectorized;

use super::source::LabelSource;
use crate::lazy::fixed_point::ONE;
use volume::Label;

/// The binary logarithm of the voxels of a cell along each axis.
const LOG_CELL: usize = 2;
/// Voxels of a cell along each axis. Interpolation between the voxels of a cell also reads the next voxel, which therefore
/// counts as part of it.
const CELL: usize = 1 << LOG_CELL;

/// The largest distance that is computed, in cells.
const MAX_DISTANCE: usize = 12;

/// For each cell of a region, its distance to the nearest cell whose labels differ.
///
/// Neighbouring cells have voxels in common. So the labels of all cells that are nearer than that are equal.
pub(super) struct UniformCells {
    /// Index of the first cell along x, y and z.
    start: [usize; 3],
    shape: [usize; 3],
    /// Distances, as the largest of those along x, y and z; 0 if the labels of a cell differ. Else with its label.
    cells: Vec<(u8, Label)>,
    /// For each distance, the number of points of a row whose labels are certainly equal, from one in the cell on.
    points: [usize; MAX_DISTANCE + 1],
}

impl UniformCells {
    /// Computes the distances in a region of the block, given by its first voxel and the one after its last, for rows of points
    /// with this `step`.
    pub(super) fn new(source: LabelSource, first: [usize; 3], end: [usize; 3], step: [i64; 3]) -> Self {
        let start = first.map(|index| index >> LOG_CELL);
        let shape: [usize; 3] = std::array::from_fn(|axis| end[axis].div_ceil(CELL) - start[axis]);
        let count: usize = shape.iter().product();
        let (mut distances, mut labels) = (Vec::with_capacity(count), Vec::with_capacity(count));
        // The voxels of a cell that are in the region.
        let voxels = |cell: usize, axis: usize| {
            let from = (start[axis] + cell) * CELL;
            from.max(first[axis])..(from + CELL + 1).min(end[axis])
        };
        let mut row = CellRow::new(shape[2], first[2] - start[2] * CELL, end[2] - first[2]);
        for x in 0..shape[0] {
            for y in 0..shape[1] {
                let (along_x, along_y) = (voxels(x, 0), voxels(y, 1));
                let local = [along_x.start, along_y.start, first[2]];
                let local: [usize; 3] = std::array::from_fn(|axis| local[axis] - source.start[axis]);
                row.read(&source, local, [along_x.len(), along_y.len()]);
                distances.extend(row.uniform());
                labels.extend(row.labels());
            }
        }
        add_distances(&mut distances, [shape[1] * shape[2], shape[2], 1]);
        Self { start, shape, cells: distances.into_iter().zip(labels).collect(), points: points_per_distance(step) }
    }

    /// Returns the number of points in a row, from this one on, whose label is known, and the label; 0 if the labels around the
    /// point may differ. Points past the region do not count.
    #[inline]
    pub(super) fn points_alike(&self, point: [i64; 3]) -> (usize, Label) {
        let [x, y, z]: [usize; 3] =
            std::array::from_fn(|axis| (point[axis] >> (32 + LOG_CELL)) as usize - self.start[axis]);
        let (distance, label) = self.cells[(x * self.shape[1] + y) * self.shape[2] + z];
        (self.points[usize::from(distance).min(MAX_DISTANCE)], label)
    }
}

/// Returns for each distance of a cell how many points with a `step` between them are in cells that are nearer.
fn points_per_distance(step: [i64; 3]) -> [usize; MAX_DISTANCE + 1] {
    let longest = step.into_iter().map(i64::unsigned_abs).max().unwrap_or(0).max(1);
    std::array::from_fn(|distance| match distance {
        0 => 0,
        _ => (((distance - 1) as u64 * (CELL as u64 * ONE as u64)) / longest).min(1 << 16) as usize + 1,
    })
}

/// A row of cells along z.
struct CellRow {
    /// Bits that are set in all labels with the same z, and in any of them.
    all: Vec<Label>,
    any: Vec<Label>,
    /// Whether labels differ from voxel to voxel along z: 0 if not.
    differences: Vec<Label>,
    /// The first of these that is in the region.
    first: usize,
}

impl CellRow {
    fn new(cells: usize, first: usize, length: usize) -> Self {
        Self { all: vec![0; length], any: vec![0; length], differences: vec![0; cells * CELL], first }
    }

    /// Reads the labels of a number of rows along x and y, from a voxel of the block on.
    fn read(&mut self, source: &LabelSource, voxel: [usize; 3], counts: [usize; 2]) {
        collect(source.labels, source.shape, voxel, counts, &mut self.all, &mut self.any);
        let range = self.first..self.first + self.all.len();
        find_differences(&self.all, &self.any, &mut self.differences[range]);
    }

    /// Returns 1 for each cell whose labels are all equal, else 0.
    fn uniform(&self) -> impl Iterator<Item = u8> {
        let (cells, _) = self.differences.as_chunks::<CELL>();
        cells.iter().map(|cell| u8::from(*cell == [0; CELL]))
    }

    /// Returns a label of each cell.
    fn labels(&self) -> impl Iterator<Item = Label> {
        let cells = self.differences.len() / CELL;
        (0..cells).map(|cell| self.all[(cell * CELL).saturating_sub(self.first).min(self.all.len() - 1)])
    }
}

vectorized! {
    /// Collects the bits that are set in all and in any of the labels with the same z.
    fn collect(
        labels: &[Label],
        shape: [usize; 3],
        first: [usize; 3],
        counts: [usize; 2],
        all: &mut [Label],
        any: &mut [Label],
    ) {
        let length = all.len();
        all.fill(Label::MAX);
        any.fill(0);
        for x in first[0]..first[0] + counts[0] {
            for y in first[1]..first[1] + counts[1] {
                let row = &labels[(x * shape[1] + y) * shape[2] + first[2]..][..length];
                for ((label, all), any) in row.iter().zip(&mut *all).zip(&mut *any) {
                    *all &= *label;
                    *any |= *label;
                }
            }
        }
    }
}

vectorized! {
    /// Computes for each z whether the labels there and at the next z differ: 0 if not.
    fn find_differences(all: &[Label], any: &[Label], out: &mut [Label]) {
        for ((out, all), any) in out.iter_mut().zip(all.windows(2)).zip(any.windows(2)) {
            *out = (all[0] ^ any[0]) | (all[1] ^ any[1]) | (all[0] ^ all[1]);
        }
        if let (Some(out), Some(all), Some(any)) = (out.last_mut(), all.last(), any.last()) {
            *out = all ^ any;
        }
    }
}

/// Adds to each uniform cell the number of times that it remains uniform if cells become different beside different ones.
/// Cells at opposite ends of neighbouring rows count as neighbours, which makes distances smaller.
fn add_distances(distances: &mut [u8], strides: [usize; 3]) {
    let mut uniform = distances.to_vec();
    let mut before = uniform.clone();
    for _ in 1..MAX_DISTANCE {
        for stride in strides {
            before.copy_from_slice(&uniform);
            erode(&before, stride.min(before.len()), &mut uniform);
        }
        if add(&uniform, distances) == 0 {
            break;
        }
    }
}

vectorized! {
    /// Keeps the ones that have ones on both sides, `stride` cells away.
    fn erode(before: &[u8], stride: usize, uniform: &mut [u8]) {
        uniform[stride..].iter_mut().zip(before).for_each(|(cell, before)| *cell &= *before);
        uniform.iter_mut().zip(&before[stride..]).for_each(|(cell, after)| *cell &= *after);
    }
}

vectorized! {
    /// Adds ones to distances; returns 0 if there are none.
    fn add(uniform: &[u8], distances: &mut [u8]) -> u8 {
        distances.iter_mut().zip(uniform).for_each(|(distance, cell)| *distance += *cell);
        uniform.iter().fold(0, |any, cell| any | cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lazy::fixed_point::fixed;
    use crate::lazy::resample::votes::winner;
    use random::{Purpose, Seed};
    use volume::offset;

    #[test]
    fn labels_of_points_alike_are_those_of_interpolation() {
        let mut rng = Seed(1).stream(Purpose::Phantom, 0, "cells", 0);
        let shape = [90, 70, 91];
        let mut labels = vec![0 as Label; shape.iter().product()];
        for x in 12..19 {
            for y in 3..29 {
                labels[offset(shape, [x, y, 20])..][..18].fill(7);
            }
        }
        let source = LabelSource { start: [5, 9, 14], ..LabelSource::whole(&labels, shape) };
        let vote = |point| winner(source.corners(point).map(i32::from), point) as Label;
        let (first, size) = ([6, 11, 15], [88, 67, 87]);
        let end: [usize; 3] = std::array::from_fn(|axis| first[axis] + size[axis]);
        let mut counts = [0; 3];
        for round in 0..40 {
            let step: [i64; 3] =
                std::array::from_fn(|_| fixed((rng.unit() - 0.5) * if round % 2 == 0 { 1.0 } else { 4.0 }));
            let cells = UniformCells::new(source, first, end, step);
            for _ in 0..1000 {
                let point: [i64; 3] =
                    std::array::from_fn(|axis| fixed(first[axis] as f64 + rng.unit() * (size[axis] as f64 - 1.001)));
                let (count, label) = cells.points_alike(point);
                for index in 0..count as i64 {
                    let moved: [i64; 3] = std::array::from_fn(|axis| point[axis] + step[axis] * index);
                    let is_inside =
                        |axis: usize| (first[axis] as i64 * ONE..(end[axis] as i64 - 1) * ONE).contains(&moved[axis]);
                    if (0..3).all(is_inside) {
                        assert_eq!(vote(moved), label);
                    }
                }
                counts[count.min(2)] += 1;
            }
        }
        assert!(counts.iter().all(|count| *count > 300), "{counts:?}");
    }

    #[test]
    fn points_are_counted_by_their_longest_step() {
        let points = points_per_distance([ONE, 0, -ONE / 2]);
        assert_eq!(points[..4], [0, 1, CELL + 1, 2 * CELL + 1]);
        assert_eq!(points_per_distance([0, -2 * ONE, 0])[..4], [0, 1, CELL / 2 + 1, CELL + 1]);
    }
}
