//! A new spacing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Nothing, Placement, Spatial};
use crate::data::volume::{Affine, Grid};
use crate::seed::Rng;
use crate::value::Spacing;

/// Interpolates on a grid with the given spacing and the same centre: images linearly, labels by the nearest voxel.
///
/// The new shape is `floor(shape * old spacing / new spacing)`, as in TorchIO; an axis of one voxel is kept.
///
/// ```yaml
/// - resample: { spacing_mm: [1, 1, 2.5] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resample {
    /// Millimetres per voxel along x, y and z.
    pub spacing_mm: Spacing,
}

impl Spatial for Resample {
    type Draw = Nothing;

    fn draw(&self, _: &mut Rng) -> Nothing {
        Nothing
    }

    fn place(&self, _: &Nothing, incoming: &Grid) -> Placement {
        let old = incoming.spacing();
        let shape = std::array::from_fn(|axis| match incoming.shape[axis] {
            1 => 1,
            // A spacing read from an affine is off by rounding, which must not cost a voxel.
            size => ((size as f64 * old[axis] / self.spacing_mm.0[axis] + 1e-6).floor() as usize).max(1),
        });
        let ratios = std::array::from_fn(|axis| self.spacing_mm.0[axis] / old[axis]);
        centred(incoming, shape, ratios)
    }
}

/// A grid of another shape and spacing with the same centre; `ratios` are its spacing over the old one.
pub(super) fn centred(incoming: &Grid, shape: [usize; 3], ratios: [f64; 3]) -> Placement {
    let middle = |size: usize| (size as f64 - 1.0) / 2.0;
    let shift = std::array::from_fn(|axis| middle(incoming.shape[axis]) - middle(shape[axis]) * ratios[axis]);
    let map = Affine::scale_and_shift(ratios, shift);
    Placement::warp(map, Grid { shape, affine: incoming.affine.after(&map) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid { shape: [10, 7, 1], affine: Affine::scale_and_shift([1.0, 2.0, 3.0], [5.0; 3]) }
    }

    #[test]
    fn the_centre_stays() {
        let place = Resample { spacing_mm: Spacing([3.0, 1.0, 1.0]) }.place(&Nothing, &grid());
        assert_eq!(place.grid.shape, [3, 14, 1]);
        let (new, old) = (place.grid.centre(), grid().centre());
        assert!((0..3).all(|axis| (new[axis] - old[axis]).abs() < 1e-12), "{new:?} {old:?}");
    }

    #[test]
    fn the_same_spacing_changes_nothing() {
        let place = Resample { spacing_mm: Spacing([1.0, 2.0, 3.0]) }.place(&Nothing, &grid());
        assert_eq!(place.grid, grid());
    }
}
