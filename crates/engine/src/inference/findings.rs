//! What a label map holds, in numbers for a person: volumes, and how many separate parts.

use serde::Serialize;

use volume::connected_components::connected_components;
use volume::{Grid, Label};

/// What a label map holds of one label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The label's value.
    pub label: Label,
    /// Its name.
    pub name: String,
    /// Its voxels.
    pub voxels: usize,
    /// Their volume in millilitres.
    pub volume_ml: f64,
    /// Its parts, the largest first; voxels of one part touch by their faces.
    pub components: Vec<Component>,
}

/// A part of a label that touches no other part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Component {
    /// Its volume in millilitres.
    pub volume_ml: f64,
    /// The mean place of its voxels, in RAS millimetres.
    pub centre_mm: [f64; 3],
}

/// What a label map `[x, y, z]` holds of each label.
pub fn findings(map: &[Label], grid: &Grid, labels: &[(Label, String)]) -> Vec<Finding> {
    let ml = grid.affine.determinant().abs() / 1000.0;
    let of_label = |(label, name): &(Label, String)| {
        if !map.contains(label) {
            return Finding { label: *label, name: name.clone(), voxels: 0, volume_ml: 0.0, components: Vec::new() };
        }
        let found = connected_components(grid.shape, |voxel| map[voxel] == *label);
        let mut sums = vec![[0.0; 3]; found.sizes.len()];
        let [_, size_y, size_z] = grid.shape;
        for (voxel, id) in found.ids.iter().enumerate().filter(|(_, id)| **id != 0) {
            let place = [voxel / (size_y * size_z), voxel / size_z % size_y, voxel % size_z];
            sums[*id as usize - 1].iter_mut().zip(place).for_each(|(sum, index)| *sum += index as f64);
        }
        let mut components: Vec<Component> = found
            .sizes
            .iter()
            .zip(sums)
            .map(|(&size, sum)| Component {
                volume_ml: size as f64 * ml,
                centre_mm: grid.affine.apply(sum.map(|sum| sum / size as f64)),
            })
            .collect();
        // A stable sort, so that of equally large parts the first in array order stays first.
        components.sort_by(|a, b| b.volume_ml.total_cmp(&a.volume_ml));
        let voxels = found.sizes.iter().sum();
        Finding { label: *label, name: name.clone(), voxels, volume_ml: voxels as f64 * ml, components }
    };
    labels.iter().map(of_label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::Affine;

    #[test]
    fn volumes_are_millilitres_and_parts_come_by_size() {
        let grid = Grid { shape: [1, 1, 6], affine: Affine::scale_and_shift([10.0, 10.0, 5.0], [1.0, 2.0, 3.0]) };
        let found = findings(&[2, 0, 2, 2, 0, 1], &grid, &[(1, "liver".into()), (2, "tumour".into())]);
        assert_eq!((found[0].voxels, found[0].volume_ml, found[0].components.len()), (1, 0.5, 1));
        assert_eq!((found[1].volume_ml, found[1].components.len()), (1.5, 2));
        assert_eq!(found[1].components[0], Component { volume_ml: 1.0, centre_mm: [1.0, 2.0, 15.5] });
    }

    #[test]
    fn a_label_that_is_not_there_has_no_parts() {
        let grid = Grid { shape: [1, 1, 2], affine: Affine::IDENTITY };
        let found = findings(&[0, 0], &grid, &[(3, "spleen".into())]);
        assert_eq!((found[0].voxels, found[0].components.len()), (0, 0));
    }
}
