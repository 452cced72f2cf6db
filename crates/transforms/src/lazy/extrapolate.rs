//! Volumes that go on beyond their ends.

use rayon::prelude::*;

use crate::{Extension, GridMapping, Map};
use volume::{Volume, Voxels, offset};

/// The whole volume that a step makes of another one, where it goes on in the voxels that the step adds.
pub(super) fn extended(volume: &Volume, placement: &GridMapping, extension: Extension) -> Volume {
    let Map::Lattice(lattice) = &placement.map else { unreachable!("voxels are added as whole ones") };
    let (from, to) = (volume.grid.shape, placement.grid.shape);
    // For each axis and each index where the voxel comes from, and the factor of its intensity.
    let [along_x, along_y, along_z]: [Vec<(usize, f32)>; 3] = std::array::from_fn(|axis| {
        let (first, size) = (lattice.axes[axis].offset, from[axis]);
        let behind = first + to[axis] as i64 - size as i64;
        let source = |index| (extension.source(index, size), extension.factor(index, size, [-first, behind]));
        (first..first + to[axis] as i64).map(source).collect()
    });
    // The same for the voxels at one x, by their positions.
    let slice = |(x, by_x): (usize, f32)| {
        let row = move |(y, by_y): &(usize, f32)| (offset(from, [x, *y, 0]), by_x * by_y);
        let voxels = |(row, by_row): (usize, f32)| along_z.iter().map(move |(z, by_z)| (row + z, by_row * by_z));
        along_y.iter().map(row).flat_map(voxels)
    };
    let channels = volume.image.channels;
    let image = (0..channels * to[0]).into_par_iter().flat_map_iter(|index| {
        let values = volume.image.channel(index / to[0]);
        slice(along_x[index % to[0]]).map(move |(position, factor)| values[position] * factor)
    });
    let label = volume.label.as_ref().map(|label| {
        let of = |(position, factor): (usize, f32)| if factor == 1.0 { label[position] } else { 0 };
        let labels = along_x.par_iter().flat_map_iter(|x| slice(*x).map(of));
        Voxels::new(1, to, labels.collect())
    });
    Volume { grid: placement.grid, image: Voxels::new(channels, to, image.collect()), label }
}
