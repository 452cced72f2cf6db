//! The division of volumes into cells, and of cells into boxes, which are computed one at a time.

/// Volumes divided into cells: the tiles of Winograd's algorithm, or the voxels of the coarse grid.
#[derive(Clone, Copy, Debug)]
pub struct Cells {
    /// Patches, and cells along x, y and z.
    counts: [usize; 4],
    /// Patches, and cells along x and y, of a box; along z it has all cells.
    box_size: [usize; 3],
}

/// A box of cells of consecutive patches.
#[derive(Clone, Copy, Debug)]
pub struct CellBox {
    /// Patch, x and y of the first cell.
    pub start: [usize; 3],
    /// Patches, and cells along x, y and z.
    pub count: [usize; 4],
}

impl Cells {
    /// Divides cells into boxes of at most about `of_box` cells.
    pub fn new(counts: [usize; 4], of_box: usize) -> Self {
        let mut box_size = [1; 3];
        let mut rest = of_box / counts[3];
        for axis in [2, 1, 0] {
            // Boxes of about the same size.
            let boxes = counts[axis].div_ceil(rest.clamp(1, counts[axis]));
            box_size[axis] = counts[axis].div_ceil(boxes);
            rest = if boxes == 1 { rest / counts[axis] } else { 1 };
        }
        Self { counts, box_size }
    }

    /// Returns patches, and cells along x and y, of a box.
    pub fn box_size(&self) -> [usize; 3] {
        self.box_size
    }

    /// Returns the number of boxes along the axes of patches, x and y.
    pub fn num_boxes(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.counts[axis].div_ceil(self.box_size[axis]))
    }

    /// Returns the boxes, in the order of patches, x and y.
    pub fn boxes(&self) -> Vec<CellBox> {
        let [patches, x, y] = self.num_boxes();
        let indices = (0..patches * x * y).map(|index| [index / (x * y), index / y % x, index % y]);
        let boxes = indices.map(|index| {
            let start: [usize; 3] = std::array::from_fn(|axis| index[axis] * self.box_size[axis]);
            let count = |axis: usize| self.box_size[axis].min(self.counts[axis] - start[axis]);
            CellBox { start, count: [count(0), count(1), count(2), self.counts[3]] }
        });
        boxes.collect()
    }
}

impl CellBox {
    /// Returns the number of cells.
    pub fn len(&self) -> usize {
        self.count.iter().product()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_cover_each_cell_once() {
        for (counts, of_box) in
            [([1, 1, 1, 1], 1), ([2, 5, 7, 3], 20), ([2, 5, 7, 3], 1000), ([3, 2, 2, 9], 40), ([1, 6, 4, 100], 64)]
        {
            let cells = Cells::new(counts, of_box);
            let mut seen = vec![0; counts.iter().product()];
            for CellBox { start, count } in cells.boxes() {
                for index in 0..count.iter().product::<usize>() {
                    let [_, x, y, z] = count;
                    let cell = [index / (x * y * z), index / (y * z) % x, index / z % y, index % z];
                    let [patch, i, j] = std::array::from_fn(|axis| start[axis] + cell[axis]);
                    seen[((patch * counts[1] + i) * counts[2] + j) * counts[3] + cell[3]] += 1;
                }
                let length: usize = count.iter().product();
                assert!(length <= of_box.max(counts[3]), "{counts:?} by {of_box}: {count:?}");
            }
            assert!(seen.iter().all(|count| *count == 1), "{counts:?} by {of_box}");
        }
    }
}
