//! Patches: blocks of voxels cut from a transformed volume.

use transforms::{MaskParams, TransformParams};
use volume::buffer_pool;
use volume::{Affine, Label};

/// A block of voxels of one subject, as training sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// The subject that it is cut from.
    pub subject: String,
    /// Index among the subject's patches of the epoch, from 0; in epochs of a number of iterations, among all patches.
    pub index: usize,
    /// First voxel of the block that was cut, on the grid after the augmentation chain of the volume; it may be outside.
    pub start: [isize; 3],
    /// The affine of the block that was cut: from its voxels to RAS millimetres.
    pub affine: Affine,
    /// Voxels along x, y and z.
    pub shape: [usize; 3],
    /// Number of channels: those of the image, then the masks of the previous runs.
    pub channels: usize,
    /// Intensities, `[channel, x, y, z]`.
    pub image: Vec<f32>,
    /// Labels, `[x, y, z]`.
    pub label: Vec<Label>,
    /// The weights of voxels in the loss, `[x, y, z]`; empty if all voxels have the same weight.
    pub weights: Vec<f32>,
    /// The sampled parameters of each step of the augmentation chains: of the volume, then of the patch.
    pub params: Vec<TransformParams>,
    /// The sampled parameters of the steps that change the masks of the previous runs.
    pub mask_params: Vec<MaskParams>,
}

impl Patch {
    /// Returns the sampled parameters as JSON, as written to files and digests.
    pub fn params_json(&self) -> serde_json::Value {
        let masks = self.mask_params.iter().map(serde_json::to_value);
        let values = self.params.iter().map(serde_json::to_value).chain(masks);
        values.collect::<Result<_, _>>().expect("parameters are plain numbers")
    }

    /// Returns the size of a patch's voxels in bytes, including their weights in the loss if `is_weighted`.
    pub fn num_bytes(channels: usize, shape: [usize; 3], is_weighted: bool) -> u64 {
        let bytes = ((channels + usize::from(is_weighted)) * size_of::<f32>() + size_of::<Label>()) as u64;
        shape.iter().fold(bytes, |bytes, size| bytes.saturating_mul(*size as u64))
    }
}

impl Drop for Patch {
    /// Returns the arrays to the buffer pool.
    fn drop(&mut self) {
        buffer_pool::release(std::mem::take(&mut self.image));
        buffer_pool::release(std::mem::take(&mut self.label));
        buffer_pool::release(std::mem::take(&mut self.weights));
    }
}
