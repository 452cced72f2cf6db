//! How much memory a training step takes, estimated from the shapes alone.

use super::Model;
use super::unet::{Norm, UnetSpec};

const BYTES: f64 = 4.0;

/// An estimate of the bytes that a training step needs at its peak.
///
/// Counted are the activations that the backward pass needs (per convolution its output, the
/// activation, and two more arrays with a normalisation; per decoder level the up-sampled map and the
/// concatenation), the largest unfolded input of a convolution, and four numbers per weight (value,
/// gradient, two moments).
pub fn training_bytes(model: &Model, channels: usize, classes: usize, batch: usize, patch: [usize; 3]) -> u64 {
    let Model::Unet(spec) = model;
    let weights = model.num_parameters(channels, classes) as f64;
    let kept = kept_values(spec, channels, classes, patch) * batch as f64;
    // The gradient of an activation lives beside it only while its own layer is undone.
    let transient = largest_layer(spec, channels, patch) * batch as f64;
    // More than 64 bits can count are as many as they can; below 2^53 nothing is rounded.
    (BYTES * (kept + transient + 4.0 * weights)) as u64
}

/// Voxels of a level's grid.
fn voxels(patch: [usize; 3], level: usize) -> f64 {
    patch.iter().map(|size| (size >> level) as f64).product()
}

fn arrays_per_convolution(spec: &UnetSpec) -> f64 {
    match spec.norm {
        Norm::None => 2.0,
        Norm::Instance | Norm::Batch | Norm::Group => 5.0,
    }
}

fn kept_values(spec: &UnetSpec, channels: usize, classes: usize, patch: [usize; 3]) -> f64 {
    let per_convolution = arrays_per_convolution(spec);
    let depth = spec.widths.len();
    let mut values = voxels(patch, 0) * (channels as f64 + 4.0 * classes as f64);
    for (level, width) in spec.widths.iter().enumerate() {
        let map = voxels(patch, level) * width.get() as f64;
        let blocks = if level + 1 < depth { 2.0 } else { 1.0 };
        values += blocks * 2.0 * per_convolution * map;
        if level + 1 < depth {
            // The up-sampled map and its concatenation with the skip.
            let deeper = voxels(patch, level) * spec.widths[level + 1].get() as f64;
            values += 2.0 * deeper + map;
        }
    }
    values
}

/// The unfolded input of the widest convolution at the full resolution, and the gradients around it.
fn largest_layer(spec: &UnetSpec, channels: usize, patch: [usize; 3]) -> f64 {
    let first = spec.widths.first().map_or(0, |width| width.get());
    let below = spec.widths.get(1).map_or(0, |width| width.get());
    let widest = (first + below).max(channels) as f64;
    voxels(patch, 0) * widest * 3.0
}
