//! Keeps the largest connected component of each label.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PostprocessStep, selected_labels};
use volume::connected_components::connected_components;
use volume::{Grid, Label};

/// Keeps the largest connected component of each label, by number of voxels (face neighbours), and sets the others to background.
///
/// ```yaml
/// - keep_largest: { labels: [1] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepLargestComponent {
    /// Labels to process, each by itself, such as `[1]`. By default (`null`) every label.
    #[serde(default)]
    pub labels: Option<Vec<Label>>,
}

impl PostprocessStep for KeepLargestComponent {
    fn labels(&self) -> Vec<Label> {
        self.labels.clone().unwrap_or_default()
    }

    /// Of equally large components the first in array order stays.
    fn apply(&self, map: &mut [Label], grid: &Grid) {
        for label in selected_labels(self.labels.as_deref(), map) {
            let parts = connected_components(grid.shape, |voxel| map[voxel] == label);
            let largest = (0..parts.sizes.len()).rev().max_by_key(|index| parts.sizes[*index]);
            let Some(kept) = largest.map(|index| index as u32 + 1) else { continue };
            for (voxel, id) in map.iter_mut().zip(&parts.ids) {
                if *id != 0 && *id != kept {
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

    const GRID: Grid = Grid { shape: [1, 1, 8], affine: Affine::IDENTITY };

    #[test]
    fn each_label_keeps_its_largest_component() {
        let mut map = [1, 0, 1, 1, 0, 2, 0, 2];
        KeepLargestComponent { labels: None }.apply(&mut map, &GRID);
        assert_eq!(map, [0, 0, 1, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn labels_that_are_not_named_stay() {
        let mut map = [1, 0, 1, 1, 0, 2, 0, 2];
        KeepLargestComponent { labels: Some(vec![1]) }.apply(&mut map, &GRID);
        assert_eq!(map, [0, 0, 1, 1, 0, 2, 0, 2]);
    }
}
