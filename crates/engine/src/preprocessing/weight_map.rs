//! The weights of a subject's voxels, from the file of a map.

use std::path::Path;

use dataset::alignment::{Role, align};
use dataset::queue::MakeError;
use dataset::samplers::check_weights;
use transforms::lazy::IndexMapping;
use volume::io;
use volume::{Grid, Voxels, offset};

/// Reads a weight map in the axis order of its subject's image.
pub(super) fn load(path: &Path, grid: &Grid) -> Result<Voxels<f32>, MakeError> {
    let (own, map) = io::read_image(path)?;
    let wrong = |what: &str| format!("{}: {what}", path.display());
    if map.channels != 1 {
        return Err(wrong("expected a weight map with 1 channel").into());
    }
    let map = align(Role::WeightMap, path, (own, map), (Role::Image, grid)).map_err(|error| error.to_string())?;
    check_weights(&map).map_err(|reason| wrong(&reason))?;
    Ok(map)
}

/// Resamples a weight map as a chain resamples label maps: each voxel gets the weight of its nearest source voxel, or 0
/// where it has none.
pub(super) fn resample(map: &Voxels<f32>, mapping: &IndexMapping) -> Voxels<f32> {
    let shape @ [_, size_y, size_z] = mapping.shape;
    let mut values = vec![0.0; shape.iter().product()];
    for (row, values) in values.chunks_exact_mut(size_z).enumerate() {
        for (z, value) in values.iter_mut().enumerate() {
            let source = mapping.source([row / size_y, row % size_y, z]);
            *value = source.map_or(0.0, |source| map[offset(map.shape, source)]);
        }
    }
    Voxels::new(1, shape, values)
}
