//! Empty-space skipping: coarse cells of a label map that contain background only.

use super::fixed_point::nearest_index;

/// A coarse occupancy grid: marks the cells of a label map that are far from every label above 0.
#[derive(Clone, Debug)]
pub struct EmptySpace {
    /// Cells along x, y and z.
    shape: [usize; 3],
    /// Whether a label above 0 is in the cell or within the margin around it, `[x, y, z]`.
    is_occupied: Vec<bool>,
}

/// Voxels of a cell along each axis.
const CELL: usize = 16;
/// Voxels around a cell that count as part of it.
pub(super) const MARGIN: usize = 12;

impl EmptySpace {
    /// Returns the empty space of a label map of this shape; `runs` yields the first voxel and the length of each run
    /// of labels above 0 along z.
    pub fn new(shape: [usize; 3], runs: impl Iterator<Item = ([usize; 3], usize)>) -> Self {
        let cells = shape.map(|size| size.div_ceil(CELL));
        let mut is_occupied = vec![false; cells.iter().product()];
        for ([x, y, z], length) in runs {
            let near = |axis: usize, first: usize, last: usize| {
                first.saturating_sub(MARGIN) / CELL..=((last + MARGIN) / CELL).min(cells[axis] - 1)
            };
            for cell_x in near(0, x, x) {
                for cell_y in near(1, y, y) {
                    let row = (cell_x * cells[1] + cell_y) * cells[2];
                    near(2, z, z + length - 1).for_each(|cell_z| is_occupied[row + cell_z] = true);
                }
            }
        }
        Self { shape: cells, is_occupied }
    }

    /// Returns whether all labels within the margin around a point are 0. Points outside count to the nearest cell.
    pub(super) fn is_empty_around(&self, point: [i64; 3]) -> bool {
        let cell = |axis: usize| (nearest_index(point[axis]).max(0) as usize / CELL).min(self.shape[axis] - 1);
        let [x, y, z] = [cell(0), cell(1), cell(2)];
        !self.is_occupied[(x * self.shape[1] + y) * self.shape[2] + z]
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixed_point::fixed;
    use super::*;

    #[test]
    fn a_label_occupies_its_cell_and_those_within_the_margin() {
        let empty = EmptySpace::new([64, 64, 64], [([20, 40, 3], 2)].into_iter());
        let is_empty = |point: [f64; 3]| empty.is_empty_around(point.map(fixed));
        assert!(!is_empty([20.0, 40.0, 3.0]) && !is_empty([9.0, 40.0, 3.0]) && !is_empty([20.0, 40.0, 17.0]));
        assert!(is_empty([50.0, 40.0, 3.0]) && is_empty([20.0, 40.0, 40.0]) && is_empty([20.0, 5.0, 3.0]));
    }

    #[test]
    fn points_outside_count_to_the_nearest_cell() {
        let empty = EmptySpace::new([64, 64, 20], [([0, 0, 19], 1)].into_iter());
        let is_empty = |point: [f64; 3]| empty.is_empty_around(point.map(fixed));
        assert!(!is_empty([-40.0, -3.0, 90.0]) && is_empty([200.0, -3.0, 90.0]));
    }
}
