//! Voxels added to the ends of each axis.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Fill, Incoming, Lattice, LatticeAxis, Nothing, Placement, Spatial};
use crate::data::volume::Grid;
use crate::seed::Rng;
use crate::value::single_or_null;

/// Adds voxels to both ends of each axis; world coordinates stay.
///
/// ```yaml
/// - pad: { start: [8, 8, 8], end: [8, 8, 8], fill: -1000 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pad {
    /// Voxels added at the start of x, y and z.
    #[serde(default)]
    pub start: [u16; 3],
    /// Voxels added at the end of x, y and z.
    #[serde(default)]
    pub end: [u16; 3],
    /// The intensity of added voxels; `null` takes the volume's smallest, of all channels. Added labels are 0.
    #[serde(default = "zero", deserialize_with = "single_or_null")]
    pub fill: Option<f32>,
}

fn zero() -> Option<f32> {
    Some(0.0)
}

impl Spatial for Pad {
    type Draw = Nothing;

    fn draw(&self, _: &mut Rng, _: &Incoming) -> Nothing {
        Nothing
    }

    fn place(&self, _: &Nothing, incoming: &Grid) -> Placement {
        let added = |axis: usize| usize::from(self.start[axis]) + usize::from(self.end[axis]);
        let shape = std::array::from_fn(|axis| incoming.shape[axis] + added(axis));
        let axes = std::array::from_fn(|axis| LatticeAxis {
            source: axis,
            flipped: false,
            offset: -i64::from(self.start[axis]),
        });
        let fill = self.fill.map_or(Fill::MinimumOfAll, Fill::Value);
        Placement { fill, ..Placement::lattice(Lattice { axes }, shape, incoming) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::volume::Affine;

    #[test]
    fn both_ends_grow_and_the_world_stays() {
        let pad: Pad = serde_yaml::from_str("{start: [1, 0, 2], end: [2, 3, 0]}").unwrap();
        let place = pad.place(&Nothing, &Grid { shape: [7, 8, 9], affine: Affine::IDENTITY });
        assert_eq!((place.grid.shape, place.grid.affine.origin()), ([10, 11, 11], [-1.0, 0.0, -2.0]));
        assert_eq!(place.fill, Fill::Value(0.0));
    }
}
