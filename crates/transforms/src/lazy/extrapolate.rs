//! Padding a volume with its own content, as numpy's `pad`: edge, reflect, symmetric, wrap, linear ramp.

use rayon::prelude::*;

use crate::{Extension, GridMapping, Map};
use volume::{Volume, Voxels, offset};

/// Returns the whole volume on the outgoing grid, with added voxels extrapolated from the volume.
///
/// # Panics
/// When the mapping is not one of whole voxels.
pub(super) fn extrapolate(volume: &Volume, mapping: &GridMapping, extension: Extension) -> Volume {
    let Map::Lattice(lattice) = &mapping.map else { unreachable!("padding moves whole voxels") };
    let (from, to) = (volume.grid.shape, mapping.grid.shape);
    // For each outgoing index along each axis: the source index and the factor of its intensity.
    let [along_x, along_y, along_z]: [Vec<(usize, f32)>; 3] = std::array::from_fn(|axis| {
        let (first, size) = (lattice.axes[axis].offset, from[axis]);
        let added_after = first + to[axis] as i64 - size as i64;
        let source = |index| (extension.source(index, size), extension.factor(index, size, [-first, added_after]));
        (first..first + to[axis] as i64).map(source).collect()
    });
    // For each voxel of the slice at one x: its offset in the source array and its factor.
    let slice = |(x, factor_x): (usize, f32)| {
        let row = move |(y, factor_y): &(usize, f32)| (offset(from, [x, *y, 0]), factor_x * factor_y);
        let voxels =
            |(row, factor): (usize, f32)| along_z.iter().map(move |(z, factor_z)| (row + z, factor * factor_z));
        along_y.iter().map(row).flat_map(voxels)
    };
    let channels = volume.image.channels;
    let image = (0..channels * to[0]).into_par_iter().flat_map_iter(|index| {
        let values = volume.image.channel(index / to[0]);
        slice(along_x[index % to[0]]).map(move |(position, factor)| values[position] * factor)
    });
    let label = volume.label.as_ref().map(|label| {
        let label_at = |(position, factor): (usize, f32)| if factor == 1.0 { label[position] } else { 0 };
        let labels = along_x.par_iter().flat_map_iter(|x| slice(*x).map(label_at));
        Voxels::new(1, to, labels.collect())
    });
    Volume { grid: mapping.grid, image: Voxels::new(channels, to, image.collect()), label }
}
