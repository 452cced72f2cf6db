//! How much memory a training step takes, estimated from the shapes alone.
//!
//! The numbers of arrays were fitted to what steps on `flex` took at their peak (docs/performance.md).

use super::Model;
use super::unet::{Norm, UnetSpec};

const BYTES: f64 = 4.0;
/// The program itself.
const PROGRAM: f64 = 15e6;
/// Arrays of a class's size that the loss and its way back hold.
const LOSS_ARRAYS: f64 = 24.0;
/// Value, gradient and two moments of each weight.
const PER_WEIGHT: f64 = 4.0;

/// What is left where blocks are computed again; three networks took 0.84 to 0.92.
pub const RECOMPUTED_SHARE: f64 = 0.86;

/// An estimate of the bytes that a training step needs at its peak.
///
/// Counted are the activations that the backward pass needs (per convolution its output and the activation; per
/// decoder level the up-sampled map and the concatenation), what the widest convolution needs while it is undone, the
/// loss, and four numbers per weight.
pub fn training_bytes(model: &Model, channels: usize, classes: usize, batch: usize, patch: [usize; 3]) -> u64 {
    let Model::Unet(spec) = model;
    let weights = model.num_parameters(channels, classes) as f64;
    let full = voxels(patch, 0);
    let loss = full * (channels as f64 + LOSS_ARRAYS * classes as f64);
    let values = kept_values(spec, patch) + full * transient_maps(spec, channels, batch) + loss;
    (PROGRAM + BYTES * (values * batch as f64 + PER_WEIGHT * weights)) as u64
}

/// Voxels of a level's grid.
fn voxels(patch: [usize; 3], level: usize) -> f64 {
    patch.iter().map(|size| (size >> level) as f64).product()
}

/// Maps that a convolution, its normalisation and its activation leave for the way back.
fn maps_per_convolution(spec: &UnetSpec) -> f64 {
    match spec.norm {
        Norm::None => 2.0,
        Norm::Instance | Norm::Batch | Norm::Group => 2.3,
    }
}

fn kept_values(spec: &UnetSpec, patch: [usize; 3]) -> f64 {
    let depth = spec.widths.len();
    let of_level = |(level, width): (usize, &std::num::NonZeroUsize)| {
        let map = voxels(patch, level) * width.get() as f64;
        let is_bottom = level + 1 == depth;
        let blocks = if is_bottom { 1.0 } else { 2.0 };
        // The up-sampled map and its concatenation with the skip.
        let joined =
            if is_bottom { 0.0 } else { map + 2.0 * voxels(patch, level) * spec.widths[level + 1].get() as f64 };
        blocks * 2.0 * maps_per_convolution(spec) * map + joined
    };
    spec.widths.iter().enumerate().map(of_level).sum()
}

/// Maps at the full resolution that are there while the widest convolution is undone: gradients, and copies in which
/// batch and channels have changed places; of a batch of one there are none.
fn transient_maps(spec: &UnetSpec, channels: usize, batch: usize) -> f64 {
    let first = spec.widths.first().map_or(0, |width| width.get());
    let below = spec.widths.get(1).map_or(0, |width| width.get());
    let widest = (first + below).max(channels) as f64;
    widest * if batch > 1 { 2.7 } else { 1.3 }
}
