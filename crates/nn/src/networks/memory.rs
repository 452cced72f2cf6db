//! The memory of a training step, estimated from shapes alone.

use crate::devices::DeviceName;

/// Bytes of a number.
pub(super) const BYTES: f64 = 4.0;
/// Numbers stored per weight: value, gradient and two moments.
const PER_WEIGHT: f64 = 4.0;

/// The size of a training step, as far as its memory depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepSize {
    /// Image channels.
    pub channels: usize,
    /// Classes, including the background.
    pub classes: usize,
    /// Patches per batch.
    pub batch: usize,
    /// Patch shape, `[x, y, z]`.
    pub patch: [usize; 3],
    /// Whether activations are recomputed in the backward pass.
    pub recomputes: bool,
    /// The device of the network.
    pub device: DeviceName,
}

/// The memory of a training step apart from weights and their optimizer state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActivationMemory {
    /// Bytes that do not depend on the number of voxels in the batch.
    pub fixed_bytes: f64,
    /// Feature maps of the full resolution at the peak: numbers per voxel of the batch.
    pub feature_maps: f64,
}

/// Adds up the bytes of activations and weights.
pub(super) fn training_bytes(activations: ActivationMemory, num_parameters: usize, step: &StepSize) -> u64 {
    let weights = num_parameters as f64;
    let voxels = step.patch.iter().map(|size| *size as f64).product::<f64>() * step.batch as f64;
    let ActivationMemory { fixed_bytes, feature_maps } = activations;
    (fixed_bytes + BYTES * (feature_maps * voxels + PER_WEIGHT * weights)) as u64
}
