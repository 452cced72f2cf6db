//! Resampling to a shape.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Component, GridMapping, Incoming, Interpolation, NoParams, SpatialTransform};
use random::Rng;
use values::PartialShape;
use volume::Grid;

/// Resamples to a shape, keeping the field of view, as TorchIO's Resize. Labels take the nearest voxel.
///
/// ```yaml
/// - resize: { shape: [256, 256, null] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// Number of voxels along x, y and z; `null` keeps an axis, as in `[256, 256, null]`.
    pub shape: PartialShape,
    /// Interpolation of intensities: `nearest`, `linear` (default) or `cubic`.
    #[serde(default)]
    pub interpolation: Interpolation,
}

impl Component for Resize {
    type Params = NoParams;

    fn aliases() -> &'static [&'static str] {
        &["Resize", "Zoom", "ResizeTransform"]
    }

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }
}

impl SpatialTransform for Resize {
    fn map_grid(&self, _: &NoParams, incoming: &Grid) -> GridMapping {
        let shape = self.shape.resolve(incoming.shape);
        let ratios = std::array::from_fn(|axis| incoming.shape[axis] as f64 / shape[axis] as f64);
        crate::spatial::resample::centred(incoming, shape, ratios, self.interpolation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::Affine;

    #[test]
    fn the_field_of_view_is_unchanged() {
        let grid = Grid { shape: [10, 6, 4], affine: Affine::scale_and_shift([1.0, 2.0, 3.0], [0.0; 3]) };
        let mapping = Resize { shape: PartialShape([Some(5), None, Some(8)]), interpolation: Interpolation::Linear }
            .map_grid(&NoParams, &grid);
        assert_eq!((mapping.grid.shape, mapping.grid.spacing()), ([5, 6, 8], [2.0, 2.0, 1.5]));
        // The first voxel starts where the old first voxel starts.
        assert_eq!(mapping.grid.affine.origin(), [0.5, 0.0, -0.75]);
    }
}
