//! How much memory a training step takes, estimated from the shapes alone.
//!
//! The constants were fitted to what steps took at their peak (docs/performance.md).

use std::num::NonZeroUsize;

use super::Model;
use super::device::DeviceName;
use super::unet::{Norm, UnetSpec};

const BYTES: f64 = 4.0;
/// What is left where burn computes activations again.
const RECOMPUTED: f64 = 0.86;
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
    let [program, maps] = match step.device {
        DeviceName::LibtorchCpu => of_libtorch(spec, step),
        _ if ours => of_kernels(spec, step),
        _ => of_burn(spec, step),
    };
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
    [15e6, if step.recomputes { RECOMPUTED * maps } else { maps }]
}

/// The same where LibTorch computes on the CPU.
fn of_libtorch(spec: &UnetSpec, step: StepSize) -> [f64; 2] {
    /// Maps of each class that the loss and its way back hold.
    const OF_LOSS: f64 = 60.0;
    /// Its libraries.
    const PROGRAM: f64 = 426e6;
    /// Columns of the largest convolution that is unfolded, and their gradients.
    const UNFOLDED: f64 = 2.2;
    let per_convolution = if spec.norm == Norm::None { 3.6 } else { 5.0 };
    let kept = Widths::of(spec, step.patch).sum(|width, _, below| {
        let blocks = if below.is_some() { 2.0 } else { 1.0 };
        2.0 * blocks * per_convolution * width
    });
    let maps = kept + OF_LOSS * step.classes as f64;
    let maps = if step.recomputes { RECOMPUTED * maps } else { maps };
    [PROGRAM + UNFOLDED * BYTES * unfolded(spec, step), maps]
}

/// Numbers in the largest columns that LibTorch unfolds a patch into: it does so with a batch of one patch whose channels
/// times x times y are few.
fn unfolded(spec: &UnetSpec, step: StepSize) -> f64 {
    /// More of them go to oneDNN (`ConvParams::use_mkldnn` of ATen).
    const MOST: usize = 20_480;
    const KERNEL: usize = 27;
    if step.batch > 1 {
        return 0.0;
    }
    let width = |level: usize| spec.widths.get(level).map_or(0, |width| width.get());
    let of_level = |level: usize| {
        let [x, y, z] = step.patch.map(|size| size >> level);
        let from_above = level.checked_sub(1).map_or(step.channels, width);
        let incoming = [from_above, width(level), width(level) + width(level + 1)].into_iter();
        incoming.filter(move |channels| channels * x * y <= MOST).map(move |channels| KERNEL * channels * x * y * z)
    };
    (0..spec.widths.len()).flat_map(of_level).max().unwrap_or(0) as f64
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Normalisation, widths, patch, patches of a batch, and the megabytes that a step took at its peak.
    type Taken = (&'static str, &'static [usize], [usize; 3], usize, f64);

    /// On `libtorch:cpu` (`benches/memory.py`).
    const TAKEN: [Taken; 12] = [
        ("none", &[8, 16], [48, 48, 48], 1, 793.0),
        ("none", &[8, 16], [48, 48, 48], 3, 776.0),
        ("none", &[16, 32], [48, 48, 48], 1, 675.0),
        ("none", &[32, 64, 128], [64, 64, 64], 2, 2034.0),
        ("none", &[16, 32, 64], [80, 80, 80], 1, 1659.0),
        ("none", &[12, 24, 48], [32, 32, 32], 4, 601.0),
        ("none", &[4, 8], [64, 64, 64], 1, 884.0),
        ("instance", &[8, 16, 32], [48, 48, 48], 1, 877.0),
        ("instance", &[8, 16, 32], [40, 56, 40], 2, 716.0),
        ("instance", &[16, 32, 64], [64, 80, 96], 2, 2661.0),
        ("instance", &[32, 64, 128, 256], [64, 64, 64], 1, 1598.0),
        ("batch", &[16, 32], [64, 64, 64], 2, 1607.0),
    ];

    #[test]
    fn estimates_for_libtorch_are_near_what_was_taken() {
        for (norm, widths, patch, batch, megabytes) in TAKEN {
            let model: Model =
                serde_json::from_value(serde_json::json!({ "unet": { "widths": widths, "norm": norm } })).unwrap();
            let device = DeviceName::LibtorchCpu;
            let step = StepSize { channels: 1, classes: 3, batch, patch, recomputes: false, device };
            let ratio = training_bytes(&model, step) as f64 / (megabytes * 1e6);
            assert!((ratio - 1.0).abs() < 0.15, "{norm} {widths:?} {batch} of {patch:?}: {ratio}");
        }
    }
}
