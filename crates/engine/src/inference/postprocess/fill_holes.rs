//! No holes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::labels_of;
use volume::Label;
use volume::connected_components::connected_components;

/// Gives background that one label encloses that label: voxels from which no path over faces leads out of the volume without crossing it (SciPy's `binary_fill_holes`). Other labels inside stay.
///
/// ```yaml
/// - fill_holes: { labels: [1] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FillHoles {
    /// The labels to which it applies, one after the other; `null` is every label.
    #[serde(default)]
    pub labels: Option<Vec<Label>>,
}

impl FillHoles {
    /// Changes a label map `[x, y, z]` in place.
    pub fn apply(&self, map: &mut [Label], shape: [usize; 3]) {
        for label in labels_of(self.labels.as_deref(), map) {
            let outside = connected_components(shape, |voxel| map[voxel] != label);
            let mut is_open = vec![false; outside.sizes.len() + 1];
            for (voxel, id) in outside.ids.iter().enumerate() {
                is_open[*id as usize] |= is_at_border(voxel, shape);
            }
            for (voxel, id) in map.iter_mut().zip(&outside.ids) {
                if *id != 0 && !is_open[*id as usize] && *voxel == 0 {
                    *voxel = label;
                }
            }
        }
    }
}

fn is_at_border(voxel: usize, [size_x, size_y, size_z]: [usize; 3]) -> bool {
    let (x, y, z) = (voxel / (size_y * size_z), voxel / size_z % size_y, voxel % size_z);
    x == 0 || y == 0 || z == 0 || x + 1 == size_x || y + 1 == size_y || z + 1 == size_z
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell of label 1 around a background voxel and a voxel of label 2.
    fn shell() -> Vec<Label> {
        let mut map = vec![1; 3 * 3 * 4];
        map[17] = 0;
        map[18] = 2;
        map
    }

    #[test]
    fn enclosed_background_is_filled_and_other_labels_stay() {
        let mut map = shell();
        FillHoles { labels: None }.apply(&mut map, [3, 3, 4]);
        assert_eq!((map[17], map[18]), (1, 2));
    }

    #[test]
    fn a_hole_that_leads_out_stays() {
        let mut map = shell();
        map[16] = 0;
        FillHoles { labels: Some(vec![1]) }.apply(&mut map, [3, 3, 4]);
        assert_eq!((map[16], map[17]), (0, 0));
    }
}
