//! What training sees: a block of voxels cut from a transformed volume.

use transforms::TransformParams;
use volume::Label;
use volume::buffer_pool;

/// A block of voxels of one subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// The subject it was cut from.
    pub subject: String,
    /// Which of the subject's patches of this epoch it is, counted from 0.
    pub index: usize,
    /// Where it starts on the grid after the chain, in voxels.
    pub start: [usize; 3],
    /// Voxels along x, y and z.
    pub shape: [usize; 3],
    /// Number of image channels.
    pub channels: usize,
    /// Intensities, `[channel, x, y, z]`.
    pub image: Vec<f32>,
    /// Labels, `[x, y, z]`.
    pub label: Vec<Label>,
    /// The sampled parameters of each step of the augmentation chain.
    pub params: Vec<TransformParams>,
}

impl Patch {
    /// Returns the sampled parameters as JSON, as files and digests hold them.
    pub fn params_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.params).expect("parameters are plain numbers")
    }

    /// Bytes of the voxels of a patch.
    pub fn num_bytes(channels: usize, shape: [usize; 3]) -> u64 {
        let bytes = (channels * size_of::<f32>() + size_of::<Label>()) as u64;
        shape.iter().fold(bytes, |bytes, size| bytes.saturating_mul(*size as u64))
    }
}

impl Drop for Patch {
    /// The arrays of a patch that is used up serve the next one.
    fn drop(&mut self) {
        buffer_pool::release(std::mem::take(&mut self.image));
        buffer_pool::release(std::mem::take(&mut self.label));
    }
}
