//! Blocks of values on their way through a chain.

use std::borrow::Cow;

use volume::buffer_pool;
use volume::{Label, offset};

/// Values of some region of a volume, all channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Block<'a> {
    /// Where the region starts, in voxels.
    pub start: [usize; 3],
    /// Voxels of the region along x, y and z.
    pub shape: [usize; 3],
    /// The values, `[channel, x, y, z]`.
    pub image: Cow<'a, [f32]>,
    /// The labels, `[x, y, z]`, where the source has them and they were asked for.
    pub label: Option<Vec<Label>>,
}

impl<'a> Block<'a> {
    pub(super) fn new(start: [usize; 3], shape: [usize; 3], image: impl Into<Cow<'a, [f32]>>) -> Self {
        Self { start, shape, image: image.into(), label: None }
    }

    /// The values of one channel.
    pub fn channel(&self, channel: usize) -> &[f32] {
        let size: usize = self.shape.iter().product();
        &self.image[channel * size..(channel + 1) * size]
    }

    /// Gives the array back where the block owns it.
    pub(super) fn give_back(self) {
        if let Cow::Owned(image) = self.image {
            buffer_pool::release(image);
        }
    }
}

/// A region with a halo, as far as the volume reaches.
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

/// The wanted region of a block that holds it.
pub(super) fn cut(block: Block<'_>, channels: usize, start: [usize; 3], shape: [usize; 3]) -> Cow<'_, [f32]> {
    if block.start == start && block.shape == shape {
        return block.image;
    }
    let mut out = buffer_pool::acquire(channels * shape.iter().product::<usize>());
    let mut rows = out.chunks_exact_mut(shape[2]);
    for channel in 0..channels {
        let values = block.channel(channel);
        for x in 0..shape[0] {
            for (y, row) in rows.by_ref().take(shape[1]).enumerate() {
                let local = [start[0] + x - block.start[0], start[1] + y - block.start[1], start[2] - block.start[2]];
                let first = offset(block.shape, local);
                row.copy_from_slice(&values[first..first + shape[2]]);
            }
        }
    }
    block.give_back();
    Cow::Owned(out)
}

/// The wanted region of a block that holds it, to be changed.
pub(super) fn owned(block: Block<'_>, channels: usize, start: [usize; 3], shape: [usize; 3]) -> Vec<f32> {
    match cut(block, channels, start, shape) {
        Cow::Owned(image) => image,
        Cow::Borrowed(values) => {
            let mut image = buffer_pool::acquire(values.len());
            image.copy_from_slice(values);
            image
        }
    }
}
