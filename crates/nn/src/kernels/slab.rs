//! Planes of a volume in a padded layout, in which each shift of a kernel is one offset.

use super::stencil::Tap;

/// Padding after the end of a channel, which the last register may reach.
const SLACK: usize = 64;

/// Feature maps over a batch, `[batch, channel, x, y, z]` in contiguous order.
#[derive(Clone, Copy, Debug)]
pub struct Maps<'a> {
    /// The values.
    pub values: &'a [f32],
    /// The number of channels.
    pub channels: usize,
}

impl<'a> Maps<'a> {
    /// Returns the volume of a channel of a patch.
    pub fn volume(&self, patch: usize, channel: usize, voxels: usize) -> &'a [f32] {
        &self.values[(patch * self.channels + channel) * voxels..][..voxels]
    }
}

/// Returns the volumes of a patch's channels, of all maps in order.
pub fn patch_volumes<'a>(maps: &'a [Maps<'a>], patch: usize, voxels: usize) -> impl Iterator<Item = &'a [f32]> {
    maps.iter().flat_map(move |maps| (0..maps.channels).map(move |channel| maps.volume(patch, channel, voxels)))
}

/// The voxels of a fine grid whose coordinates have a given remainder when divided by a stride.
#[derive(Clone, Copy, Debug)]
pub struct Lattice {
    /// Fine voxels per voxel of the lattice.
    pub stride: [usize; 3],
    /// The coordinates of the first voxel.
    pub remainder: [usize; 3],
}

impl Lattice {
    /// All voxels of a grid.
    pub const WHOLE: Self = Self { stride: [1; 3], remainder: [0; 3] };

    /// Copies a fine row to a row of the lattice.
    fn read(self, fine: &[f32], row: &mut [f32]) {
        match self.stride[2] {
            1 => row.copy_from_slice(fine),
            stride => {
                let values = fine[self.remainder[2]..].iter().step_by(stride);
                row.iter_mut().zip(values).for_each(|(out, value)| *out = *value);
            }
        }
    }

    /// Copies a row of the lattice into a fine row.
    fn write(self, row: &[f32], fine: &mut [f32]) {
        match self.stride[2] {
            1 => fine.copy_from_slice(row),
            stride => {
                let values = fine[self.remainder[2]..].iter_mut().step_by(stride);
                values.zip(row).for_each(|(out, value)| *out = *value);
            }
        }
    }
}

/// Consecutive planes with zero padding: zeros precede each row, and rows of zeros each plane; they also pad the end of the
/// previous row and plane.
///
/// A *position* is the index of a voxel in a channel without padding before the first plane; adding the offset of a tap
/// yields the index of that neighbour in a padded channel.
#[derive(Clone, Copy, Debug)]
pub struct Slab {
    /// The number of rows of a plane, and their length.
    rows: [usize; 2],
    planes: usize,
    /// The padding along each axis.
    reach: [usize; 3],
    row_stride: usize,
    plane_stride: usize,
}

impl Slab {
    /// Creates the layout of some planes of a grid, padded for a kernel that reaches a number of voxels along each axis.
    pub fn new([_, y, z]: [usize; 3], planes: usize, reach: [usize; 3]) -> Self {
        let row_stride = z + reach[2];
        Self { rows: [y, z], planes, reach, row_stride, plane_stride: (y + reach[1]) * row_stride }
    }

    /// Returns the same layout with another number of planes.
    pub fn with_planes(self, planes: usize) -> Self {
        Self { planes, ..self }
    }

    /// Returns the number of planes.
    pub fn planes(&self) -> usize {
        self.planes
    }

    /// Returns the number of planes of a grid that have about the given number of positions.
    pub fn num_planes([x, y, z]: [usize; 3], reach: [usize; 3], positions: usize) -> usize {
        (positions / ((y + reach[1]) * (z + reach[2]))).clamp(1, x)
    }

    /// Returns the number of positions from the first voxel to the last.
    pub fn num_positions(&self) -> usize {
        self.planes * self.plane_stride - self.reach[1] * self.row_stride
    }

    /// Returns the length of a padded channel.
    pub fn padded_len(&self) -> usize {
        (self.planes + 2 * self.reach[0]) * self.plane_stride + self.reach[1] * self.row_stride + SLACK
    }

    /// Returns the length of an unpadded channel.
    pub fn unpadded_len(&self) -> usize {
        self.num_positions() + SLACK
    }

    /// Returns the offset of a tap, whose shift is added to a position if `sign` is 1, and subtracted if it is -1.
    pub fn offset(&self, tap: Tap, sign: isize) -> usize {
        let strides = [self.plane_stride, self.row_stride, 1];
        let offset = |axis: usize| (self.reach[axis] as isize + sign * tap.shift[axis]) as usize * strides[axis];
        (0..3).map(offset).sum()
    }

    /// Copies the planes of a volume's lattice, starting with plane `first`, into a padded channel of zeros.
    pub fn fill_padded(&self, volume: &[f32], lattice: Lattice, first: usize, channel: &mut [f32]) {
        let [before_plane, before_row, before] = self.reach;
        let planes = channel.chunks_exact_mut(self.plane_stride).take(self.planes + 2 * before_plane);
        for (index, out) in planes.enumerate() {
            // The planes before the first one are padding at the border of the volume.
            let Some(plane) = (first + index).checked_sub(before_plane) else { continue };
            let rows = out[before_row * self.row_stride + before..].chunks_mut(self.row_stride);
            self.copy_plane(volume, lattice, plane, rows);
        }
    }

    /// Copies the planes of a volume's lattice, starting with plane `first`, into an unpadded channel of zeros.
    pub fn fill_unpadded(&self, volume: &[f32], lattice: Lattice, first: usize, channel: &mut [f32]) {
        for (index, out) in channel.chunks_mut(self.plane_stride).take(self.planes).enumerate() {
            self.copy_plane(volume, lattice, first + index, out.chunks_mut(self.row_stride));
        }
    }

    /// Copies the rows of a plane of a volume's lattice; a plane behind the end is left as it is.
    fn copy_plane<'a>(
        &self,
        volume: &[f32],
        lattice: Lattice,
        plane: usize,
        rows: impl Iterator<Item = &'a mut [f32]>,
    ) {
        let [num_rows, length] = self.rows;
        let [fine_rows, fine_length] = [num_rows * lattice.stride[1], length * lattice.stride[2]];
        let start = (plane * lattice.stride[0] + lattice.remainder[0]) * fine_rows * fine_length;
        let Some(volume) = volume.get(start..start + fine_rows * fine_length) else { return };
        let fine = volume.chunks_exact(fine_length).skip(lattice.remainder[1]).step_by(lattice.stride[1]);
        for (fine, row) in fine.zip(rows) {
            lattice.read(fine, &mut row[..length]);
        }
    }

    /// Copies one plane out of an unpadded channel into the lattice of a fine plane.
    pub fn read_plane(&self, channel: &[f32], plane: usize, lattice: Lattice, fine: &mut [f32]) {
        let [_, length] = self.rows;
        let rows = channel[plane * self.plane_stride..].chunks(self.row_stride);
        let fine = fine.chunks_exact_mut(length * lattice.stride[2]).skip(lattice.remainder[1]);
        for (row, fine) in rows.zip(fine.step_by(lattice.stride[1])) {
            lattice.write(&row[..length], fine);
        }
    }
}
