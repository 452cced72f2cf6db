//! The block of voxels that an intensity transform maps.

use volume::{self, Grid, Label};

/// A block of voxels of a volume, with its position.
#[derive(Debug)]
pub struct Window<'a> {
    /// Number of channels.
    pub channels: usize,
    /// Index of the first voxel in the volume.
    pub start: [usize; 3],
    /// Number of voxels along x, y and z.
    pub shape: [usize; 3],
    /// The grid of the volume.
    pub grid: Grid,
    /// The intensities, `[channel, x, y, z]`.
    pub image: &'a mut [f32],
    /// The labels, `[x, y, z]`, if the transform needs them and the volume has them.
    pub label: Option<&'a [Label]>,
    /// The same block of each moved copy of the volume, `[channel, x, y, z]`.
    pub moved: Vec<Vec<f32>>,
}

impl<'a> Window<'a> {
    /// Returns a block of a volume.
    pub fn new(image: &'a mut [f32], channels: usize, grid: Grid, (start, shape): ([usize; 3], [usize; 3])) -> Self {
        Self { channels, start, shape, grid, image, label: None, moved: Vec::new() }
    }

    /// Returns a volume of one row and one channel.
    pub fn single_row(image: &'a mut [f32]) -> Self {
        let shape = [1, 1, image.len()];
        Self::whole(image, Grid { shape, affine: volume::Affine::IDENTITY })
    }

    /// Returns a whole volume of one channel.
    pub fn whole(image: &'a mut [f32], grid: Grid) -> Self {
        Self::new(image, 1, grid, ([0; 3], grid.shape))
    }

    /// Maps every value.
    pub fn map(&mut self, function: impl Fn(f32) -> f32) {
        self.image.iter_mut().for_each(|value| *value = function(*value));
    }

    /// Maps the values of one channel.
    pub fn map_channel(&mut self, channel: usize, function: impl Fn(f32) -> f32) {
        self.channel_mut(channel).iter_mut().for_each(|value| *value = function(*value));
    }

    /// Returns the values of one channel, `[x, y, z]`.
    pub fn channel_mut(&mut self, channel: usize) -> &mut [f32] {
        let size = self.image.len() / self.channels;
        &mut self.image[channel * size..(channel + 1) * size]
    }

    /// Calls `visit` with each row along z, of every channel, and the index `[x, y, z]` of its first voxel in the volume.
    pub fn for_each_row_at(&mut self, mut visit: impl FnMut([usize; 3], &mut [f32])) {
        let (start, [size_x, size_y, size_z]) = (self.start, self.shape);
        for (row, values) in self.image.chunks_exact_mut(size_z).enumerate() {
            let (x, y) = (row / size_y % size_x, row % size_y);
            visit([start[0] + x, start[1] + y, start[2]], values);
        }
    }

    /// Calls `visit` with runs of at most `longest` values that follow one another in the whole volume `[channel, x, y, z]`, and
    /// the offset there of the first one.
    pub fn for_each_run(&mut self, longest: usize, mut visit: impl FnMut(u64, &mut [f32])) {
        let [size_x, size_y, size_z] = self.shape;
        // Rows, or as many as follow one another.
        let rows = match (0..3).rev().find(|axis| self.shape[*axis] != self.grid.shape[*axis]) {
            Some(2) => 1,
            Some(1) => size_y,
            _ => size_x * size_y,
        };
        for (run, values) in self.image.chunks_exact_mut(rows * size_z).enumerate() {
            let row = run * rows;
            let (channel, x, y) = (row / (size_x * size_y), row / size_y % size_x, row % size_y);
            let in_channel = volume::offset(self.grid.shape, [self.start[0] + x, self.start[1] + y, self.start[2]]);
            let first = (channel * self.grid.num_voxels() + in_channel) as u64;
            for (part, values) in values.chunks_mut(longest).enumerate() {
                visit(first + (part * longest) as u64, values);
            }
        }
    }

    /// Calls `visit` with each line of voxels along an axis, of every channel: lines are copied, changed and written back.
    pub fn for_each_line(&mut self, axis: usize, mut visit: impl FnMut(&mut [f32])) {
        let stride: usize = self.shape[axis + 1..].iter().product();
        let length = self.shape[axis];
        let mut line = vec![0.0; length];
        for slab in self.image.chunks_exact_mut(length * stride) {
            for first in 0..stride {
                line.iter_mut().zip(slab[first..].iter().step_by(stride)).for_each(|(value, from)| *value = *from);
                visit(&mut line);
                slab[first..].iter_mut().step_by(stride).zip(&line).for_each(|(to, value)| *to = *value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_follow_one_another_in_the_volume() {
        let grid = Grid { shape: [4, 3, 5], affine: volume::Affine::IDENTITY };
        let whole: Vec<f32> = (0..120).map(|i| i as f32).collect();
        for (start, shape, most) in [
            ([0; 3], [4, 3, 5], 2 * 9),
            ([1, 0, 0], [2, 3, 5], 2 * 5),
            ([1, 1, 0], [3, 2, 5], 6 * 2),
            ([1, 1, 2], [3, 2, 3], 12),
        ] {
            let voxels: usize = shape.iter().product();
            let mut values: Vec<f32> = vec![-1.0; 2 * voxels];
            let mut count = 0;
            Window::new(&mut values, 2, grid, (start, shape)).for_each_run(7, |position, run| {
                run.copy_from_slice(&whole[position as usize..][..run.len()]);
                count += 1;
            });
            for (i, value) in values.into_iter().enumerate() {
                let voxel = volume::unravel_index(shape, i % voxels);
                let voxel = std::array::from_fn(|axis| start[axis] + voxel[axis]);
                assert_eq!(value, whole[i / voxels * 60 + volume::offset(grid.shape, voxel)], "{start:?} {i}");
            }
            assert!(count <= most, "{count}");
        }
    }

    #[test]
    fn lines_run_along_their_axis() {
        let grid = Grid { shape: [2, 3, 2], affine: volume::Affine::IDENTITY };
        for axis in 0..3 {
            let mut values: Vec<f32> = (0..12).map(|i| i as f32).collect();
            let mut lines = Vec::new();
            Window::whole(&mut values, grid).for_each_line(axis, |line| {
                lines.push(line.to_vec());
                line.reverse();
            });
            let second = [[1.0, 7.0].as_slice(), &[1.0, 3.0, 5.0], &[2.0, 3.0]][axis];
            assert_eq!(lines[1], second);
            assert_eq!(values[0], *lines[0].last().unwrap());
        }
    }
}
