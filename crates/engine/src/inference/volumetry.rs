//! Volumetry: the volume of each label in a label map, and its connected components.

use serde::Serialize;

use volume::connected_components::connected_components;
use volume::{Grid, Label};

/// The volume of one label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabelVolume {
    /// The label's value.
    pub label: Label,
    /// Its name.
    pub name: String,
    /// Its number of voxels.
    pub voxels: usize,
    /// Their volume in millilitres.
    pub volume_ml: f64,
    /// Its connected components (face neighbours), the largest first.
    pub components: Vec<LabelComponent>,
}

/// A connected component of a label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabelComponent {
    /// Its volume in millilitres.
    pub volume_ml: f64,
    /// Its centre of mass, in RAS millimetres.
    pub centre_mm: [f64; 3],
}

/// Measures each label in a label map `[x, y, z]`.
pub fn label_volumes(map: &[Label], grid: &Grid, labels: &[(Label, String)]) -> Vec<LabelVolume> {
    let ml = grid.affine.determinant().abs() / 1000.0;
    let measure = |(label, name): &(Label, String)| {
        if !map.contains(label) {
            return LabelVolume {
                label: *label,
                name: name.clone(),
                voxels: 0,
                volume_ml: 0.0,
                components: Vec::new(),
            };
        }
        let parts = connected_components(grid.shape, |voxel| map[voxel] == *label);
        let mut sums = vec![[0.0; 3]; parts.sizes.len()];
        let [_, size_y, size_z] = grid.shape;
        for (voxel, id) in parts.ids.iter().enumerate().filter(|(_, id)| **id != 0) {
            let position = [voxel / (size_y * size_z), voxel / size_z % size_y, voxel % size_z];
            sums[*id as usize - 1].iter_mut().zip(position).for_each(|(sum, index)| *sum += index as f64);
        }
        let mut components: Vec<LabelComponent> = parts
            .sizes
            .iter()
            .zip(sums)
            .map(|(&size, sum)| LabelComponent {
                volume_ml: size as f64 * ml,
                centre_mm: grid.affine.apply(sum.map(|sum| sum / size as f64)),
            })
            .collect();
        // A stable sort: of equally large components the first in array order stays first.
        components.sort_by(|a, b| b.volume_ml.total_cmp(&a.volume_ml));
        let voxels = parts.sizes.iter().sum();
        LabelVolume { label: *label, name: name.clone(), voxels, volume_ml: voxels as f64 * ml, components }
    };
    labels.iter().map(measure).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::Affine;

    #[test]
    fn volumes_are_in_millilitres_and_components_are_sorted_by_size() {
        let grid = Grid { shape: [1, 1, 6], affine: Affine::scale_and_shift([10.0, 10.0, 5.0], [1.0, 2.0, 3.0]) };
        let volumes = label_volumes(&[2, 0, 2, 2, 0, 1], &grid, &[(1, "liver".into()), (2, "tumour".into())]);
        assert_eq!((volumes[0].voxels, volumes[0].volume_ml, volumes[0].components.len()), (1, 0.5, 1));
        assert_eq!((volumes[1].volume_ml, volumes[1].components.len()), (1.5, 2));
        assert_eq!(volumes[1].components[0], LabelComponent { volume_ml: 1.0, centre_mm: [1.0, 2.0, 15.5] });
    }

    #[test]
    fn an_absent_label_has_no_components() {
        let grid = Grid { shape: [1, 1, 2], affine: Affine::IDENTITY };
        let volumes = label_volumes(&[0, 0], &grid, &[(3, "spleen".into())]);
        assert_eq!((volumes[0].voxels, volumes[0].components.len()), (0, 0));
    }
}
