//! Volumes that go on beyond their ends.

use crate::data::volume::{Volume, Voxels};
use crate::transforms::{Extension, Map, Placement};

/// The whole volume that a step makes of another one, where it goes on in the voxels that the step adds.
pub(super) fn extended(volume: &Volume, placement: &Placement, extension: Extension) -> Volume {
    let Map::Lattice(lattice) = &placement.map else { unreachable!("voxels are added as whole ones") };
    let (from, to) = (volume.grid.shape, placement.grid.shape);
    // For each axis and each index where the voxel comes from, and the factor of its intensity.
    let sources: [Vec<(usize, f32)>; 3] = std::array::from_fn(|axis| {
        let (first, size) = (lattice.axes[axis].offset, from[axis]);
        let behind = first + to[axis] as i64 - size as i64;
        let added = [-first, behind].map(|added| added.max(0) as u64);
        let source = |index| (extension.source(index, size), extension.factor(index, size, added));
        (first..first + to[axis] as i64).map(source).collect()
    });
    let [along_x, along_y, along_z] = &sources;
    let places = || {
        let rows = along_x.iter().flat_map(move |x| along_y.iter().map(move |y| (x, y)));
        rows.flat_map(move |((x, by_x), (y, by_y))| {
            let row = (x * from[1] + y) * from[2];
            along_z.iter().map(move |(z, by_z)| (row + z, by_x * by_y * by_z))
        })
    };
    let channels = volume.image.channels;
    let intensities = |channel: usize| {
        let values = volume.image.channel(channel);
        places().map(move |(place, factor)| values[place] * factor)
    };
    let image = (0..channels).flat_map(intensities).collect();
    let label = volume.label.as_ref().map(|label| {
        let labels = places().map(|(place, factor)| if factor == 1.0 { label[place] } else { 0 });
        Voxels::new(1, to, labels.collect())
    });
    Volume { grid: placement.grid, image: Voxels::new(channels, to, image), label }
}
