//! Removes tumour outside its organ.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PostprocessStep;
use volume::connected_components::connected_components;
use volume::{Grid, Label};

/// Removes tumour that touches no liver: connected components (face neighbours) of liver and tumour together that contain no liver become background.
///
/// ```yaml
/// - tumour_inside_liver: { liver: 1, tumour: 2 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TumourInsideLiver {
    /// Label of the organ. Default: 1.
    #[serde(default = "one")]
    pub liver: Label,
    /// Label of the tumour. Default: 2.
    #[serde(default = "two")]
    pub tumour: Label,
}

fn one() -> Label {
    1
}

fn two() -> Label {
    2
}

impl PostprocessStep for TumourInsideLiver {
    fn labels(&self) -> Vec<Label> {
        vec![self.liver, self.tumour]
    }

    fn apply(&self, map: &mut [Label], grid: &Grid) {
        let parts = connected_components(grid.shape, |voxel| map[voxel] == self.liver || map[voxel] == self.tumour);
        let mut has_liver = vec![false; parts.sizes.len() + 1];
        for (label, id) in map.iter().zip(&parts.ids) {
            has_liver[*id as usize] |= *label == self.liver;
        }
        for (label, id) in map.iter_mut().zip(&parts.ids) {
            if *id != 0 && !has_liver[*id as usize] {
                *label = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::Affine;

    #[test]
    fn tumour_without_liver_is_removed_and_tumour_at_the_liver_stays() {
        let mut map = [2, 0, 1, 2, 0, 3, 2];
        TumourInsideLiver { liver: 1, tumour: 2 }.apply(&mut map, &Grid { shape: [1, 1, 7], affine: Affine::IDENTITY });
        assert_eq!(map, [0, 0, 1, 2, 0, 3, 0]);
    }
}
