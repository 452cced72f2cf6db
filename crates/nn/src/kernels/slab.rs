//! Planes of a volume laid out so that each shift of a 3x3x3 kernel is one offset.

/// Numbers after the end of a channel that a register may reach.
const SLACK: usize = 64;

/// Maps of some channels over a batch, as `[batch, channel, x, y, z]` in one row.
#[derive(Clone, Copy, Debug)]
pub struct Maps<'a> {
    /// The numbers.
    pub values: &'a [f32],
    /// Channels.
    pub channels: usize,
}

impl<'a> Maps<'a> {
    /// The volume of a channel.
    pub fn volume(&self, patch: usize, channel: usize, voxels: usize) -> &'a [f32] {
        &self.values[(patch * self.channels + channel) * voxels..][..voxels]
    }
}

/// The volumes of a patch's channels, of one map after the other.
pub fn volumes_of<'a>(maps: &'a [Maps<'a>], patch: usize, voxels: usize) -> impl Iterator<Item = &'a [f32]> {
    maps.iter().flat_map(move |maps| (0..maps.channels).map(move |channel| maps.volume(patch, channel, voxels)))
}

/// Where the voxels of some planes lie: one border of zeros follows each row and each plane, and is the end of one and
/// the start of the next.
///
/// A *place* is where a voxel of the planes lies in a channel without border; a shift of the kernel adds an offset, and
/// gives where the neighbour lies in a channel with border.
#[derive(Clone, Copy, Debug)]
pub struct Slab {
    /// Rows and their length.
    rows: [usize; 2],
    planes: usize,
    row: usize,
    plane: usize,
}

impl Slab {
    /// Some planes of a grid.
    pub fn new([_, y, z]: [usize; 3], planes: usize) -> Self {
        Self { rows: [y, z], planes, row: z + 1, plane: (y + 1) * (z + 1) }
    }

    /// How many planes of a grid make about `places`.
    pub fn planes_of([x, y, z]: [usize; 3], places: usize) -> usize {
        (places / ((y + 1) * (z + 1))).clamp(1, x)
    }

    /// Places from the first voxel to the last.
    pub fn places(&self) -> usize {
        self.planes * self.plane - self.row
    }

    /// The length of a channel with border.
    pub fn bordered(&self) -> usize {
        (self.planes + 2) * self.plane + self.row + SLACK
    }

    /// The length of a channel without border.
    pub fn bare(&self) -> usize {
        self.places() + SLACK
    }

    /// What the shift of a kernel adds to a place; along z it adds `shift_z` more.
    pub fn offset(&self, shift_x: usize, shift_y: usize) -> usize {
        shift_x * self.plane + shift_y * self.row
    }

    /// Copies the planes of a volume from `first` on into a channel with border, which held zeros.
    pub fn fill_bordered(&self, volume: &[f32], first: usize, channel: &mut [f32]) {
        let size = self.rows[0] * self.rows[1];
        for (number, out) in channel.chunks_exact_mut(self.plane).take(self.planes + 2).enumerate() {
            // The plane before the first is the border, unless the volume has one there.
            let Some(from) = (first + number).checked_sub(1).map(|plane| plane * size) else { continue };
            if let Some(plane) = volume.get(from..from + size) {
                let rows = out[self.row + 1..].chunks_mut(self.row);
                for (row, out) in plane.chunks_exact(self.rows[1]).zip(rows) {
                    out[..row.len()].copy_from_slice(row);
                }
            }
        }
    }

    /// Copies the planes of a volume from `first` on into a channel without border, which held zeros.
    pub fn fill_bare(&self, volume: &[f32], first: usize, channel: &mut [f32]) {
        let size = self.rows[0] * self.rows[1];
        let planes = volume[first * size..].chunks_exact(size).take(self.planes);
        for (plane, out) in planes.zip(channel.chunks_mut(self.plane)) {
            for (row, out) in plane.chunks_exact(self.rows[1]).zip(out.chunks_mut(self.row)) {
                out[..row.len()].copy_from_slice(row);
            }
        }
    }

    /// Copies one plane out of a channel without border.
    pub fn read_bare(&self, channel: &[f32], plane: usize, out: &mut [f32]) {
        for (row, out) in channel[plane * self.plane..].chunks(self.row).zip(out.chunks_exact_mut(self.rows[1])) {
            out.copy_from_slice(&row[..self.rows[1]]);
        }
    }
}
