//! Tiling a volume into windows and blending what the network says about them.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::volume::offset;
use crate::value::{Shape, Share};

/// How a volume larger than a patch goes through the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inference {
    /// The window's shape in voxels; `null` takes the sampler's patch.
    #[serde(default)]
    pub window: Option<Shape>,
    /// How much of a window its neighbour covers again.
    #[serde(default = "default_overlap")]
    pub overlap: Share,
    /// How overlapping windows are weighed.
    #[serde(default)]
    pub blend: Blend,
    /// Windows that go through the network together. LibTorch uses its fast convolutions on the CPU only from 2 on.
    #[serde(default = "default_batch_size")]
    pub batch_size: NonZeroUsize,
}

/// How overlapping windows are weighed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Blend {
    /// All voxels of a window alike.
    Constant,
    /// The middle of a window more than its border: MONAI's Gaussian, with a standard deviation of an eighth of the window.
    #[default]
    Gaussian,
}

impl Default for Inference {
    fn default() -> Self {
        Self { window: None, overlap: default_overlap(), blend: Blend::default(), batch_size: default_batch_size() }
    }
}

fn default_overlap() -> Share {
    Share::new(0.25).expect("0.25 is a share")
}

fn default_batch_size() -> NonZeroUsize {
    NonZeroUsize::new(2).expect("2 is not 0")
}

/// The windows that cover a volume.
///
/// A volume that is shorter than the window on an axis is padded with zeros there, as much before as
/// after it (MONAI's `sliding_window_inference`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// Voxels of the volume.
    pub shape: [usize; 3],
    /// Voxels of the window.
    pub window: [usize; 3],
    /// Zeros before the first voxel of each axis.
    pub padding: [usize; 3],
    /// Where each window starts, in voxels of the padded volume.
    pub starts: Vec<[usize; 3]>,
}

impl Tiling {
    /// Covers a volume with windows that share at least `overlap` of their extent with their neighbours.
    ///
    /// The distance between windows is `floor(window * (1 - overlap))`, and at least one voxel; the
    /// last window of an axis is moved back to end with the volume, as in MONAI.
    pub fn new(shape: [usize; 3], window: [usize; 3], overlap: f64) -> Self {
        let padded: [usize; 3] = std::array::from_fn(|axis| shape[axis].max(window[axis]));
        let [xs, ys, zs] = std::array::from_fn(|axis| starts(padded[axis], window[axis], overlap));
        let mut all = Vec::with_capacity(xs.len() * ys.len() * zs.len());
        for &x in &xs {
            for &y in &ys {
                all.extend(zs.iter().map(|&z| [x, y, z]));
            }
        }
        let padding = std::array::from_fn(|axis| (padded[axis] - shape[axis]) / 2);
        Self { shape, window, padding, starts: all }
    }

    /// Copies one window out of an image `[channel, x, y, z]`, with zeros where it sticks out.
    pub fn cut(&self, image: &[f32], channels: usize, start: [usize; 3], out: &mut [f32]) {
        out.fill(0.0);
        let voxels: usize = self.shape.iter().product();
        let size: usize = self.window.iter().product();
        self.for_each_row(start, |row| {
            for channel in 0..channels {
                let source = &image[channel * voxels + row.volume..][..row.length];
                out[channel * size + row.window..][..row.length].copy_from_slice(source);
            }
        });
    }

    /// Calls `visit` for each row along z that a window shares with the volume.
    fn for_each_row(&self, start: [usize; 3], mut visit: impl FnMut(Row)) {
        let overlap = |axis: usize| {
            let first = start[axis].max(self.padding[axis]);
            let end = (start[axis] + self.window[axis]).min(self.padding[axis] + self.shape[axis]);
            first..end.max(first)
        };
        let rows_along_z = overlap(2);
        for x in overlap(0) {
            for y in overlap(1) {
                let z = rows_along_z.start;
                let in_window = [x - start[0], y - start[1], z - start[2]];
                let in_volume = [x - self.padding[0], y - self.padding[1], z - self.padding[2]];
                visit(Row {
                    window: offset(self.window, in_window),
                    volume: offset(self.shape, in_volume),
                    length: rows_along_z.len(),
                });
            }
        }
    }
}

/// A run of voxels along z that lies in a window and in the volume.
struct Row {
    window: usize,
    volume: usize,
    length: usize,
}

fn starts(size: usize, window: usize, overlap: f64) -> Vec<usize> {
    let interval = if window == size { window } else { ((window as f64 * (1.0 - overlap)) as usize).max(1) };
    let last = size - window;
    (0..=last.div_ceil(interval)).map(|step| (step * interval).min(last)).collect()
}

/// How much each voxel of a window counts, `[x, y, z]`.
///
/// The Gaussian is MONAI's `compute_importance_map`: centre `(size - 1) / 2`, standard deviation
/// `size / 8`, nowhere below 0.001.
pub fn importance(window: [usize; 3], blend: Blend) -> Vec<f32> {
    match blend {
        Blend::Constant => vec![1.0; window.iter().product()],
        Blend::Gaussian => {
            let [along_x, along_y, along_z] = window.map(|size| {
                let (centre, sigma) = ((size as f64 - 1.0) / 2.0, 0.125 * size as f64);
                (0..size)
                    .map(|i| (-(i as f64 - centre).powi(2) / (2.0 * sigma * sigma)).exp() as f32)
                    .collect::<Vec<f32>>()
            });
            let mut map = Vec::with_capacity(window.iter().product());
            for x in &along_x {
                for y in &along_y {
                    map.extend(along_z.iter().map(|z| (x * y * z).max(1e-3)));
                }
            }
            map
        }
    }
}

/// Sums what the network says about overlapping windows, weighed by their importance.
#[derive(Clone, Debug)]
pub struct Blender {
    tiling: Tiling,
    importance: Vec<f32>,
    classes: usize,
    sum: Vec<f32>,
    weight: Vec<f32>,
}

impl Blender {
    /// An empty sum for logits of `classes` classes.
    pub fn new(tiling: Tiling, blend: Blend, classes: usize) -> Self {
        let voxels: usize = tiling.shape.iter().product();
        let importance = importance(tiling.window, blend);
        Self { importance, classes, sum: vec![0.0; classes * voxels], weight: vec![0.0; voxels], tiling }
    }

    /// Adds the logits `[class, x, y, z]` of the window at `start`.
    pub fn add(&mut self, start: [usize; 3], logits: &[f32]) {
        let voxels: usize = self.tiling.shape.iter().product();
        let size: usize = self.tiling.window.iter().product();
        let Self { tiling, importance, classes, sum, weight } = self;
        tiling.for_each_row(start, |row| {
            let factors = &importance[row.window..][..row.length];
            for (total, factor) in weight[row.volume..].iter_mut().zip(factors) {
                *total += factor;
            }
            for class in 0..*classes {
                let values = &logits[class * size + row.window..][..row.length];
                let totals = &mut sum[class * voxels + row.volume..][..row.length];
                for ((total, value), factor) in totals.iter_mut().zip(values).zip(factors) {
                    *total += value * factor;
                }
            }
        });
    }

    /// The weighted mean, `[class, x, y, z]`.
    pub fn finish(mut self) -> Vec<f32> {
        for logits in self.sum.chunks_exact_mut(self.weight.len()) {
            for (value, weight) in logits.iter_mut().zip(&self.weight) {
                *value /= weight;
            }
        }
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(shape: [usize; 3], window: [usize; 3], overlap: f64, blend: Blend) -> (Vec<f32>, Vec<f32>) {
        let image: Vec<f32> = (0..2 * shape.iter().product::<usize>()).map(|i| (i as f32 * 0.37).sin()).collect();
        let tiling = Tiling::new(shape, window, overlap);
        let mut blender = Blender::new(tiling.clone(), blend, 2);
        let mut values = vec![0.0; 2 * window.iter().product::<usize>()];
        for &start in &tiling.starts {
            tiling.cut(&image, 2, start, &mut values);
            blender.add(start, &values);
        }
        (image, blender.finish())
    }

    #[test]
    fn a_network_that_changes_nothing_returns_the_volume() {
        for blend in [Blend::Constant, Blend::Gaussian] {
            let (image, blended) = identity([13, 9, 20], [8, 9, 7], 0.5, blend);
            let worst = image.iter().zip(&blended).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-6, "{blend:?}: {worst}");
        }
    }

    #[test]
    fn one_window_returns_the_volume_bit_for_bit() {
        let (image, blended) = identity([5, 6, 7], [5, 6, 7], 0.25, Blend::Constant);
        assert_eq!(image, blended);
    }

    #[test]
    fn a_volume_smaller_than_the_window_is_padded_on_both_sides() {
        let tiling = Tiling::new([3, 8, 8], [8, 8, 8], 0.25);
        assert_eq!((tiling.padding, tiling.starts.len()), ([2, 0, 0], 1));
        let (image, blended) = identity([3, 8, 8], [8, 8, 8], 0.25, Blend::Gaussian);
        assert!(image.iter().zip(&blended).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn windows_lie_as_in_monai() {
        // monai.data.utils.dense_patch_slices((100,), (40,), (30,)).
        assert_eq!(starts(100, 40, 0.25), [0, 30, 60]);
        assert_eq!(starts(101, 40, 0.25), [0, 30, 60, 61]);
        assert_eq!(starts(40, 40, 0.25), [0]);
        assert_eq!(starts(5, 1, 0.9), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn the_gaussian_is_monais() {
        // monai.data.utils.compute_importance_map((4, 1, 1), "gaussian", 0.125): exp(-1.5² / (2 · 0.5²)) = 0.0111.
        let map = importance([4, 1, 1], Blend::Gaussian);
        assert!((map[0] - 0.011_109).abs() < 1e-6 && (map[1] - 0.606_531).abs() < 1e-6, "{map:?}");
        assert_eq!(importance([16, 16, 16], Blend::Gaussian)[0], 1e-3);
    }
}
