//! Planes of a volume in a padded layout, in which each shift of a 3x3x3 kernel is one offset.

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

/// Consecutive planes with zero padding: a zero follows each row, and a row of zeros each plane; it pads the end of one and
/// the start of the next.
///
/// A *position* is the index of a voxel in a channel without padding before the first plane; adding the offset of a kernel
/// shift yields the index of that neighbour in a padded channel.
#[derive(Clone, Copy, Debug)]
pub struct Slab {
    /// The number of rows of a plane, and their length.
    rows: [usize; 2],
    planes: usize,
    row_stride: usize,
    plane_stride: usize,
}

impl Slab {
    /// Creates the layout of some planes of a grid.
    pub fn new([_, y, z]: [usize; 3], planes: usize) -> Self {
        Self { rows: [y, z], planes, row_stride: z + 1, plane_stride: (y + 1) * (z + 1) }
    }

    /// Returns the number of planes of a grid that have about the given number of positions.
    pub fn num_planes([x, y, z]: [usize; 3], positions: usize) -> usize {
        (positions / ((y + 1) * (z + 1))).clamp(1, x)
    }

    /// Returns the number of positions from the first voxel to the last.
    pub fn num_positions(&self) -> usize {
        self.planes * self.plane_stride - self.row_stride
    }

    /// Returns the length of a padded channel.
    pub fn padded_len(&self) -> usize {
        (self.planes + 2) * self.plane_stride + self.row_stride + SLACK
    }

    /// Returns the length of an unpadded channel.
    pub fn unpadded_len(&self) -> usize {
        self.num_positions() + SLACK
    }

    /// Returns the offset of a shift of the kernel along x and y, each from 0 to 2; a shift along z adds itself.
    pub fn offset(&self, shift_x: usize, shift_y: usize) -> usize {
        shift_x * self.plane_stride + shift_y * self.row_stride
    }

    /// Copies the planes of a volume, starting with plane `first`, into a padded channel of zeros.
    pub fn fill_padded(&self, volume: &[f32], first: usize, channel: &mut [f32]) {
        let size = self.rows[0] * self.rows[1];
        for (index, out) in channel.chunks_exact_mut(self.plane_stride).take(self.planes + 2).enumerate() {
            // The plane before the first one is padding at the border of the volume.
            let Some(from) = (first + index).checked_sub(1).map(|plane| plane * size) else { continue };
            if let Some(plane) = volume.get(from..from + size) {
                let rows = out[self.row_stride + 1..].chunks_mut(self.row_stride);
                for (row, out) in plane.chunks_exact(self.rows[1]).zip(rows) {
                    out[..row.len()].copy_from_slice(row);
                }
            }
        }
    }

    /// Copies the planes of a volume, starting with plane `first`, into an unpadded channel of zeros.
    pub fn fill_unpadded(&self, volume: &[f32], first: usize, channel: &mut [f32]) {
        let size = self.rows[0] * self.rows[1];
        let planes = volume[first * size..].chunks_exact(size).take(self.planes);
        for (plane, out) in planes.zip(channel.chunks_mut(self.plane_stride)) {
            for (row, out) in plane.chunks_exact(self.rows[1]).zip(out.chunks_mut(self.row_stride)) {
                out[..row.len()].copy_from_slice(row);
            }
        }
    }

    /// Copies one plane out of an unpadded channel.
    pub fn read_plane(&self, channel: &[f32], plane: usize, out: &mut [f32]) {
        let rows = channel[plane * self.plane_stride..].chunks(self.row_stride);
        for (row, out) in rows.zip(out.chunks_exact_mut(self.rows[1])) {
            out.copy_from_slice(&row[..self.rows[1]]);
        }
    }
}
