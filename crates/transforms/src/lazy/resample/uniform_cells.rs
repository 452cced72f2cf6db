//! Cells of a label map in which all labels are equal, so that interpolation between them need not read them.

use simd::vectorized;

use super::source::LabelSource;
use crate::lazy::fixed_point::ONE;
use volume::{Label, offset};

/// The binary logarithm of the voxels of a cell along each axis.
const LOG_CELL: usize = 2;
/// Voxels of a cell along each axis. Interpolation between the voxels of a cell also reads the next voxel.
const CELL: usize = 1 << LOG_CELL;

/// The binary logarithm of the cells of a block along each axis.
const LOG_BLOCK: usize = 2;

/// Marks a cell whose labels differ.
const MIXED: u32 = 1 << 31;
/// Marks a cell whose neighbours, across faces, edges and corners, have the same label as the cell.
const DEEP: u32 = 1 << 30;

/// The label of each cell of a region whose labels are all equal.
pub(super) struct UniformCells {
    /// Index of the first cell along x, y and z; its multiple of a block's cells is the first block.
    start: [usize; 3],
    cells: Cells,
    /// Blocks of cells.
    blocks: Cells,
}

/// The labels that interpolation at some points of a row returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Around {
    /// The label of all points up to a block's length away.
    Farther(Label),
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
        // The first cell is also the first one of a block.
        let start = first.map(|index| index >> (LOG_CELL + LOG_BLOCK) << LOG_BLOCK);
        let shape = std::array::from_fn(|axis| end[axis].div_ceil(CELL) - start[axis]);
        let mut cells = Cells { shape, values: vec![MIXED; shape.iter().product()] };
        let length = end[2] - first[2];
        let (mut all, mut any) = (vec![0; length], vec![0; length]);
        // The voxels of a cell that are in the region, and the next one; of a cell before the region, its first one.
        let voxels = |cell: usize, axis: usize| {
            let from = (start[axis] + cell) * CELL;
            let low = from.max(first[axis]);
            low..(from + CELL + 1).min(end[axis]).max(low + 1)
        };
        for x in 0..shape[0] {
            for y in 0..shape[1] {
                all.fill(Label::MAX);
                any.fill(0);
                for voxel_x in voxels(x, 0) {
                    for voxel_y in voxels(y, 1) {
                        let local = [voxel_x - source.start[0], voxel_y - source.start[1], first[2] - source.start[2]];
                        let row = &source.labels[offset(source.shape, local)..][..length];
                        accumulate(row, &mut all, &mut any);
                    }
                }
                let row = &mut cells.values[offset(shape, [x, y, 0])..][..shape[2]];
                for (z, cell) in row.iter_mut().enumerate() {
                    let voxels = voxels(z, 2);
                    let along = voxels.start - first[2]..voxels.end - first[2];
                    *cell = uniform_label(&all[along.clone()], &any[along]);
                }
            }
        }
        let mut blocks = cells.blocks();
        blocks.mark_deep();
        cells.mark_deep();
        Self { start, cells, blocks }
    }

    /// Returns the labels around a point in the region.
    #[inline]
    pub(super) fn around(&self, point: [i64; 3]) -> Around {
        let cell: [usize; 3] = std::array::from_fn(|axis| (point[axis] >> (32 + LOG_CELL)) as usize - self.start[axis]);
        let block = self.blocks.at(cell.map(|index| index >> LOG_BLOCK));
        if block & (MIXED | DEEP) == DEEP {
            return Around::Farther(block as Label);
        }
        let value = self.cells.at(cell);
        match value & (MIXED | DEEP) {
            DEEP => Around::Far(value as Label),
            0 => Around::Near(value as Label),
            _ => Around::Mixed,
        }
    }

    /// Returns the numbers of points in a row that are at most a cell and at most a block apart, given the step between them.
    pub(super) fn points_per_cell_and_block(step: [i64; 3]) -> [usize; 2] {
        let longest = step.into_iter().map(i64::unsigned_abs).max().unwrap_or(0).max(1);
        [LOG_CELL, LOG_CELL + LOG_BLOCK]
            .map(|log| ((ONE as u64) << log) / longest)
            .map(|count| count.min(1 << 16) as usize + 1)
    }
}

/// A grid of cells: the label of each, or [`MIXED`], and whether it is [`DEEP`].
struct Cells {
    shape: [usize; 3],
    values: Vec<u32>,
}

impl Cells {
    /// Returns a cell; inlined, since this is looked up for each voxel.
    #[inline]
    fn at(&self, [x, y, z]: [usize; 3]) -> u32 {
        self.values[(x * self.shape[1] + y) * self.shape[2] + z]
    }

    /// Returns the blocks of these cells.
    fn blocks(&self) -> Self {
        let shape = self.shape.map(|size| size.div_ceil(1 << LOG_BLOCK));
        let mut values = vec![u32::MAX; shape.iter().product()];
        for (row, cells) in self.values.chunks_exact(self.shape[2]).enumerate() {
            let [x, y] = [row / self.shape[1], row % self.shape[1]].map(|index| index >> LOG_BLOCK);
            let blocks = &mut values[offset(shape, [x, y, 0])..][..shape[2]];
            for (block, cells) in blocks.iter_mut().zip(cells.chunks(1 << LOG_BLOCK)) {
                for cell in cells {
                    *block = if *block == u32::MAX || *block == *cell { *cell } else { MIXED };
                }
            }
        }
        Self { shape, values }
    }

    /// Marks the cells whose neighbours have the same label.
    fn mark_deep(&mut self) {
        // Along each axis in turn: a cell whose neighbours differ becomes mixed, and with it those next to it.
        let mut same = self.values.clone();
        let mut before = same.clone();
        for axis in 0..3 {
            before.copy_from_slice(&same);
            let stride: usize = self.shape[axis + 1..].iter().product();
            let size = self.shape[axis] * stride;
            for (same, before) in same.chunks_exact_mut(size).zip(before.chunks_exact(size)) {
                for index in stride..size {
                    if before[index - stride] != before[index] {
                        (same[index - stride], same[index]) = (MIXED, MIXED);
                    }
                }
            }
        }
        for (cell, same) in self.values.iter_mut().zip(same) {
            *cell |= if same & MIXED == 0 { DEEP } else { 0 };
        }
    }
}

vectorized! {
    /// Adds a row of labels to the bits that are set in all rows, and to those that are set in any.
    fn accumulate(row: &[Label], all: &mut [Label], any: &mut [Label]) {
        for ((label, all), any) in row.iter().zip(all).zip(any) {
            *all &= *label;
            *any |= *label;
        }
    }
}

/// Returns the label of a cell, given the bits that are set in all and in any of its labels along z; [`MIXED`] if labels differ.
fn uniform_label(all: &[Label], any: &[Label]) -> u32 {
    let all = all.iter().fold(Label::MAX, |bits, label| bits & label);
    let any = any.iter().fold(0, |bits, label| bits | label);
    if all == any { u32::from(all) } else { MIXED }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lazy::fixed_point::fixed;
    use random::{Purpose, Seed};

    #[test]
    fn labels_around_points_are_those_of_interpolation() {
        let mut rng = Seed(1).stream(Purpose::Phantom, 0, "cells", 0);
        let shape = [90, 70, 91];
        let mut labels = vec![0 as Label; shape.iter().product()];
        for x in 12..19 {
            for y in 3..29 {
                labels[offset(shape, [x, y, 20])..][..18].fill(7);
            }
        }
        let source = LabelSource { start: [5, 9, 14], ..LabelSource::whole(&labels, shape) };
        let (first, size) = ([6, 11, 15], [88, 67, 87]);
        let end = std::array::from_fn(|axis| first[axis] + size[axis]);
        let cells = UniformCells::new(source, first, end);
        let mut counts = [0; 4];
        for _ in 0..60_000 {
            let point: [i64; 3] =
                std::array::from_fn(|axis| fixed(first[axis] as f64 + rng.unit() * (size[axis] as f64 - 1.001)));
            let expected = source.vote_inside(point);
            match cells.around(point) {
                around @ (Around::Far(label) | Around::Farther(label)) => {
                    let is_farther = matches!(around, Around::Farther(_));
                    counts[usize::from(is_farther)] += 1;
                    // Also a cell or a block further along any axis.
                    let distance = if is_farther { CELL << LOG_BLOCK } else { CELL };
                    for axis in 0..3 {
                        let mut moved = point;
                        moved[axis] += distance as i64 * ONE;
                        if moved[axis] < fixed((first[axis] + size[axis]) as f64 - 1.001) {
                            assert_eq!(source.vote_inside(moved), label);
                        }
                    }
                    assert_eq!(expected, label);
                }
                Around::Near(label) => {
                    counts[2] += 1;
                    assert_eq!(expected, label);
                }
                Around::Mixed => counts[3] += 1,
            }
        }
        assert!(counts.iter().all(|count| *count > 500), "{counts:?}");
    }

    #[test]
    fn points_are_counted_by_their_longest_step() {
        let count = UniformCells::points_per_cell_and_block;
        assert_eq!(count([ONE, 0, -ONE / 2]), [CELL + 1, (CELL << LOG_BLOCK) + 1]);
        assert_eq!(count([0, -2 * ONE, 0]), [CELL / 2 + 1, (CELL << LOG_BLOCK) / 2 + 1]);
    }
}
