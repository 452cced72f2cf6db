//! A fixed shape, around the centre.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Fill, Lattice, LatticeAxis, Nothing, Placement, Spatial};
use crate::data::volume::Grid;
use crate::seed::Rng;
use crate::value::PartialShape;

/// Crops what is too long and pads what is too short, around the centre; world coordinates stay.
///
/// Of a difference of n voxels, `ceil(n / 2)` are cut or added at the start of the axis, as in TorchIO.
///
/// ```yaml
/// - crop_or_pad: { shape: [256, 256, 100] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CropOrPad {
    /// Voxels along x, y and z; `null` keeps an axis.
    pub shape: PartialShape,
    /// The intensity of padded voxels; padded labels are 0.
    #[serde(default)]
    pub fill: f32,
}

impl Spatial for CropOrPad {
    type Draw = Nothing;

    fn draw(&self, _: &mut Rng) -> Nothing {
        Nothing
    }

    fn place(&self, _: &Nothing, incoming: &Grid) -> Placement {
        let shape = self.shape.resolve(incoming.shape);
        let axes = std::array::from_fn(|axis| {
            let difference = incoming.shape[axis].abs_diff(shape[axis]);
            let at_start = difference.div_ceil(2) as i64;
            let offset = if incoming.shape[axis] > shape[axis] { at_start } else { -at_start };
            LatticeAxis { source: axis, flipped: false, offset }
        });
        Placement { fill: Fill::Value(self.fill), ..Placement::lattice(Lattice { axes }, shape, incoming) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::volume::Affine;

    fn offset(incoming: usize, outgoing: usize) -> i64 {
        let grid = Grid { shape: [incoming, 1, 1], affine: Affine::IDENTITY };
        let place = CropOrPad { shape: PartialShape([Some(outgoing), None, None]), fill: 0.0 }.place(&Nothing, &grid);
        assert_eq!(place.grid.affine.origin()[0], place_offset(&place) as f64);
        place_offset(&place)
    }

    fn place_offset(place: &Placement) -> i64 {
        match &place.map {
            super::super::Map::Lattice(lattice) => lattice.axes[0].offset,
            super::super::Map::Warp(_) => panic!("a crop moves whole voxels"),
        }
    }

    #[test]
    fn of_three_voxels_two_are_cut_at_the_start() {
        assert_eq!(offset(7, 4), 2);
    }

    #[test]
    fn of_three_voxels_two_are_added_at_the_start() {
        assert_eq!(offset(4, 7), -2);
    }

    #[test]
    fn the_same_shape_changes_nothing() {
        assert_eq!(offset(5, 5), 0);
    }
}
