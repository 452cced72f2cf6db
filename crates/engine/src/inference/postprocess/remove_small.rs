//! Removes small connected components.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PostprocessStep, selected_labels};
use values::Positive;
use volume::connected_components::connected_components;
use volume::{Grid, Label};

/// Removes connected components (face neighbours) below a volume: they become background.
///
/// ```yaml
/// - remove_small: { volume_mm3: 50, labels: [2] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveSmall {
    /// Minimum volume of a component to keep, in mm³, such as `50`.
    pub volume_mm3: Positive,
    /// Labels to process, each by itself, such as `[2]`. By default (`null`) every label.
    #[serde(default)]
    pub labels: Option<Vec<Label>>,
}

impl PostprocessStep for RemoveSmall {
    fn labels(&self) -> Vec<Label> {
        self.labels.clone().unwrap_or_default()
    }

    fn apply(&self, map: &mut [Label], grid: &Grid) {
        let voxel_mm3 = grid.affine.determinant().abs();
        for label in selected_labels(self.labels.as_deref(), map) {
            let parts = connected_components(grid.shape, |voxel| map[voxel] == label);
            for (voxel, id) in map.iter_mut().zip(&parts.ids) {
                // The tolerance keeps components of exactly this volume, whatever the rounding.
                let is_small = |size: usize| size as f64 * voxel_mm3 < self.volume_mm3.get() * (1.0 - 1e-6);
                if *id != 0 && is_small(parts.sizes[*id as usize - 1]) {
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
    fn the_volume_is_in_cubic_millimetres() {
        let affine = Affine::scale_and_shift([1.0, 1.0, 5.0], [0.0; 3]);
        let grid = Grid { shape: [1, 1, 7], affine };
        let mut map = [1, 0, 1, 1, 0, 2, 2];
        let step = RemoveSmall { volume_mm3: Positive::new(10.0).unwrap(), labels: Some(vec![1]) };
        step.apply(&mut map, &grid);
        assert_eq!(map, [0, 0, 1, 1, 0, 2, 2]);
    }
}
