//! Padding by a number of voxels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Component, Extension, GridMapping, Incoming, Lattice, LatticeAxis, NoParams, Padding, SpatialTransform};
use random::Rng;
use volume::Grid;

/// Pads both ends of each axis, as TorchIO's Pad. World coordinates are preserved.
///
/// ```yaml
/// - pad: { start: [8, 8, 8], end: [8, 8, 8], fill: -1000 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pad {
    /// Number of voxels to add at the start of x, y and z; default `[0, 0, 0]`.
    #[serde(default)]
    pub start: [u16; 3],
    /// Number of voxels to add at the end of x, y and z; default `[0, 0, 0]`.
    #[serde(default)]
    pub end: [u16; 3],
    /// Padding mode: a number (default 0), or the `minimum` (also `null`), `maximum`, `mean` or `median` of the volume's
    /// intensities, all with label 0; or a mode of numpy's pad, which also pads labels: `edge`, `reflect`, `symmetric`,
    /// `wrap` or `linear_ramp` (with label 0). Such a mode needs the whole volume, so it belongs in `preprocess`.
    #[serde(default)]
    pub fill: Padding,
}

impl Component for Pad {
    type Params = NoParams;

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }
}

impl SpatialTransform for Pad {
    fn map_grid(&self, _: &NoParams, incoming: &Grid) -> GridMapping {
        let added = |axis: usize| usize::from(self.start[axis]) + usize::from(self.end[axis]);
        let shape = std::array::from_fn(|axis| incoming.shape[axis] + added(axis));
        let axes = std::array::from_fn(|axis| LatticeAxis {
            source: axis,
            flipped: false,
            offset: -i64::from(self.start[axis]),
        });
        GridMapping { fill: self.fill.fill(), ..GridMapping::lattice(Lattice { axes }, shape, incoming) }
    }

    fn extension(&self) -> Option<Extension> {
        self.fill.extension()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fill;
    use volume::Affine;

    #[test]
    fn both_ends_are_padded_and_world_coordinates_preserved() {
        let pad: Pad = serde_yaml::from_str("{start: [1, 0, 2], end: [2, 3, 0]}").unwrap();
        let mapping = pad.map_grid(&NoParams, &Grid { shape: [7, 8, 9], affine: Affine::IDENTITY });
        assert_eq!((mapping.grid.shape, mapping.grid.affine.origin()), ([10, 11, 11], [-1.0, 0.0, -2.0]));
        assert_eq!(mapping.fill, Fill::Value(0.0));
    }
}
