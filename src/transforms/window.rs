//! The block of voxels that an intensity transform maps.

use crate::data::volume;

/// The intensities of a block of voxels, and where it lies in its volume.
#[derive(Debug)]
pub struct Window<'a> {
    /// Number of channels.
    pub channels: usize,
    /// Where the block starts in its volume, in voxels.
    pub start: [usize; 3],
    /// Voxels of the block along x, y and z.
    pub shape: [usize; 3],
    /// Voxels of its volume along x, y and z.
    pub volume: [usize; 3],
    /// Millimetres per voxel of its volume along x, y and z.
    pub spacing: [f64; 3],
    /// The intensities, `[channel, x, y, z]`.
    pub image: &'a mut [f32],
}

impl<'a> Window<'a> {
    /// A volume of one row.
    pub fn of(image: &'a mut [f32]) -> Self {
        let shape = [1, 1, image.len()];
        Self { channels: 1, start: [0; 3], shape, volume: shape, spacing: [1.0; 3], image }
    }

    /// Maps every value.
    pub fn map(&mut self, function: impl Fn(f32) -> f32) {
        self.image.iter_mut().for_each(|value| *value = function(*value));
    }

    /// Maps the values of one channel.
    pub fn map_channel(&mut self, channel: usize, function: impl Fn(f32) -> f32) {
        let size = self.image.len() / self.channels;
        self.image[channel * size..(channel + 1) * size].iter_mut().for_each(|value| *value = function(*value));
    }

    /// Visits each row along z, of every channel, with the place of its first value in the volume.
    pub fn for_each_row_at(&mut self, mut visit: impl FnMut([usize; 3], &mut [f32])) {
        let (start, [size_x, size_y, size_z]) = (self.start, self.shape);
        for (row, values) in self.image.chunks_exact_mut(size_z).enumerate() {
            let (x, y) = (row / size_y % size_x, row % size_y);
            visit([start[0] + x, start[1] + y, start[2]], values);
        }
    }

    /// Visits each row along z with the position of its first value in the whole volume `[channel, x, y, z]`.
    pub fn for_each_row(&mut self, mut visit: impl FnMut(u64, &mut [f32])) {
        let [size_x, size_y, size_z] = self.shape;
        for (row, values) in self.image.chunks_exact_mut(size_z).enumerate() {
            let (channel, x, y) = (row / (size_x * size_y), row / size_y % size_x, row % size_y);
            let in_channel = volume::offset(self.volume, [self.start[0] + x, self.start[1] + y, self.start[2]]);
            visit((channel * self.volume.iter().product::<usize>() + in_channel) as u64, values);
        }
    }
}
