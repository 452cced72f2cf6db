//! How predictions after a chain that resamples a whole volume are resampled back.

use super::chain::unroll;
use crate::{Lattice, LatticeAxis, Map, Transform, TransformParams, Zoom};
use volume::{Affine, Grid};

/// The way from predictions after a chain to the grid of the file: a resampling of the whole volume, and a map of whole voxels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoomBack {
    /// The resampling.
    pub zoom: Zoom,
    /// The voxel of the file of each voxel after the resampling; some may be outside the file.
    pub lattice: Lattice,
}

/// Returns how predictions after a chain are resampled back, if the chain moves whole voxels and then resamples by a [`Zoom`],
/// and no step after that moves voxels.
pub fn zoom_back(chain: &[Transform], params: &[TransformParams], incoming: &Grid) -> Option<ZoomBack> {
    let (mut grid, mut lattice, mut zoom) = (*incoming, Lattice::IDENTITY, None);
    let mut is_supported = true;
    unroll(chain, params, &mut |step, params| {
        let Some(mapping) = step.component().map_grid(params, &grid) else { return };
        match (step.component().zoom(&grid), &mapping.map) {
            (Some(round_trip), _) if zoom.is_none() => zoom = Some(round_trip.back),
            (None, Map::Lattice(step)) if zoom.is_none() => lattice = composed(&lattice, step),
            (_, map) => {
                let is_identity = match map {
                    Map::Lattice(lattice) => *lattice == Lattice::IDENTITY,
                    Map::Warp(affine) => *affine == Affine::IDENTITY,
                    Map::Elastic(_) => false,
                };
                is_supported &= is_identity && mapping.grid.shape == grid.shape;
            }
        }
        grid = mapping.grid;
    });
    zoom.filter(|_| is_supported).map(|zoom| ZoomBack { zoom, lattice })
}

/// Returns the map of whole voxels that applies `next` and then `before`.
fn composed(before: &Lattice, next: &Lattice) -> Lattice {
    let axes = next.axes.map(|axis| {
        let LatticeAxis { source, flipped, offset } = before.axes[axis.source];
        let moved = if flipped { -axis.offset } else { axis.offset };
        LatticeAxis { source, flipped: flipped ^ axis.flipped, offset: offset + moved }
    });
    Lattice { axes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lazy::{fixed_params, index_mapping};
    use crate::{CropToNonzeroParams, Incoming, Interpolation};

    fn back(chain: &str) -> Option<ZoomBack> {
        // Stored as LPS, with slices along x.
        let affine = Affine([[0.0, -1.0, 0.0, 5.0], [0.0, 0.0, -1.0, 6.0], [4.0, 0.0, 0.0, 7.0]]);
        let grid = Grid { shape: [6, 20, 30], affine };
        let value: serde_json::Value = serde_yaml::from_str(chain).unwrap();
        let chain: Vec<Transform> = serde_json::from_value(value).unwrap();
        let mut params = fixed_params(&chain, &Incoming { grid, channels: 1 });
        for params in &mut params {
            if let TransformParams::CropToNonzero(bounds) = params {
                *bounds = CropToNonzeroParams(Some([[3, 5, 1], [13, 25, 4]]));
            }
        }
        let back = zoom_back(&chain, &params, &grid)?;
        // The composed lattice is the affine map of the steps before the zoom.
        let before = chain.iter().position(|step| step.component().zooms()).unwrap();
        assert_eq!(back.lattice.affine(), index_mapping(&chain[..before], &params[..before], &grid).map);
        Some(back)
    }

    const RESAMPLE: &str = "{ resample: { spacing_mm: [2, 2, 2], convention: nnunet } }";

    #[test]
    fn crops_and_reorientations_before_are_composed() {
        let chain =
            format!("[{{ to_canonical: {{}} }}, {{ crop_to_nonzero: {{}} }}, {{ z_normalize: {{}} }}, {RESAMPLE}]");
        let ZoomBack { zoom, lattice } = back(&chain).unwrap();
        let expected =
            Zoom { from: [5, 10, 6], to: [10, 20, 3], interpolation: Interpolation::Linear, separate_axis: Some(2) };
        assert_eq!(zoom, expected);
        let axis = |source, flipped, offset| LatticeAxis { source, flipped, offset };
        assert_eq!(lattice.axes, [axis(1, true, 16), axis(2, true, 24), axis(0, false, 1)]);
    }

    #[test]
    fn other_steps_that_move_voxels_are_not_supported() {
        assert!(back(&format!("[{RESAMPLE}, {{ crop: {{ start: [0, 0, 0] }} }}]")).is_some());
        assert!(back(&format!("[{RESAMPLE}, {RESAMPLE}]")).is_some());
        for chain in [
            format!("[{RESAMPLE}, {{ crop: {{ start: [1, 0, 0] }} }}]"),
            format!("[{{ resample: {{ spacing_mm: [3, 3, 3] }} }}, {RESAMPLE}]"),
            "[{ resample: { spacing_mm: [3, 3, 3] } }]".to_owned(),
        ] {
            assert_eq!(back(&chain), None, "{chain}");
        }
    }
}
