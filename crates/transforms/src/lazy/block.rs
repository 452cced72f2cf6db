//! Blocks: the values of a region of a volume.

use std::borrow::Cow;

use super::resample::reverse;
use volume::buffer_pool;
use volume::{Label, offset};

/// The values of a region of a volume, all channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Block<'a> {
    /// First voxel of the region.
    pub start: [usize; 3],
    /// Voxels of the region along x, y and z.
    pub shape: [usize; 3],
    /// Intensities, `[channel, x, y, z]`.
    pub image: Cow<'a, [f32]>,
    /// Labels, `[x, y, z]`; `None` if the source has none or they were not requested.
    pub label: Option<Vec<Label>>,
}

impl<'a> Block<'a> {
    /// Returns a block without labels.
    pub(super) fn new(start: [usize; 3], shape: [usize; 3], image: impl Into<Cow<'a, [f32]>>) -> Self {
        Self { start, shape, image: image.into(), label: None }
    }

    /// Returns the values of one channel.
    pub fn channel(&self, channel: usize) -> &[f32] {
        let size: usize = self.shape.iter().product();
        &self.image[channel * size..(channel + 1) * size]
    }

    /// Returns the arrays that the block owns to the buffer pool.
    pub(super) fn recycle(self) {
        if let Cow::Owned(image) = self.image {
            buffer_pool::release(image);
        }
        self.label.into_iter().for_each(buffer_pool::release);
    }

    /// Returns the block with its arrays reversed along axes.
    pub(super) fn reversed(mut self, flipped: [bool; 3]) -> Self {
        let voxels: usize = self.shape.iter().product();
        self.image.to_mut().chunks_exact_mut(voxels).for_each(|channel| reverse(channel, self.shape, flipped));
        if let Some(label) = &mut self.label {
            reverse(label, self.shape, flipped);
        }
        self
    }

    /// Returns the intensities of a region of the block.
    pub(super) fn crop(self, channels: usize, start: [usize; 3], shape: [usize; 3]) -> Cow<'a, [f32]> {
        if self.start == start && self.shape == shape {
            return self.image;
        }
        let mut out = buffer_pool::acquire(channels * shape.iter().product::<usize>());
        let mut rows = out.chunks_exact_mut(shape[2]);
        for channel in 0..channels {
            let values = self.channel(channel);
            for x in 0..shape[0] {
                for (y, row) in rows.by_ref().take(shape[1]).enumerate() {
                    let local = [start[0] + x - self.start[0], start[1] + y - self.start[1], start[2] - self.start[2]];
                    let first = offset(self.shape, local);
                    row.copy_from_slice(&values[first..first + shape[2]]);
                }
            }
        }
        self.recycle();
        Cow::Owned(out)
    }

    /// Returns the intensities of a region of the block as an owned array.
    pub(super) fn into_owned_crop(self, channels: usize, start: [usize; 3], shape: [usize; 3]) -> Vec<f32> {
        match self.crop(channels, start, shape) {
            Cow::Owned(image) => image,
            Cow::Borrowed(values) => {
                let mut image = buffer_pool::acquire(values.len());
                image.copy_from_slice(values);
                image
            }
        }
    }
}

/// Returns the first voxel and the shape of a region widened by a halo and clipped to the volume.
pub(super) fn widened(
    start: [usize; 3],
    shape: [usize; 3],
    halo: [usize; 3],
    volume: [usize; 3],
) -> ([usize; 3], [usize; 3]) {
    let from: [usize; 3] = std::array::from_fn(|axis| start[axis].saturating_sub(halo[axis]));
    let end: [usize; 3] =
        std::array::from_fn(|axis| (start[axis] + shape[axis]).saturating_add(halo[axis]).min(volume[axis]));
    (from, std::array::from_fn(|axis| end[axis] - from[axis]))
}
