//! Cropping by a number of voxels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Component, GridMapping, ITSELF, Incoming, KeyProblem, Lattice, LatticeAxis, NoParams, SpatialTransform};
use random::Rng;
use values::Margins;
use volume::Grid;

/// Crops voxels from both ends of each axis, as TorchIO's Crop. World coordinates are preserved.
///
/// ```yaml
/// - crop: { start: [16, 16, 0], end: [16, 16, 8] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    /// Number of voxels to crop from the start of x, y and z; default `[0, 0, 0]`. A volume of which nothing would remain
    /// is an error.
    #[serde(default)]
    pub start: Margins,
    /// Number of voxels to crop from the end of x, y and z; default `[0, 0, 0]`.
    #[serde(default)]
    pub end: Margins,
}

impl Component for Crop {
    type Params = NoParams;

    fn aliases() -> &'static [&'static str] {
        &["Crop", "SpatialCrop", "BorderCrop"]
    }

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }

    fn check_incoming(&self, incoming: &Incoming) -> Result<(), KeyProblem> {
        let shape = incoming.grid.shape;
        let cropped = |axis: usize| self.start.0[axis] + self.end.0[axis];
        let Some(axis) = (0..3).find(|axis| cropped(*axis) >= shape[*axis]) else { return Ok(()) };
        let (cropped, name, size) = (cropped(axis), ["x", "y", "z"][axis], shape[axis]);
        let message = format!("{cropped} voxels along {name} would be cropped, and it has {size}");
        Err(KeyProblem::new(ITSELF, message)
            .help("crop less, or exclude the subject; crop_or_pad gives all subjects the same shape"))
    }
}

impl SpatialTransform for Crop {
    fn map_grid(&self, _: &NoParams, incoming: &Grid) -> GridMapping {
        let start: [usize; 3] = std::array::from_fn(|axis| self.start.0[axis].min(incoming.shape[axis] - 1));
        let left = |axis: usize| (incoming.shape[axis] - start[axis]).saturating_sub(self.end.0[axis]).max(1);
        let axes = std::array::from_fn(|axis| LatticeAxis { source: axis, flipped: false, offset: start[axis] as i64 });
        GridMapping::lattice(Lattice { axes }, std::array::from_fn(left), incoming)
    }

    fn input_shape(&self, output: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|axis| output[axis] + self.start.0[axis] + self.end.0[axis])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::Affine;

    fn mapped(start: [usize; 3], end: [usize; 3]) -> GridMapping {
        Crop { start: Margins(start), end: Margins(end) }
            .map_grid(&NoParams, &Grid { shape: [7, 8, 9], affine: Affine::IDENTITY })
    }

    #[test]
    fn both_ends_are_cropped_and_world_coordinates_preserved() {
        let mapping = mapped([1, 0, 2], [2, 3, 0]);
        assert_eq!((mapping.grid.shape, mapping.grid.affine.origin()), ([4, 5, 7], [1.0, 0.0, 2.0]));
    }

    #[test]
    fn what_is_cropped_is_part_of_the_input() {
        let crop = Crop { start: Margins([1, 0, 2]), end: Margins([2, 3, 0]) };
        assert_eq!(crop.input_shape([4, 5, 7]), [7, 8, 9]);
    }

    #[test]
    fn cropping_a_whole_axis_is_an_error() {
        let check = |start, end| {
            let grid = Grid { shape: [7, 8, 9], affine: Affine::IDENTITY };
            let crop = Crop { start: Margins(start), end: Margins(end) };
            crop.check_incoming(&Incoming { grid, channels: 1 }).map_err(|problem| problem.message)
        };
        assert_eq!(check([3, 0, 8], [3, 7, 0]), Ok(()));
        assert_eq!(check([0, 5, 0], [0, 3, 0]).unwrap_err(), "8 voxels along y would be cropped, and it has 8");
        // Unchecked, one voxel remains.
        assert_eq!(mapped([9, 0, 0], [0, 9, 0]).grid.shape, [1, 1, 9]);
    }
}
