//! The windows that cover a volume.

use std::ops::Range;

use super::options::WindowConvention;
use volume::offset;

/// The windows that cover a volume.
///
/// A volume that is shorter than the window on an axis is padded with zeros there, equally on both
/// sides (MONAI's `sliding_window_inference`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// Voxels of the volume.
    pub shape: [usize; 3],
    /// Voxels of the window.
    pub window: [usize; 3],
    /// Zeros before the first voxel of each axis.
    pub padding: [usize; 3],
    /// The start of each window, in voxels of the padded volume; x changes slowest.
    pub starts: Vec<[usize; 3]>,
    /// Whose rules placed the windows.
    pub convention: WindowConvention,
    /// Voxels by which neighbouring windows overlap; the last one of an axis may overlap more.
    overlap_voxels: [usize; 3],
}

/// A run of voxels along z that is inside both a window and the volume.
pub(super) struct Row {
    /// Its first voxel in the window.
    pub window: usize,
    /// Its first voxel in the volume, as an index along each axis.
    pub volume: [usize; 3],
    /// Its number of voxels.
    pub length: usize,
}

impl Tiling {
    /// Covers a volume with windows; neighbouring windows overlap by at least the fraction `overlap`.
    ///
    /// The distance between windows is `floor(window * (1 - overlap))`, and at least one voxel; the
    /// last window of an axis is moved back to end with the volume, as in MONAI.
    pub fn new(shape: [usize; 3], window: [usize; 3], overlap: f64) -> Self {
        Self::placed(shape, window, overlap, WindowConvention::Monai)
    }

    /// Covers a volume with windows as nnU-Net's `compute_steps_for_sliding_window`: they are spread evenly, at most
    /// `window * (1 - overlap)` apart, and their starts are rounded. A window of one voxel along an axis takes each of its
    /// voxels once, as nnU-Net's two-dimensional networks do.
    pub fn evenly_spread(shape: [usize; 3], window: [usize; 3], overlap: f64) -> Self {
        Self::placed(shape, window, overlap, WindowConvention::Nnunet)
    }

    fn placed(shape: [usize; 3], window: [usize; 3], overlap: f64, convention: WindowConvention) -> Self {
        let starts = match convention {
            WindowConvention::Monai => starts,
            WindowConvention::Nnunet => even_starts,
        };
        let padded: [usize; 3] = std::array::from_fn(|axis| shape[axis].max(window[axis]));
        let [xs, ys, zs] = std::array::from_fn(|axis| starts(padded[axis], window[axis], overlap));
        let mut all = Vec::with_capacity(xs.len() * ys.len() * zs.len());
        for &x in &xs {
            for &y in &ys {
                all.extend(zs.iter().map(|&z| [x, y, z]));
            }
        }
        let padding = std::array::from_fn(|axis| (padded[axis] - shape[axis]) / 2);
        let overlap_voxels = window.map(|size| size - interval(size, overlap));
        Self { shape, window, padding, starts: all, convention, overlap_voxels }
    }

    /// Copies one window of an image `[channel, x, y, z]` into `out`, with zeros outside the volume.
    pub fn cut(&self, image: &[f32], channels: usize, start: [usize; 3], out: &mut [f32]) {
        out.fill(0.0);
        let voxels: usize = self.shape.iter().product();
        let size: usize = self.window.iter().product();
        self.for_each_row(start, self.whole(start), |row| {
            let first = offset(self.shape, row.volume);
            for channel in 0..channels {
                let source = &image[channel * voxels + first..][..row.length];
                out[channel * size + row.window..][..row.length].copy_from_slice(source);
            }
        });
    }

    /// Returns the voxels of a window, along each axis of the padded volume.
    pub(super) fn whole(&self, start: [usize; 3]) -> [Range<usize>; 3] {
        std::array::from_fn(|axis| start[axis]..start[axis] + self.window[axis])
    }

    /// Returns the voxels of a window without half of the overlap with each neighbour, along each axis of the padded
    /// volume.
    pub(super) fn cropped(&self, start: [usize; 3]) -> [Range<usize>; 3] {
        std::array::from_fn(|axis| {
            let (end, half) = (start[axis] + self.window[axis], self.overlap_voxels[axis] / 2);
            let is_last = end == self.shape[axis].max(self.window[axis]);
            let begin = if start[axis] == 0 { 0 } else { start[axis] + half };
            begin..if is_last { end } else { end - half }
        })
    }

    /// Calls `visit` for each row along z of a part of a window that is inside the volume.
    pub(super) fn for_each_row(&self, start: [usize; 3], part: [Range<usize>; 3], mut visit: impl FnMut(Row)) {
        let within = |axis: usize| {
            let first = part[axis].start.max(self.padding[axis]);
            let end = part[axis].end.min(self.padding[axis] + self.shape[axis]);
            first..end.max(first)
        };
        let along_z = within(2);
        for x in within(0) {
            for y in within(1) {
                let first = [x, y, along_z.start];
                let in_window = std::array::from_fn(|axis| first[axis] - start[axis]);
                let volume = std::array::from_fn(|axis| first[axis] - self.padding[axis]);
                visit(Row { window: offset(self.window, in_window), volume, length: along_z.len() });
            }
        }
    }
}

/// Returns the distance between neighbouring windows, in voxels.
fn interval(window: usize, overlap: f64) -> usize {
    ((window as f64 * (1.0 - overlap)) as usize).max(1)
}

fn starts(size: usize, window: usize, overlap: f64) -> Vec<usize> {
    let interval = if window == size { window } else { interval(window, overlap) };
    let last = size - window;
    (0..=last.div_ceil(interval)).map(|step| (step * interval).min(last)).collect()
}

/// Returns nnU-Net's starts; `size` is at least `window`.
fn even_starts(size: usize, window: usize, overlap: f64) -> Vec<usize> {
    if window == 1 {
        return (0..size).collect();
    }
    let last = (size - window) as f64;
    let steps = (last / (window as f64 * (1.0 - overlap))).ceil();
    let distance = if steps > 0.0 { last / steps } else { 0.0 };
    (0..=steps as usize).map(|step| (distance * step as f64).round_ties_even() as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_spread_evenly_as_in_nnunet() {
        // compute_steps_for_sliding_window((110,), (64,), 0.5).
        assert_eq!(even_starts(110, 64, 0.5), [0, 23, 46]);
        assert_eq!(even_starts(64, 64, 0.5), [0]);
        assert_eq!(even_starts(5, 1, 0.5), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn windows_start_where_monais_do() {
        // monai.data.utils.dense_patch_slices((100,), (40,), (30,)).
        assert_eq!(starts(100, 40, 0.25), [0, 30, 60]);
        assert_eq!(starts(101, 40, 0.25), [0, 30, 60, 61]);
        assert_eq!(starts(40, 40, 0.25), [0]);
        assert_eq!(starts(5, 1, 0.9), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_volume_smaller_than_the_window_is_padded_on_both_sides() {
        let tiling = Tiling::new([3, 8, 8], [8, 8, 8], 0.25);
        assert_eq!((tiling.padding, tiling.starts.len()), ([2, 0, 0], 1));
        let mut cut = vec![9.0; 512];
        tiling.cut(&[1.0; 192], 1, [0; 3], &mut cut);
        let sum_of_plane = |x: usize| cut[x * 64..(x + 1) * 64].iter().sum::<f32>();
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(sum_of_plane), [0.0, 0.0, 64.0, 64.0, 64.0, 0.0, 0.0, 0.0]);
    }
}
