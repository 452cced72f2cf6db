//! Cropping to the voxels that are not zero.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::statistics::nonzero;
use crate::{Component, GridMapping, Incoming, Lattice, LatticeAxis, SpatialTransform, TransformError, WholeVolume};
use random::Rng;
use volume::Grid;

/// Crops to the bounding box of the voxels with an intensity other than 0 in any channel, as nnU-Net does before it
/// normalizes. World coordinates are preserved; a volume of zeros is unchanged. Predictions are background outside the box.
///
/// The box depends on the voxels, so `check`, which reads headers only, computes with uncropped volumes.
///
/// ```yaml
/// - crop_to_nonzero: {}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CropToNonzero {}

/// The box: the index of its first voxel and of the one after its last; `None` for the whole volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CropToNonzeroParams(pub Option<[[usize; 3]; 2]>);

impl Component for CropToNonzero {
    type Params = CropToNonzeroParams;

    fn aliases() -> &'static [&'static str] {
        &["CropForeground"]
    }

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> CropToNonzeroParams {
        CropToNonzeroParams(None)
    }

    fn validate_params(&self, params: &Self::Params, incoming: &Incoming) -> Result<(), String> {
        let Some([low, high]) = params.0 else { return Ok(()) };
        let shape = incoming.grid.shape;
        if (0..3).all(|axis| low[axis] < high[axis] && high[axis] <= shape[axis]) {
            return Ok(());
        }
        Err(format!("expected a box inside the volume of {shape:?} voxels, got one from {low:?} to {high:?}"))
    }
}

impl SpatialTransform for CropToNonzero {
    fn map_grid(&self, params: &CropToNonzeroParams, incoming: &Grid) -> GridMapping {
        let [low, high] = params.0.unwrap_or([[0; 3], incoming.shape]);
        let axes = std::array::from_fn(|axis| LatticeAxis { source: axis, flipped: false, offset: low[axis] as i64 });
        GridMapping::lattice(Lattice { axes }, std::array::from_fn(|axis| high[axis] - low[axis]), incoming)
    }

    fn resolves_from_volume(&self) -> bool {
        true
    }

    fn resolves_shape(&self) -> bool {
        true
    }

    fn resolve_from_volume(
        &self,
        _: &CropToNonzeroParams,
        whole: &WholeVolume,
    ) -> Result<CropToNonzeroParams, TransformError> {
        // Filling the holes of nnU-Net's mask would not change its bounding box.
        let bounds = nonzero::bounds(whole);
        Ok(CropToNonzeroParams(bounds.map(|(low, high)| [low, high])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Map;
    use volume::Affine;

    fn resolved(shape: [usize; 3], image: &[f32]) -> CropToNonzeroParams {
        let grid = Grid { shape, affine: Affine::IDENTITY };
        let whole = WholeVolume { grid, image, label: None };
        CropToNonzero {}.resolve_from_volume(&CropToNonzeroParams(None), &whole).unwrap()
    }

    #[test]
    fn the_box_contains_every_voxel_that_is_not_zero_in_some_channel() {
        let shape = [4, 5, 6];
        let mut image = [0.0; 240];
        image[volume::offset(shape, [1, 2, 5])] = -3.0;
        image[120 + volume::offset(shape, [3, 2, 1])] = 1e-9;
        let params = resolved(shape, &image);
        assert_eq!(params, CropToNonzeroParams(Some([[1, 2, 1], [4, 3, 6]])));
        let grid = Grid { shape, affine: Affine::scale_and_shift([2.0, 3.0, 4.0], [7.0; 3]) };
        let mapping = CropToNonzero {}.map_grid(&params, &grid);
        assert_eq!((mapping.grid.shape, mapping.grid.affine.origin()), ([3, 1, 5], [9.0, 13.0, 11.0]));
        let Map::Lattice(lattice) = &mapping.map else { panic!("a crop moves whole voxels") };
        assert_eq!(lattice.axes.map(|axis| axis.offset), [1, 2, 1]);
    }

    #[test]
    fn a_volume_of_zeros_is_unchanged() {
        let params = resolved([2, 3, 4], &[0.0; 24]);
        assert_eq!(params, CropToNonzeroParams(None));
        let grid = Grid { shape: [2, 3, 4], affine: Affine::IDENTITY };
        assert_eq!(CropToNonzero {}.map_grid(&params, &grid).grid, grid);
    }

    #[test]
    fn a_recorded_box_must_be_inside_the_volume() {
        let incoming = Incoming { grid: Grid { shape: [4; 3], affine: Affine::IDENTITY }, channels: 1 };
        let check = |bounds| CropToNonzero {}.validate_params(&CropToNonzeroParams(Some(bounds)), &incoming);
        assert!(check([[0; 3], [4; 3]]).is_ok());
        assert!(check([[0; 3], [4, 5, 4]]).is_err() && check([[2; 3], [2; 3]]).is_err());
    }
}
