//! The background of a block, marked in its labels while `patch_augment` computes a patch from it.

use transforms::lazy::{BACKGROUND, IndexMapping};
use volume::{Affine, Label, Voxels, offset};

/// Marks the background in the labels `[x, y, z]` of a block: voxels without a label that are outside the augmented volume, or
/// come from voxels that are 0 in the map.
///
/// `of_volume` maps the augmented volume to the map, and `start` is the voxel of the volume at which the block begins.
pub(super) fn mark(
    label: &mut [Label],
    (start, shape): ([isize; 3], [usize; 3]),
    map: &Voxels<f32>,
    of_volume: &IndexMapping,
) {
    let is_identity = of_volume.map == Affine::IDENTITY
        && of_volume.shape == of_volume.source_shape
        && of_volume.intermediate_grids.is_empty()
        && of_volume.displacements.is_empty();
    let in_volume = |axis: usize, index: usize| {
        usize::try_from(start[axis] + index as isize).ok().filter(|index| *index < of_volume.shape[axis])
    };
    let mark = |label: &mut Label| *label = if *label == 0 { BACKGROUND } else { *label };
    for (row, labels) in label.chunks_exact_mut(shape[2]).enumerate() {
        let (Some(x), Some(y)) = (in_volume(0, row / shape[1]), in_volume(1, row % shape[1])) else {
            labels.iter_mut().for_each(mark);
            continue;
        };
        for (index, label) in labels.iter_mut().enumerate() {
            let voxel = in_volume(2, index).map(|z| [x, y, z]);
            let source = if is_identity { voxel } else { voxel.and_then(|voxel| of_volume.source(voxel)) };
            if source.is_none_or(|source| map[offset(map.shape, source)] == 0.0) {
                mark(label);
            }
        }
    }
}

/// Gives marked voxels label 0 again.
pub(super) fn unmark(label: &mut [Label]) {
    label.iter_mut().for_each(|label| *label = if *label == BACKGROUND { 0 } else { *label });
}

#[cfg(test)]
mod tests {
    use super::*;
    use transforms::Map;

    #[test]
    fn voxels_outside_the_volume_and_those_that_are_0_in_the_map_are_background_unless_labelled() {
        let map = Voxels::new(1, [1, 1, 4], vec![1.0, 0.0, 0.0, 1.0]);
        let mut label = [0, 7, 0, 0, 3, 0];
        let block = ([0, 0, -1], [1, 1, 6]);
        mark(&mut label, block, &map, &IndexMapping::identity(map.shape));
        assert_eq!(label, [BACKGROUND, 7, BACKGROUND, BACKGROUND, 3, BACKGROUND]);
        unmark(&mut label);
        assert_eq!(label, [0, 7, 0, 0, 3, 0]);
        // The volume is shifted by one voxel against the map.
        let mut mapping = IndexMapping::identity(map.shape);
        mapping.append(&Map::Warp(Affine::scale_and_shift([1.0; 3], [0.0, 0.0, 1.0])), map.shape);
        let mut label = [0; 6];
        mark(&mut label, block, &map, &mapping);
        assert_eq!(label, [BACKGROUND, BACKGROUND, BACKGROUND, 0, BACKGROUND, BACKGROUND]);
    }
}
