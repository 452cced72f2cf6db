//! Volumetry: the volume of each label or region in a label map, and its connected components.

use serde::Serialize;

use crate::experiment::targets::Region;
use volume::connected_components::connected_components;
use volume::{Grid, Label};

/// The volume of one label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabelVolume {
    /// The label's value.
    pub label: Label,
    /// Its name.
    pub name: String,
    /// Its size.
    #[serde(flatten)]
    pub extent: Extent,
}

/// The volume of one region, the union of several labels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RegionVolume {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Vec<Label>,
    /// Its size.
    #[serde(flatten)]
    pub extent: Extent,
}

/// The size of a label or region.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Extent {
    /// Its number of voxels.
    pub voxels: usize,
    /// Their volume in millilitres.
    pub volume_ml: f64,
    /// Its connected components (face neighbours), the largest first.
    pub components: Vec<Component>,
}

/// A connected component of a label or region.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Component {
    /// Its volume in millilitres.
    pub volume_ml: f64,
    /// Its centre of mass, in RAS millimetres.
    pub centre_mm: [f64; 3],
}

/// Measures each label in a label map `[x, y, z]`.
pub fn label_volumes(map: &[Label], grid: &Grid, labels: &[(Label, String)]) -> Vec<LabelVolume> {
    let volume = |(label, name): &(Label, String)| LabelVolume {
        label: *label,
        name: name.clone(),
        extent: extent(map, grid, &[*label]),
    };
    labels.iter().map(volume).collect()
}

/// Measures each region in a label map `[x, y, z]`: the voxels with any of its labels.
pub fn region_volumes(map: &[Label], grid: &Grid, regions: &[Region]) -> Vec<RegionVolume> {
    let volume = |region: &Region| RegionVolume {
        name: region.name.clone(),
        labels: region.labels.clone(),
        extent: extent(map, grid, &region.labels),
    };
    regions.iter().map(volume).collect()
}

/// Measures the voxels with any of some labels.
fn extent(map: &[Label], grid: &Grid, labels: &[Label]) -> Extent {
    if !map.iter().any(|label| labels.contains(label)) {
        return Extent { voxels: 0, volume_ml: 0.0, components: Vec::new() };
    }
    let ml = grid.affine.determinant().abs() / 1000.0;
    let parts = connected_components(grid.shape, |voxel| labels.contains(&map[voxel]));
    let mut sums = vec![[0.0; 3]; parts.sizes.len()];
    let [_, size_y, size_z] = grid.shape;
    for (voxel, id) in parts.ids.iter().enumerate().filter(|(_, id)| **id != 0) {
        let position = [voxel / (size_y * size_z), voxel / size_z % size_y, voxel % size_z];
        sums[*id as usize - 1].iter_mut().zip(position).for_each(|(sum, index)| *sum += index as f64);
    }
    let component = |(&size, sum): (&usize, [f64; 3])| Component {
        volume_ml: size as f64 * ml,
        centre_mm: grid.affine.apply(sum.map(|sum| sum / size as f64)),
    };
    let mut components: Vec<Component> = parts.sizes.iter().zip(sums).map(component).collect();
    // A stable sort: of equally large components the first in array order stays first.
    components.sort_by(|a, b| b.volume_ml.total_cmp(&a.volume_ml));
    let voxels = parts.sizes.iter().sum();
    Extent { voxels, volume_ml: voxels as f64 * ml, components }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::Affine;

    #[test]
    fn volumes_are_in_millilitres_and_components_are_sorted_by_size() {
        let grid = Grid { shape: [1, 1, 6], affine: Affine::scale_and_shift([10.0, 10.0, 5.0], [1.0, 2.0, 3.0]) };
        let volumes = label_volumes(&[2, 0, 2, 2, 0, 1], &grid, &[(1, "liver".into()), (2, "tumour".into())]);
        let [liver, tumour] = [0, 1].map(|index| &volumes[index].extent);
        assert_eq!((liver.voxels, liver.volume_ml, liver.components.len()), (1, 0.5, 1));
        assert_eq!((tumour.volume_ml, tumour.components.len()), (1.5, 2));
        assert_eq!(tumour.components[0], Component { volume_ml: 1.0, centre_mm: [1.0, 2.0, 15.5] });
    }

    #[test]
    fn an_absent_label_has_no_components() {
        let grid = Grid { shape: [1, 1, 2], affine: Affine::IDENTITY };
        let volumes = label_volumes(&[0, 0], &grid, &[(3, "spleen".into())]);
        assert_eq!((volumes[0].extent.voxels, volumes[0].extent.components.len()), (0, 0));
    }

    #[test]
    fn a_region_has_the_voxels_of_all_its_labels_and_touching_labels_are_one_component() {
        let grid = Grid { shape: [1, 1, 6], affine: Affine::scale_and_shift([10.0, 10.0, 10.0], [0.0; 3]) };
        let region = |name: &str, labels: &[Label]| Region { name: name.into(), labels: labels.to_vec(), write: 1 };
        let map = [1, 2, 0, 3, 0, 1];
        let volumes = region_volumes(&map, &grid, &[region("whole", &[1, 2, 3]), region("core", &[2])]);
        let sizes: Vec<_> = volumes.iter().map(|one| (one.extent.voxels, one.extent.components.len())).collect();
        assert_eq!(sizes, [(4, 3), (1, 1)]);
        assert_eq!(volumes[0].extent.components[0].centre_mm, [0.0, 0.0, 5.0]);
    }
}
