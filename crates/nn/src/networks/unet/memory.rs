//! The memory of a training step of the U-Net.
//!
//! The constants were fitted to measured peaks (docs/performance.md).

use std::num::NonZeroUsize;

use super::{Downsample, Encoder, Unet, Upsample};
use crate::devices::Allocation;
use crate::layers::Norm;
use crate::networks::memory::{ActivationMemory, BYTES, StepSize};

/// The fraction of activation memory that remains if activations are recomputed.
const RECOMPUTED: f64 = 0.86;

/// Estimates the memory of a training step apart from weights and their optimizer state.
pub(super) fn estimate(unet: &Unet, step: &StepSize) -> ActivationMemory {
    // Batch normalization consists of burn's operations on every device.
    let has_kernels = unet.norm != Norm::Batch;
    match step.device.allocation() {
        Allocation::Libtorch => with_libtorch(unet, step),
        Allocation::Kernels if has_kernels => with_kernels(unet, step),
        Allocation::Kernels | Allocation::Burn => with_burn(unet, step),
    }
}

/// Estimates the memory with the kernels of this crate.
fn with_kernels(unet: &Unet, step: &StepSize) -> ActivationMemory {
    /// Feature maps of the first width in the backward pass of the last level, without and with normalization.
    const BACKWARD: [f64; 2] = [1.2, 0.75];
    /// Feature maps of each class there.
    const CLASSES: f64 = 6.5;
    let widths = Widths::new(unet, step.patch);
    let stored = if step.recomputes {
        // The outputs of all blocks, and one block in full.
        let outputs = widths.sum(|level| level.width * if level.below.is_some() { 2.0 } else { 1.0 });
        let block = (unet.decoder_convs(0) + num_normalized(unet)) as f64;
        outputs + widths.at(1) + block * widths.at(0)
    } else {
        (0..unet.widths.len()).map(|level| widths.0[level].fraction * stored(unet, level) as f64).sum()
    };
    let backward = BACKWARD[num_normalized(unet)] * widths.at(0);
    let feature_maps = stored + backward + CLASSES * step.classes as f64;
    ActivationMemory { fixed_bytes: 28.6e6, feature_maps }
}

/// Returns the channels that a level stores for the backward pass, with the kernels of this crate.
fn stored(unet: &Unet, level: usize) -> usize {
    let width = |level: usize| unet.widths[level].get();
    let (own, above) = (width(level), level.checked_sub(1).map(width));
    let encoder = match unet.encoder {
        Encoder::Plain => sequence(unet, unet.encoder_convs(level)) * own,
        Encoder::Residual => {
            // Of each block both convolutions, unless nothing reads the second one, and the sum.
            let blocks = unet.encoder_convs(level) * (2 + num_normalized(unet)) * own;
            let is_projected = above.is_some_and(|above| above != own);
            let shortcut = if is_projected { own } else { 0 } + above.unwrap_or(0);
            let stem = if level == 0 { sequence(unet, 1) * own } else { 0 };
            blocks + shortcut + stem
        }
    };
    let pooled = if unet.downsample == Downsample::MaxPool { above.unwrap_or(0) } else { 0 };
    let decoder = unet.widths.get(level + 1).map_or(0, |below| {
        let up = if unet.upsample == Upsample::TransposedConv { own } else { below.get() };
        up + sequence(unet, unet.decoder_convs(level)) * own
    });
    encoder + pooled + decoder
}

/// Returns the maps that convolutions in sequence store: their outputs, and the last one normalized; the others are
/// normalized again in the backward pass.
fn sequence(unet: &Unet, convolutions: usize) -> usize {
    convolutions + num_normalized(unet)
}

fn num_normalized(unet: &Unet) -> usize {
    usize::from(unet.norm != Norm::None)
}

/// Estimates the memory with burn's operations.
fn with_burn(unet: &Unet, step: &StepSize) -> ActivationMemory {
    /// Feature maps of each class that the loss and its backward pass store.
    const LOSS: f64 = 24.0;
    let widths = Widths::new(unet, step.patch);
    let per_convolution = if unet.norm == Norm::None { 2.0 } else { 2.3 };
    let stored = widths.sum(|level| {
        // The up-sampled map, and its concatenation with the skip connection.
        let concatenated = level.below.map_or(0.0, |below| level.width + 2.0 * below);
        level.convolutions * per_convolution * level.width + concatenated
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
    let stored = Widths::new(unet, step.patch).sum(|level| level.convolutions * per_convolution * level.width);
    let maps = stored + LOSS * step.classes as f64;
    let feature_maps = if step.recomputes { RECOMPUTED * maps } else { maps };
    ActivationMemory { fixed_bytes: LIBRARIES + UNFOLDED * BYTES * unfolded(unet, step), feature_maps }
}

/// Returns the size of the largest column matrix (im2col) that LibTorch makes of a patch: it does so for a batch of one
/// patch where channels times x times y is small.
fn unfolded(unet: &Unet, step: &StepSize) -> f64 {
    /// Larger inputs go to oneDNN (`ConvParams::use_mkldnn` of ATen).
    const MAX_ROWS: usize = 20_480;
    if step.batch > 1 {
        return 0.0;
    }
    let width = |level: usize| unet.widths.get(level).map_or(0, |width| width.get());
    let level_sizes = |level: usize| {
        let [x, y, z] = grid(unet, step.patch, level);
        let from_above = level.checked_sub(1).map_or(step.channels, width);
        let incoming = [from_above, width(level), width(level) + width(level + 1)].into_iter();
        let kernel: usize = unet.kernel(level).iter().product();
        incoming.filter(move |channels| channels * x * y <= MAX_ROWS).map(move |channels| kernel * channels * x * y * z)
    };
    (0..unet.widths.len()).flat_map(level_sizes).max().unwrap_or(0) as f64
}

/// The levels of a network.
struct Widths(Vec<Level>);

/// One level of a network.
#[derive(Clone, Copy)]
struct Level {
    width: f64,
    /// The fraction of the full resolution's voxels that its grid has.
    fraction: f64,
    /// The number of convolutions in encoder and decoder.
    convolutions: f64,
    /// The width of the level below.
    below: Option<f64>,
}

impl Widths {
    fn new(unet: &Unet, patch: [usize; 3]) -> Self {
        let full = voxels(unet, patch, 0);
        let width = |level: Option<usize>| Some(unet.widths.get(level?)?.get() as f64);
        let level = |(level, own): (usize, &NonZeroUsize)| {
            let per_block = if unet.encoder == Encoder::Residual { 2 } else { 1 };
            let below = width(Some(level + 1));
            let decoder = if below.is_some() { unet.decoder_convs(level) } else { 0 };
            Level {
                width: own.get() as f64,
                fraction: voxels(unet, patch, level) / full,
                convolutions: (per_block * unet.encoder_convs(level) + decoder) as f64,
                below,
            }
        };
        Self(unet.widths.iter().enumerate().map(level).collect())
    }

    /// Returns the width of a level; 0 where there is no such level.
    fn at(&self, level: usize) -> f64 {
        self.0.get(level).map_or(0.0, |level| level.width)
    }

    /// Sums a function of each level, in feature maps of the full resolution.
    fn sum(&self, function: impl Fn(&Level) -> f64) -> f64 {
        self.0.iter().map(|level| level.fraction * function(level)).sum()
    }
}

/// Returns a level's grid.
fn grid(unet: &Unet, patch: [usize; 3], level: usize) -> [usize; 3] {
    let reduction = unet.reduction(level);
    std::array::from_fn(|axis| patch[axis] / reduction[axis])
}

/// Returns the number of voxels of a level's grid.
fn voxels(unet: &Unet, patch: [usize; 3], level: usize) -> f64 {
    grid(unet, patch, level).iter().map(|size| *size as f64).product()
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

    /// On `flex` (`benches/memory.py`).
    const MEASUREMENTS_ON_FLEX: [Measurement; 10] = [
        ("none", &[8, 16], [48, 48, 48], 3, 139.0),
        ("none", &[16, 32], [64, 64, 64], 2, 328.0),
        ("none", &[8, 16, 32], [48, 48, 48], 1, 68.0),
        ("none", &[32, 64, 128], [48, 48, 48], 1, 192.0),
        ("none", &[32, 64, 128], [64, 64, 64], 2, 690.0),
        ("instance", &[8, 16], [48, 48, 48], 1, 72.0),
        ("instance", &[16, 32], [48, 48, 48], 3, 261.0),
        ("instance", &[8, 16, 32], [64, 64, 64], 2, 263.0),
        ("instance", &[32, 64, 128], [48, 48, 48], 1, 220.0),
        ("instance", &[32, 64, 128], [64, 64, 64], 2, 804.0),
    ];

    /// Asserts that estimates differ from measurements by less than a fraction.
    fn assert_close(measurements: &[Measurement], device: &str, tolerance: f64) {
        for (norm, widths, patch, batch, megabytes) in measurements {
            let (batch, patch) = (*batch, *patch);
            let model: Model =
                serde_json::from_value(serde_json::json!({ "unet": { "widths": widths, "norm": norm } })).unwrap();
            let device = device.parse().unwrap();
            let step = StepSize { channels: 1, classes: 3, batch, patch, recomputes: false, device };
            let ratio = model.training_bytes(&step) as f64 / (megabytes * 1e6);
            assert!((ratio - 1.0).abs() < tolerance, "{norm} {widths:?} {batch} of {patch:?}: {ratio}");
        }
    }

    #[test]
    fn estimates_for_libtorch_are_within_15_percent_of_measurements() {
        assert_close(&MEASUREMENTS, "libtorch:cpu", 0.15);
    }

    #[test]
    fn estimates_for_flex_are_within_5_percent_of_measurements() {
        assert_close(&MEASUREMENTS_ON_FLEX, "flex", 0.05);
    }
}
