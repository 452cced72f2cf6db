//! Reorientation to RAS.

use crate::{Axes, Component, GridMapping, Incoming, NoParams, SpatialTransform};
use random::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use volume::Grid;

/// Permutes and flips axes so that the volume is in RAS orientation, without interpolation, as TorchIO's ToCanonical. An
/// oblique volume stays oblique.
///
/// ```yaml
/// - to_canonical: {}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToCanonical {}

impl Component for ToCanonical {
    type Params = NoParams;

    fn aliases() -> &'static [&'static str] {
        &["ToCanonical", "Orientation"]
    }

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }
}

impl SpatialTransform for ToCanonical {
    fn map_grid(&self, _: &NoParams, incoming: &Grid) -> GridMapping {
        Axes::RAS.reorient(incoming)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::Affine;

    #[test]
    fn a_volume_in_ras_is_unchanged() {
        let grid = Grid { shape: [2, 3, 4], affine: Affine::scale_and_shift([1.0, 2.0, 3.0], [5.0; 3]) };
        assert_eq!(ToCanonical {}.map_grid(&NoParams, &grid).grid, grid);
    }

    #[test]
    fn an_lps_volume_keeps_its_world_coordinates() {
        let affine = Affine::scale_and_shift([-1.0, -2.0, 3.0], [10.0, 20.0, 30.0]);
        let mapping = ToCanonical {}.map_grid(&NoParams, &Grid { shape: [4, 5, 6], affine });
        assert_eq!(mapping.grid.affine.orientation(), "RAS");
        // The first outgoing voxel is the last incoming one along x and y.
        assert_eq!(mapping.grid.affine.origin(), affine.apply([3.0, 4.0, 0.0]));
    }
}
