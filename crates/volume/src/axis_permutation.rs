//! Volumes with the same voxels in another axis order, such as a label map saved as LPS for an image in RAS.

use bytemuck::Pod;

use crate::orientation::AxisOrientation;
use crate::{Affine, GRID_TOLERANCE, Grid, Voxels};

/// Another order of the axes of a volume, some of them flipped. Every voxel stays where it is in the world.
///
/// ```
/// use volume::{Affine, AxisPermutation, Grid, Voxels};
///
/// let ras = Grid { shape: [3, 1, 1], affine: Affine::IDENTITY };
/// let las = Grid { shape: [3, 1, 1], affine: Affine::scale_and_shift([-1.0, 1.0, 1.0], [2.0, 0.0, 0.0]) };
/// let permutation = AxisPermutation::between(&las, &ras).unwrap();
/// assert_eq!(permutation.apply(&Voxels::new(1, las.shape, vec![7, 8, 9]))[..], [9, 8, 7]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AxisPermutation {
    /// For each axis of the result, the axis that it comes from.
    axes: [AxisOrientation; 3],
}

impl AxisPermutation {
    /// Returns the axis order in which the voxels of `from` are those of `to`: corners at most [`GRID_TOLERANCE`] voxels
    /// apart. `None` if the grids have different voxels.
    pub fn between(from: &Grid, to: &Grid) -> Option<Self> {
        let offset = |permutation: &Self| {
            let permuted = permutation.apply_to_grid(from);
            if permuted.shape == to.shape { to.max_corner_offset(&permuted.affine) } else { f64::INFINITY }
        };
        let candidates = all().map(|permutation| (offset(&permutation), permutation));
        // Of equal offsets, which axes of one voxel allow, the first counts: that with fewer changes.
        let best = candidates.min_by(|a, b| a.0.total_cmp(&b.0))?;
        (best.0 <= GRID_TOLERANCE).then_some(best.1)
    }

    /// Returns whether nothing changes.
    pub fn is_identity(&self) -> bool {
        self.axes.iter().enumerate().all(|(axis, source)| source.source_axis == axis && !source.flipped)
    }

    /// Returns the grid of the reordered voxels.
    pub fn apply_to_grid(&self, grid: &Grid) -> Grid {
        let linear = grid.affine.linear();
        let sign = |axis: AxisOrientation| if axis.flipped { -1.0 } else { 1.0 };
        let first = std::array::from_fn(|source| {
            let is_flipped = self.axes.iter().any(|axis| axis.source_axis == source && axis.flipped);
            if is_flipped { grid.shape[source] as f64 - 1.0 } else { 0.0 }
        });
        let columns = self.axes.map(|axis| linear.map(|row| sign(axis) * row[axis.source_axis]));
        let rows = std::array::from_fn(|row| columns.map(|column| column[row]));
        Grid {
            shape: self.axes.map(|axis| grid.shape[axis.source_axis]),
            affine: Affine::from_parts(rows, grid.affine.apply(first)),
        }
    }

    /// Returns the voxels in the new order.
    ///
    /// # Shapes
    /// `[channel, x, y, z]` to `[channel, x, y, z]` with permuted sizes of x, y and z.
    pub fn apply<T: Pod>(&self, voxels: &Voxels<T>) -> Voxels<T> {
        let [_, size_y, size_z] = voxels.shape;
        let strides = [size_y * size_z, size_z, 1];
        let shape = self.axes.map(|axis| voxels.shape[axis.source_axis]);
        // The index of the source voxel is the sum of one number for each axis of the result.
        let [along_x, along_y, along_z] = self.axes.map(|axis| {
            let (size, stride) = (voxels.shape[axis.source_axis], strides[axis.source_axis]);
            let index = move |index: usize| if axis.flipped { size - 1 - index } else { index };
            (0..size).map(|position| index(position) * stride).collect::<Vec<_>>()
        });
        let mut values = Vec::with_capacity(voxels.len());
        for channel in (0..voxels.channels).map(|channel| voxels.channel(channel)) {
            for x in &along_x {
                for y in &along_y {
                    values.extend(along_z.iter().map(|z| channel[x + y + z]));
                }
            }
        }
        Voxels::new(voxels.channels, shape, values)
    }
}

/// Returns all orders of the axes with all flips, the identity first.
fn all() -> impl Iterator<Item = AxisPermutation> {
    const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [1, 0, 2], [0, 2, 1], [2, 1, 0], [1, 2, 0], [2, 0, 1]];
    ORDERS.into_iter().flat_map(|order| {
        (0..8).map(move |flips: u8| {
            let axis = |axis: usize| AxisOrientation { source_axis: order[axis], flipped: flips >> axis & 1 == 1 };
            AxisPermutation { axes: [axis(0), axis(1), axis(2)] }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offset;

    /// An oblique grid of tiny voxels.
    fn grid(shape: [usize; 3]) -> Grid {
        let affine = Affine([[8e-4, 1e-4, 0.0, -20.0], [-1e-4, 9e-4, 2e-4, 5.0], [5e-5, -2e-4, 2.5e-3, 100.0]]);
        Grid { shape, affine }
    }

    fn numbered(channels: usize, shape: [usize; 3]) -> Voxels<u16> {
        Voxels::new(channels, shape, (0..(channels * shape.iter().product::<usize>()) as u16).collect())
    }

    #[test]
    fn every_axis_order_is_recognized_and_no_voxel_moves() {
        // Equal sizes leave only the affine to tell the axes apart.
        for from in [grid([3, 4, 5]), grid([4, 4, 4])] {
            let voxels = numbered(2, from.shape);
            for permutation in all() {
                let to = permutation.apply_to_grid(&from);
                assert_eq!(AxisPermutation::between(&from, &to), Some(permutation));
                assert_eq!(permutation.is_identity(), to == from);
                let reordered = permutation.apply(&voxels);
                assert_eq!(reordered.shape, to.shape);
                let to_source = from.affine.inverse().unwrap().after(&to.affine);
                for index in [[0, 0, 0], [1, 0, 2], [2, 2, 1]] {
                    let source = to_source.apply(index.map(|index| index as f64)).map(|index| index.round() as usize);
                    let size = from.num_voxels();
                    let (a, b) = (offset(to.shape, index), offset(from.shape, source));
                    assert_eq!([reordered[a], reordered[size + a]], [voxels[b], voxels[size + b]]);
                }
            }
        }
    }

    #[test]
    fn an_axis_of_one_voxel_is_not_flipped_without_need() {
        let slice = grid([3, 4, 1]);
        assert!(AxisPermutation::between(&slice, &slice).unwrap().is_identity());
    }

    #[test]
    fn shifted_grids_and_other_sizes_have_no_axis_order_in_common() {
        let from = grid([4, 4, 4]);
        let shift = Affine::scale_and_shift([1.0; 3], [0.0, 1.0, 0.0]);
        assert_eq!(AxisPermutation::between(&from, &Grid { affine: from.affine.after(&shift), ..from }), None);
        assert_eq!(AxisPermutation::between(&from, &grid([4, 4, 5])), None);
    }
}
