//! Fills holes in each label.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PostprocessStep, selected_labels};
use volume::connected_components::connected_components;
use volume::{Grid, Label};

/// Fills holes: background that a label encloses gets that label (SciPy's `binary_fill_holes`, face neighbours). Other labels inside are unchanged.
///
/// ```yaml
/// - fill_holes: { labels: [1] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FillHoles {
    /// Labels to process, one after the other, such as `[1]`. By default (`null`) every label.
    #[serde(default)]
    pub labels: Option<Vec<Label>>,
}

impl PostprocessStep for FillHoles {
    fn labels(&self) -> Vec<Label> {
        self.labels.clone().unwrap_or_default()
    }

    fn apply(&self, map: &mut [Label], grid: &Grid) {
        for label in selected_labels(self.labels.as_deref(), map) {
            let outside = connected_components(grid.shape, |voxel| map[voxel] != label);
            let mut is_open = vec![false; outside.sizes.len() + 1];
            for (voxel, id) in outside.ids.iter().enumerate() {
                is_open[*id as usize] |= is_at_border(voxel, grid.shape);
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
    use volume::Affine;

    const GRID: Grid = Grid { shape: [3, 3, 4], affine: Affine::IDENTITY };

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
        FillHoles { labels: None }.apply(&mut map, &GRID);
        assert_eq!((map[17], map[18]), (1, 2));
    }

    #[test]
    fn a_hole_that_is_open_to_the_border_stays() {
        let mut map = shell();
        map[16] = 0;
        FillHoles { labels: Some(vec![1]) }.apply(&mut map, &GRID);
        assert_eq!((map[16], map[17]), (0, 0));
    }
}
