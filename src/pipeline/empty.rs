//! Where a label map holds nothing but 0, so that it need not be looked at voxel by voxel.

use std::ops::Range;

use super::fixed::{HALF, Line, ONE};

/// The parts of a label map far from every label above 0, in cells.
#[derive(Clone, Debug)]
pub struct EmptySpace {
    /// Cells along x, y and z.
    shape: [usize; 3],
    /// Whether some label above 0 lies in a cell or near it, `[x, y, z]`.
    is_filled: Vec<bool>,
}

/// Voxels of a cell along each axis.
const CELL: usize = 16;
/// Voxels of a row that are looked up together.
const RUN: usize = 16;
/// How far around a cell labels are looked for.
pub(super) const MARGIN: usize = 12;

impl EmptySpace {
    /// Of a label map of this shape; `runs` gives the first voxel and the length of each run of labels above 0 along z.
    pub fn new(shape: [usize; 3], runs: impl Iterator<Item = ([usize; 3], usize)>) -> Self {
        let cells = shape.map(|size| size.div_ceil(CELL));
        let mut is_filled = vec![false; cells.iter().product()];
        for ([x, y, z], length) in runs {
            let near = |axis: usize, first: usize, last: usize| {
                first.saturating_sub(MARGIN) / CELL..=((last + MARGIN) / CELL).min(cells[axis] - 1)
            };
            for cell_x in near(0, x, x) {
                for cell_y in near(1, y, y) {
                    let row = (cell_x * cells[1] + cell_y) * cells[2];
                    near(2, z, z + length - 1).for_each(|cell_z| is_filled[row + cell_z] = true);
                }
            }
        }
        Self { shape: cells, is_filled }
    }

    /// The stretch of a row outside of which all labels are 0, counted from its first voxel; it may be empty.
    pub(super) fn filled(&self, line: &Line, first: usize, length: usize) -> Range<usize> {
        // Half a run, and half a voxel to the nearest one, lie within the margin.
        let farthest = (MARGIN as i64 * ONE - HALF) / (RUN as i64 / 2);
        if line.step.iter().any(|step| step.abs() > farthest) {
            return 0..length;
        }
        let run = |index: usize| index * RUN..(index * RUN + RUN).min(length);
        let is_filled = |index: &usize| {
            let run = run(*index);
            !self.is_empty_around(line.at(first + run.start + run.len() / 2))
        };
        let runs = 0..length.div_ceil(RUN);
        match runs.clone().find(is_filled) {
            None => 0..0,
            Some(start) => run(start).start..runs.rev().find(is_filled).map_or(length, |end| run(end).end),
        }
    }

    /// Whether all labels within the margin around a place are 0.
    pub(super) fn is_empty_around(&self, place: [i64; 3]) -> bool {
        let [x, y, z] = place.map(|place| ((place + HALF) >> 32) as usize / CELL);
        !self.is_filled[(x * self.shape[1] + y) * self.shape[2] + z]
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixed::fixed;
    use super::*;

    #[test]
    fn a_label_fills_its_cell_and_those_within_the_margin() {
        let empty = EmptySpace::new([64, 64, 64], [([20, 40, 3], 2)].into_iter());
        let is_empty = |place: [f64; 3]| empty.is_empty_around(place.map(fixed));
        assert!(!is_empty([20.0, 40.0, 3.0]) && !is_empty([9.0, 40.0, 3.0]) && !is_empty([20.0, 40.0, 17.0]));
        assert!(is_empty([50.0, 40.0, 3.0]) && is_empty([20.0, 40.0, 40.0]) && is_empty([20.0, 5.0, 3.0]));
    }

    #[test]
    fn a_row_is_filled_between_its_first_and_its_last_filled_run() {
        let empty = EmptySpace::new([1, 1, 200], [([0, 0, 70], 2), ([0, 0, 100], 1)].into_iter());
        let line = |step: f64| Line::of([0; 3], [0, 0, fixed(step)]);
        assert_eq!(empty.filled(&line(1.0), 0, 200), 48..128);
        assert_eq!(empty.filled(&line(1.0), 130, 64), 0..0);
        assert_eq!(empty.filled(&line(1.6), 0, 100), 0..100);
    }
}
