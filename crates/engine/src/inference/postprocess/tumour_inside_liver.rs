//! No tumour away from its organ.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use volume::Label;
use volume::connected_components::connected_components;

/// Turns tumour that is not joined to any liver into background: each component of liver and tumour together, voxels touching by their faces, must hold some liver.
///
/// ```yaml
/// - tumour_inside_liver: { liver: 1, tumour: 2 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TumourInsideLiver {
    /// The label of the organ.
    #[serde(default = "one")]
    pub liver: Label,
    /// The label of the tumour.
    #[serde(default = "two")]
    pub tumour: Label,
}

fn one() -> Label {
    1
}

fn two() -> Label {
    2
}

impl TumourInsideLiver {
    /// Changes a label map `[x, y, z]` in place.
    pub fn apply(&self, map: &mut [Label], shape: [usize; 3]) {
        let found = connected_components(shape, |voxel| map[voxel] == self.liver || map[voxel] == self.tumour);
        let mut has_liver = vec![false; found.sizes.len() + 1];
        for (label, id) in map.iter().zip(&found.ids) {
            has_liver[*id as usize] |= *label == self.liver;
        }
        for (label, id) in map.iter_mut().zip(&found.ids) {
            if *id != 0 && !has_liver[*id as usize] {
                *label = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tumour_without_liver_goes_and_tumour_at_the_liver_stays() {
        let mut map = [2, 0, 1, 2, 0, 3, 2];
        TumourInsideLiver { liver: 1, tumour: 2 }.apply(&mut map, [1, 1, 7]);
        assert_eq!(map, [0, 0, 1, 2, 0, 3, 0]);
    }
}
