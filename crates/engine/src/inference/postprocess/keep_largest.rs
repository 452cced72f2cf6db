//! One component per label.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::labels_of;
use volume::Label;
use volume::connected_components::connected_components;

/// Keeps the largest component of each of the labels, by number of voxels, and turns the others into background; voxels touch by their faces.
///
/// ```yaml
/// - keep_largest: { labels: [1] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepLargest {
    /// The labels to which it applies, each on its own; `null` is every label.
    #[serde(default)]
    pub labels: Option<Vec<Label>>,
}

impl KeepLargest {
    /// Changes a label map `[x, y, z]` in place; of equally large components the first in array order stays.
    pub fn apply(&self, map: &mut [Label], shape: [usize; 3]) {
        for label in labels_of(self.labels.as_deref(), map) {
            let found = connected_components(shape, |voxel| map[voxel] == label);
            let largest = (0..found.sizes.len()).rev().max_by_key(|index| found.sizes[*index]);
            let Some(kept) = largest.map(|index| index as u32 + 1) else { continue };
            for (voxel, id) in map.iter_mut().zip(&found.ids) {
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

    #[test]
    fn each_label_keeps_its_largest_component() {
        let mut map = [1, 0, 1, 1, 0, 2, 0, 2];
        KeepLargest { labels: None }.apply(&mut map, [1, 1, 8]);
        assert_eq!(map, [0, 0, 1, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn labels_that_are_not_named_stay() {
        let mut map = [1, 0, 1, 1, 0, 2, 0, 2];
        KeepLargest { labels: Some(vec![1]) }.apply(&mut map, [1, 1, 8]);
        assert_eq!(map, [0, 0, 1, 1, 0, 2, 0, 2]);
    }
}
