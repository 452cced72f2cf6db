//! No specks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::labels_of;
use values::Positive;
use volume::connected_components::connected_components;
use volume::{Grid, Label};

/// Turns components that are smaller than a volume into background; voxels touch by their faces.
///
/// ```yaml
/// - remove_small: { volume_mm3: 50, labels: [2] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveSmall {
    /// The least volume of a component, in mm³.
    pub volume_mm3: Positive,
    /// The labels to which it applies, each on its own; `null` is every label.
    #[serde(default)]
    pub labels: Option<Vec<Label>>,
}

impl RemoveSmall {
    /// Changes a label map `[x, y, z]` in place.
    pub fn apply(&self, map: &mut [Label], grid: &Grid) {
        let voxel_mm3 = grid.affine.determinant().abs();
        for label in labels_of(self.labels.as_deref(), map) {
            let found = connected_components(grid.shape, |voxel| map[voxel] == label);
            for (voxel, id) in map.iter_mut().zip(&found.ids) {
                // Volumes that are equal but for rounding are not smaller.
                let is_small = |size: usize| size as f64 * voxel_mm3 < self.volume_mm3.get() * (1.0 - 1e-6);
                if *id != 0 && is_small(found.sizes[*id as usize - 1]) {
                    *voxel = 0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::Affine;

    #[test]
    fn a_volume_counts_millimetres_not_voxels() {
        let affine = Affine::scale_and_shift([1.0, 1.0, 5.0], [0.0; 3]);
        let grid = Grid { shape: [1, 1, 7], affine };
        let mut map = [1, 0, 1, 1, 0, 2, 2];
        let step = RemoveSmall { volume_mm3: Positive::new(10.0).unwrap(), labels: Some(vec![1]) };
        step.apply(&mut map, &grid);
        assert_eq!(map, [0, 0, 1, 1, 0, 2, 2]);
    }
}
