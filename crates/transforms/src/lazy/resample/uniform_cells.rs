//! Cells of a label map in which all labels are equal, so that interpolation between them need not read them.

use super::source::LabelSource;
use crate::lazy::fixed_point::ONE;
use volume::{Label, offset};

/// The binary logarithm of the voxels of a cell along each axis.
const LOG_CELL: usize = 2;
/// Voxels of a cell along each axis. Interpolation between the voxels of a cell also reads the next voxel.
const CELL: usize = 1 << LOG_CELL;

/// Marks a cell whose labels differ.
const MIXED: u32 = 1 << 31;
/// Marks a cell whose neighbours, across faces, edges and corners, have the same label as the cell.
const DEEP: u32 = 1 << 30;

/// The label of each cell of a region whose labels are all equal.
pub(super) struct UniformCells {
    /// Index of the first cell along x, y and z.
    start: [usize; 3],
    shape: [usize; 3],
    cells: Vec<u32>,
}

/// The labels that interpolation at some points of a row returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Around {
    /// The label of all points up to a cell's length away.
    Far(Label),
    /// The label of the point.
    Near(Label),
    /// The point is between different labels.
    Mixed,
}

impl UniformCells {
    /// Finds the uniform cells of a region of the block, given by its first voxel and the one after its last.
    pub(super) fn new(source: LabelSource, first: [usize; 3], end: [usize; 3]) -> Self {
        let start = first.map(|index| index >> LOG_CELL);
        let shape = std::array::from_fn(|axis| end[axis].div_ceil(CELL) - start[axis]);
        let mut cells = Self { start, shape, cells: vec![u32::MAX; shape.iter().product()] };
        let mut row_cells = vec![0; shape[2]];
        for x in first[0]..end[0] {
            for y in first[1]..end[1] {
                let local = [x - source.start[0], y - source.start[1], first[2] - source.start[2]];
                let row = &source.labels[offset(source.shape, local)..][..end[2] - first[2]];
                summarize_row(row, first[2] - (start[2] << LOG_CELL), &mut row_cells);
                cells.merge_row([x, y], &row_cells);
            }
        }
        cells.mark_deep();
        cells
    }

    /// Merges a row of cells into those that interpolation in this row reads.
    fn merge_row(&mut self, [x, y]: [usize; 2], row: &[u32]) {
        // The first voxel of a cell is also the next one of the cell before.
        let cells_of = |index: usize, axis: usize| {
            let cell = (index >> LOG_CELL) - self.start[axis];
            cell.saturating_sub(usize::from(index.is_multiple_of(CELL)))..=cell
        };
        for cell_x in cells_of(x, 0) {
            for cell_y in cells_of(y, 1) {
                let first = offset(self.shape, [cell_x, cell_y, 0]);
                for (cell, value) in self.cells[first..first + self.shape[2]].iter_mut().zip(row) {
                    *cell = if *cell == u32::MAX || *cell == *value { *value } else { MIXED };
                }
            }
        }
    }

    fn mark_deep(&mut self) {
        // Along each axis in turn: a cell whose neighbours differ is marked, then those next to marked ones.
        let mut same = self.cells.clone();
        for axis in 0..3 {
            let stride: usize = self.shape[axis + 1..].iter().product();
            let before = same.clone();
            for (index, cell) in same.iter_mut().enumerate() {
                let position = index / stride % self.shape[axis];
                let is_same = |other: usize| before[other] == before[index];
                let low = position == 0 || is_same(index - stride);
                let high = position + 1 == self.shape[axis] || is_same(index + stride);
                *cell = if low && high { before[index] } else { MIXED };
            }
        }
        for (cell, same) in self.cells.iter_mut().zip(same) {
            *cell |= if same & MIXED == 0 { DEEP } else { 0 };
        }
    }

    /// Returns the labels around a point in the region.
    #[inline]
    pub(super) fn around(&self, point: [i64; 3]) -> Around {
        let cell: [usize; 3] = std::array::from_fn(|axis| (point[axis] >> (32 + LOG_CELL)) as usize - self.start[axis]);
        let value = self.cells[offset(self.shape, cell)];
        match value & (MIXED | DEEP) {
            DEEP => Around::Far(value as Label),
            0 => Around::Near(value as Label),
            _ => Around::Mixed,
        }
    }

    /// Returns the number of points in a row that are at most a cell apart, given the step between them.
    pub(super) fn points_per_cell(step: [i64; 3]) -> usize {
        let longest = step.into_iter().map(i64::unsigned_abs).max().unwrap_or(0).max(1);
        ((CELL as i64 * ONE) as u64 / longest).min(1 << 16) as usize + 1
    }
}

/// Returns the label of each cell along a row, or [`MIXED`]; the row starts `skipped` voxels after the first cell does.
fn summarize_row(row: &[Label], skipped: usize, cells: &mut [u32]) {
    for (cell, value) in cells.iter_mut().enumerate() {
        let start = (cell * CELL).saturating_sub(skipped);
        let end = (cell * CELL + CELL + 1 - skipped.min(cell * CELL + CELL)).min(row.len());
        let labels = &row[start.min(row.len() - 1)..end.max(start.min(row.len() - 1) + 1)];
        let differences = labels.iter().fold(0, |bits, label| bits | (label ^ labels[0]));
        *value = if differences == 0 { u32::from(labels[0]) } else { MIXED };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lazy::fixed_point::fixed;
    use random::{Purpose, Seed};

    #[test]
    fn labels_around_points_are_those_of_interpolation() {
        let mut rng = Seed(1).stream(Purpose::Phantom, 0, "cells", 0);
        let shape = [40, 33, 51];
        let mut labels = vec![0 as Label; shape.iter().product()];
        for x in 12..19 {
            for y in 3..29 {
                labels[offset(shape, [x, y, 20])..][..18].fill(7);
            }
        }
        let source = LabelSource { start: [5, 9, 14], ..LabelSource::whole(&labels, shape) };
        let (first, size) = ([6, 11, 15], [38, 30, 47]);
        let end = std::array::from_fn(|axis| first[axis] + size[axis]);
        let cells = UniformCells::new(source, first, end);
        let mut counts = [0; 3];
        for _ in 0..20_000 {
            let point: [i64; 3] =
                std::array::from_fn(|axis| fixed(first[axis] as f64 + rng.unit() * (size[axis] as f64 - 1.001)));
            let expected = source.vote_inside(point);
            match cells.around(point) {
                Around::Far(label) => {
                    counts[0] += 1;
                    // Also a cell further along any axis.
                    for axis in 0..3 {
                        let mut moved = point;
                        moved[axis] += CELL as i64 * ONE;
                        if moved[axis] < fixed((first[axis] + size[axis]) as f64 - 1.001) {
                            assert_eq!(source.vote_inside(moved), label);
                        }
                    }
                    assert_eq!(expected, label);
                }
                Around::Near(label) => {
                    counts[1] += 1;
                    assert_eq!(expected, label);
                }
                Around::Mixed => counts[2] += 1,
            }
        }
        assert!(counts.iter().all(|count| *count > 500), "{counts:?}");
    }

    #[test]
    fn points_are_counted_by_their_longest_step() {
        assert_eq!(UniformCells::points_per_cell([ONE, 0, -ONE / 2]), CELL + 1);
        assert_eq!(UniformCells::points_per_cell([0, -2 * ONE, 0]), CELL / 2 + 1);
    }
}
