//! Where a label map holds nothing but 0, so that it need not be looked at voxel by voxel.

use crate::lazy::fixed_point::HALF;

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

    /// Whether all labels within the margin around a place are 0, which may lie outside.
    pub(super) fn is_empty_around(&self, place: [i64; 3]) -> bool {
        let cell = |axis: usize| (((place[axis] + HALF) >> 32).max(0) as usize / CELL).min(self.shape[axis] - 1);
        let [x, y, z] = [cell(0), cell(1), cell(2)];
        !self.is_filled[(x * self.shape[1] + y) * self.shape[2] + z]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lazy::fixed_point::fixed;

    #[test]
    fn a_label_fills_its_cell_and_those_within_the_margin() {
        let empty = EmptySpace::new([64, 64, 64], [([20, 40, 3], 2)].into_iter());
        let is_empty = |place: [f64; 3]| empty.is_empty_around(place.map(fixed));
        assert!(!is_empty([20.0, 40.0, 3.0]) && !is_empty([9.0, 40.0, 3.0]) && !is_empty([20.0, 40.0, 17.0]));
        assert!(is_empty([50.0, 40.0, 3.0]) && is_empty([20.0, 40.0, 40.0]) && is_empty([20.0, 5.0, 3.0]));
    }

    #[test]
    fn places_outside_count_to_the_nearest_cell() {
        let empty = EmptySpace::new([64, 64, 20], [([0, 0, 19], 1)].into_iter());
        let is_empty = |place: [f64; 3]| empty.is_empty_around(place.map(fixed));
        assert!(!is_empty([-40.0, -3.0, 90.0]) && is_empty([200.0, -3.0, 90.0]));
    }
}
