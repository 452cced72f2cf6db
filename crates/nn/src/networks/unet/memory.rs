//! The memory of a training step of the U-Net.
//!
//! The constants were fitted to measured peaks (docs/performance.md).

use std::num::NonZeroUsize;

use super::Unet;
use crate::devices::Allocation;
use crate::layers::Norm;
use crate::networks::memory::{ActivationMemory, BYTES, StepSize};

/// The fraction of activation memory that remains if activations are recomputed.
const RECOMPUTED: f64 = 0.86;

/// Estimates the memory of a training step apart from weights and their optimizer state.
pub(super) fn estimate(unet: &Unet, step: &StepSize) -> ActivationMemory {
    // Batch normalization consists of burn's operations on every device, and so do the sums of residual blocks.
    let has_kernels = unet.norm != Norm::Batch && !unet.residual;
    match step.device.allocation() {
        Allocation::Libtorch => with_libtorch(unet, step),
        Allocation::Kernels if has_kernels => with_kernels(unet, step),
        Allocation::Kernels | Allocation::Burn => with_burn(unet, step),
    }
}

/// Estimates the memory with the kernels of this crate.
fn with_kernels(unet: &Unet, step: &StepSize) -> ActivationMemory {
    /// Feature maps of the first width, and of each class, in the backward pass of the last level.
    const BACKWARD: [f64; 2] = [3.7, 6.7];
    let widths = Widths::new(unet, step.patch);
    // A convolution's output, and the normalized one.
    let per_convolution = if unet.norm == Norm::None { 1.0 } else { 2.0 };
    let stored = if step.recomputes {
        // The outputs of all blocks, and one block in full.
        widths.sum(|width, _, below| width * if below.is_some() { 2.0 } else { 1.0 })
            + widths.at(1)
            + 2.0 * per_convolution * widths.at(0)
    } else {
        // Two convolutions in the encoder and two in the decoder; the pooled map from above, the up-sampled one from below.
        widths.sum(|width, above, below| {
            let blocks = if below.is_some() { 2.0 } else { 1.0 };
            2.0 * blocks * per_convolution * width + above.unwrap_or(0.0) + below.unwrap_or(0.0)
        })
    };
    let feature_maps = stored + BACKWARD[0] * widths.at(0) + BACKWARD[1] * step.classes as f64;
    ActivationMemory { fixed_bytes: 11e6, feature_maps }
}

/// Estimates the memory with burn's operations.
fn with_burn(unet: &Unet, step: &StepSize) -> ActivationMemory {
    /// Feature maps of each class that the loss and its backward pass store.
    const LOSS: f64 = 24.0;
    let widths = Widths::new(unet, step.patch);
    let per_convolution = if unet.norm == Norm::None { 2.0 } else { 2.3 };
    let stored = widths.sum(|width, _, below| {
        let blocks = if below.is_some() { 2.0 } else { 1.0 };
        // The up-sampled map, and its concatenation with the skip connection.
        let concatenated = below.map_or(0.0, |below| width + 2.0 * below);
        2.0 * blocks * per_convolution * width + concatenated
    });
    // In the backward pass of the widest convolution: gradients, and copies with batch and channels transposed.
    let widest = (widths.at(0) + widths.at(1)).max(step.channels as f64);
    let backward = widest * if step.batch > 1 { 2.7 } else { 1.3 };
    let maps = stored + backward + step.channels as f64 + LOSS * step.classes as f64;
    ActivationMemory { fixed_bytes: 15e6, feature_maps: if step.recomputes { RECOMPUTED * maps } else { maps } }
}

/// Estimates the memory with LibTorch on the CPU.
fn with_libtorch(unet: &Unet, step: &StepSize) -> ActivationMemory {
    /// Feature maps of each class that the loss and its backward pass store.
    const LOSS: f64 = 60.0;
    /// LibTorch's libraries, in bytes.
    const LIBRARIES: f64 = 426e6;
    /// Copies of the largest unfolded convolution: its columns and their gradients.
    const UNFOLDED: f64 = 2.2;
    let per_convolution = if unet.norm == Norm::None { 3.6 } else { 5.0 };
    let stored = Widths::new(unet, step.patch).sum(|width, _, below| {
        let blocks = if below.is_some() { 2.0 } else { 1.0 };
        2.0 * blocks * per_convolution * width
    });
    let maps = stored + LOSS * step.classes as f64;
    let feature_maps = if step.recomputes { RECOMPUTED * maps } else { maps };
    ActivationMemory { fixed_bytes: LIBRARIES + UNFOLDED * BYTES * unfolded(unet, step), feature_maps }
}

/// Returns the size of the largest column matrix (im2col) that LibTorch makes of a patch: it does so for a batch of one
/// patch where channels times x times y is small.
fn unfolded(unet: &Unet, step: &StepSize) -> f64 {
    /// Larger inputs go to oneDNN (`ConvParams::use_mkldnn` of ATen).
    const MAX_ROWS: usize = 20_480;
    const KERNEL: usize = 27;
    if step.batch > 1 {
        return 0.0;
    }
    let width = |level: usize| unet.widths.get(level).map_or(0, |width| width.get());
    let level_sizes = |level: usize| {
        let [x, y, z] = step.patch.map(|size| size >> level);
        let from_above = level.checked_sub(1).map_or(step.channels, width);
        let incoming = [from_above, width(level), width(level) + width(level + 1)].into_iter();
        incoming.filter(move |channels| channels * x * y <= MAX_ROWS).map(move |channels| KERNEL * channels * x * y * z)
    };
    (0..unet.widths.len()).flat_map(level_sizes).max().unwrap_or(0) as f64
}

/// The width of each level, with the fraction of the full resolution's voxels that its grid has.
struct Widths(Vec<(f64, f64)>);

impl Widths {
    fn new(unet: &Unet, patch: [usize; 3]) -> Self {
        let full = voxels(patch, 0);
        let level = |(level, width): (usize, &NonZeroUsize)| (width.get() as f64, voxels(patch, level) / full);
        Self(unet.widths.iter().enumerate().map(level).collect())
    }

    /// Returns the width of a level; 0 where there is no such level.
    fn at(&self, level: usize) -> f64 {
        self.0.get(level).map_or(0.0, |(width, _)| *width)
    }

    /// Sums a function of the width, that of the level above and that of the level below over all levels, in feature maps
    /// of the full resolution.
    fn sum(&self, function: impl Fn(f64, Option<f64>, Option<f64>) -> f64) -> f64 {
        let width = |level: Option<usize>| Some(self.0.get(level?)?.0);
        let level_sum = |(level, (own, fraction)): (usize, &(f64, f64))| {
            fraction * function(*own, width(level.checked_sub(1)), width(Some(level + 1)))
        };
        self.0.iter().enumerate().map(level_sum).sum()
    }
}

/// Returns the number of voxels of a level's grid.
fn voxels(patch: [usize; 3], level: usize) -> f64 {
    patch.iter().map(|size| (size >> level) as f64).product()
}

#[cfg(test)]
mod tests {
    use crate::Model;
    use crate::networks::memory::StepSize;

    /// Normalization, widths, patch, patches per batch, and the measured peak of a step in megabytes.
    type Measurement = (&'static str, &'static [usize], [usize; 3], usize, f64);

    /// On `libtorch:cpu` (`benches/memory.py`).
    const MEASUREMENTS: [Measurement; 12] = [
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
    fn estimates_for_libtorch_are_within_15_percent_of_measurements() {
        for (norm, widths, patch, batch, megabytes) in MEASUREMENTS {
            let model: Model =
                serde_json::from_value(serde_json::json!({ "unet": { "widths": widths, "norm": norm } })).unwrap();
            let device = "libtorch:cpu".parse().unwrap();
            let step = StepSize { channels: 1, classes: 3, batch, patch, recomputes: false, device };
            let ratio = model.training_bytes(&step) as f64 / (megabytes * 1e6);
            assert!((ratio - 1.0).abs() < 0.15, "{norm} {widths:?} {batch} of {patch:?}: {ratio}");
        }
    }
}
