//! A new number of voxels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Component, GridMapping, Incoming, Interpolation, NoParams, SpatialTransform};
use random::Rng;
use values::PartialShape;
use volume::Grid;

/// Interpolates to a number of voxels, keeping the field of view: labels take the nearest voxel.
///
/// ```yaml
/// - resize: { shape: [256, 256, null] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// Voxels along x, y and z; `null` keeps an axis.
    pub shape: PartialShape,
    /// How intensities between voxels are found.
    #[serde(default)]
    pub interpolation: Interpolation,
}

impl Component for Resize {
    type Params = NoParams;

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
    fn the_field_of_view_stays() {
        let grid = Grid { shape: [10, 6, 4], affine: Affine::scale_and_shift([1.0, 2.0, 3.0], [0.0; 3]) };
        let place = Resize { shape: PartialShape([Some(5), None, Some(8)]), interpolation: Interpolation::Linear }
            .map_grid(&NoParams, &grid);
        assert_eq!((place.grid.shape, place.grid.spacing()), ([5, 6, 8], [2.0, 2.0, 1.5]));
        // The first voxel starts where the old first voxel starts.
        assert_eq!(place.grid.affine.origin(), [0.5, 0.0, -0.75]);
    }
}
