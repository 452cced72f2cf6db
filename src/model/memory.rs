//! How much memory a training step takes, estimated from the shapes alone.
//!
//! The constants were fitted to what steps took at their peak (docs/performance.md).

use std::num::NonZeroUsize;

use super::Model;
use super::device::DeviceName;
use super::unet::{Norm, UnetSpec};

const BYTES: f64 = 4.0;
/// Value, gradient and two moments of each weight.
const PER_WEIGHT: f64 = 4.0;

/// A training step, as far as its memory goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepSize {
    /// Channels of the image.
    pub channels: usize,
    /// Classes, with the background.
    pub classes: usize,
    /// Patches of a batch.
    pub batch: usize,
    /// Their shape, `[x, y, z]`.
    pub patch: [usize; 3],
    /// Whether activations are computed again on the way back.
    pub recomputes: bool,
    /// Where the network runs.
    pub device: DeviceName,
}

/// An estimate of the bytes that a training step needs at its peak.
pub fn training_bytes(model: &Model, step: StepSize) -> u64 {
    let Model::Unet(spec) = model;
    // Batch normalisation is made of burn's operations on every device, and so are the sums of residual blocks.
    let ours = step.device == DeviceName::Flex && spec.norm != Norm::Batch && !spec.residual;
    let [program, maps] = if ours { of_kernels(spec, step) } else { of_burn(spec, step) };
    let weights = model.num_parameters(step.channels, step.classes) as f64;
    let voxels = voxels(step.patch, 0) * step.batch as f64;
    (program + BYTES * (maps * voxels + PER_WEIGHT * weights)) as u64
}

/// What the program takes by itself in bytes, and maps of the full resolution, where the operations of `kernels` run.
fn of_kernels(spec: &UnetSpec, step: StepSize) -> [f64; 2] {
    /// Maps of the first width, and of each class, that are there while the last level is undone.
    const UNDONE: [f64; 2] = [3.7, 6.7];
    let widths = Widths::of(spec, step.patch);
    // A convolution's output, and the normalised one.
    let per_convolution = if spec.norm == Norm::None { 1.0 } else { 2.0 };
    let kept = if step.recomputes {
        // The outputs of all blocks, and one block in full.
        widths.sum(|width, _, below| width * if below.is_some() { 2.0 } else { 1.0 })
            + widths.first(1)
            + 2.0 * per_convolution * widths.first(0)
    } else {
        // Two convolutions on the way down and two on the way up; the halved map from above, the doubled one from below.
        widths.sum(|width, above, below| {
            let blocks = if below.is_some() { 2.0 } else { 1.0 };
            2.0 * blocks * per_convolution * width + above.unwrap_or(0.0) + below.unwrap_or(0.0)
        })
    };
    [11e6, kept + UNDONE[0] * widths.first(0) + UNDONE[1] * step.classes as f64]
}

/// The same where the network is made of burn's operations.
fn of_burn(spec: &UnetSpec, step: StepSize) -> [f64; 2] {
    /// Maps of each class that the loss and its way back hold.
    const OF_LOSS: f64 = 24.0;
    /// What is left where activations are computed again.
    const RECOMPUTED: f64 = 0.86;
    let widths = Widths::of(spec, step.patch);
    let per_convolution = if spec.norm == Norm::None { 2.0 } else { 2.3 };
    let kept = widths.sum(|width, _, below| {
        let blocks = if below.is_some() { 2.0 } else { 1.0 };
        // The doubled map, and its concatenation with what comes across.
        let joined = below.map_or(0.0, |below| width + 2.0 * below);
        2.0 * blocks * per_convolution * width + joined
    });
    // While the widest convolution is undone: gradients, and copies in which batch and channels have changed places.
    let widest = (widths.first(0) + widths.first(1)).max(step.channels as f64);
    let undone = widest * if step.batch > 1 { 2.7 } else { 1.3 };
    let maps = kept + undone + step.channels as f64 + OF_LOSS * step.classes as f64;
    let maps = if step.recomputes { RECOMPUTED * maps } else { maps };
    match step.device {
        // Libraries of 650 MB, and arrays that are used in place.
        DeviceName::LibtorchCpu => [650e6, 0.77 * maps],
        _ => [15e6, maps],
    }
}

/// The widths of a network's levels, each with the share of the full resolution that its grid has.
struct Widths(Vec<(f64, f64)>);

impl Widths {
    fn of(spec: &UnetSpec, patch: [usize; 3]) -> Self {
        let full = voxels(patch, 0);
        let of_level = |(level, width): (usize, &NonZeroUsize)| (width.get() as f64, voxels(patch, level) / full);
        Self(spec.widths.iter().enumerate().map(of_level).collect())
    }

    /// A width; 0 where there is no such level.
    fn first(&self, level: usize) -> f64 {
        self.0.get(level).map_or(0.0, |(width, _)| *width)
    }

    /// The sum over the levels of something of the width, of that above and of that below, in maps of the full
    /// resolution.
    fn sum(&self, of: impl Fn(f64, Option<f64>, Option<f64>) -> f64) -> f64 {
        let width = |level: Option<usize>| Some(self.0.get(level?)?.0);
        let of_level = |(level, (own, share)): (usize, &(f64, f64))| {
            share * of(*own, width(level.checked_sub(1)), width(Some(level + 1)))
        };
        self.0.iter().enumerate().map(of_level).sum()
    }
}

/// Voxels of a level's grid.
fn voxels(patch: [usize; 3], level: usize) -> f64 {
    patch.iter().map(|size| (size >> level) as f64).product()
}
