//! Blending predictions of overlapping windows, a slab at a time.
//!
//! Windows are added in the order of their first planes along x, so a plane is finished as soon as a window starts
//! after it. Only planes that later windows may still cover are stored, so the memory is that of a slab as thick as a
//! window.

use rayon::prelude::*;

use super::activation::FinalActivation;
use super::options::{Blend, WindowConvention};
use super::tiling::Tiling;
use volume::offset;

/// Returns the importance map of a window: the weight of each voxel, `[x, y, z]`.
///
/// MONAI's Gaussian is `compute_importance_map`: centre `(size - 1) / 2`, standard deviation `size / 8`, at least 0.001. That of
/// nnU-Net, `compute_gaussian`, has its centre at `size // 2` and the maximum 10; its weights are rounded to half precision,
/// and those that become 0 are the smallest of the others. The Hann window is TorchIO's: `sin²(π (i + 1) / (size + 1))` along each axis.
pub fn importance(window: [usize; 3], blend: Blend, convention: WindowConvention) -> Vec<f32> {
    let along = |size: usize, weight: &dyn Fn(f64) -> f64| (0..size).map(|i| weight(i as f64) as f32).collect();
    let (axes, smallest): ([Vec<f32>; 3], f32) = match blend {
        Blend::Constant | Blend::Crop => return vec![1.0; window.iter().product()],
        Blend::Gaussian if convention == WindowConvention::Nnunet => return nnunet_gaussian(window),
        Blend::Gaussian => {
            let gaussian = |size: usize| {
                let (centre, sigma) = ((size as f64 - 1.0) / 2.0, 0.125 * size as f64);
                along(size, &|i| (-(i - centre).powi(2) / (2.0 * sigma * sigma)).exp())
            };
            (window.map(gaussian), 1e-3)
        }
        Blend::Hann => {
            let hann =
                |size: usize| along(size, &|i| (std::f64::consts::PI * (i + 1.0) / (size as f64 + 1.0)).sin().powi(2));
            (window.map(hann), 0.0)
        }
    };
    let mut map = Vec::with_capacity(window.iter().product());
    for x in &axes[0] {
        for y in &axes[1] {
            map.extend(axes[2].iter().map(|z| (x * y * z).max(smallest)));
        }
    }
    map
}

/// Returns nnU-Net's Gaussian, as its predictions on a CPU or a GPU use it.
fn nnunet_gaussian([size_x, size_y, size_z]: [usize; 3]) -> Vec<f32> {
    let exponent = |index: usize, size: usize| {
        let (distance, sigma) = (index as f64 - (size / 2) as f64, size as f64 / 8.0);
        -0.5 * (distance / sigma).powi(2)
    };
    let voxels = (0..size_x * size_y * size_z).into_par_iter().map(|voxel| {
        let (x, y, z) = (voxel / (size_y * size_z), voxel / size_z % size_y, voxel % size_z);
        let weight = 10.0 * (exponent(x, size_x) + exponent(y, size_y) + exponent(z, size_z)).exp();
        half::f16::from_f64(weight).to_f32()
    });
    let mut map: Vec<f32> = voxels.collect();
    let smallest = map.iter().copied().filter(|weight| *weight > 0.0).fold(f32::INFINITY, f32::min);
    map.iter_mut().filter(|weight| **weight == 0.0).for_each(|weight| *weight = smallest);
    map
}

/// Consecutive finished planes of a volume.
#[derive(Clone, Copy, Debug)]
pub struct Planes<'a> {
    /// The first of them, as an index along x.
    pub first: usize,
    /// The number of planes at the start that were passed on before.
    pub num_repeated: usize,
    /// The number of classes.
    pub classes: usize,
    /// The shape of the whole volume.
    pub shape: [usize; 3],
    /// One value for each voxel and class, `[x, class, y, z]`.
    pub values: &'a [f32],
}

impl Planes<'_> {
    /// Returns the index after the last plane.
    pub fn end(&self) -> usize {
        self.first + self.values.len() / (self.classes * self.shape[1] * self.shape[2])
    }
}

/// The weighted mean of the predictions of overlapping windows.
#[derive(Clone, Debug)]
pub struct Blender {
    tiling: Tiling,
    blend: Blend,
    activation: FinalActivation,
    importance: Vec<f32>,
    classes: usize,
    /// The first plane that is stored.
    first: usize,
    /// The number of finished planes at the start: none, or one that is needed to interpolate between it and the next.
    num_repeated: usize,
    /// `[x, class, y, z]`: results of finished planes, weighted sums of the others.
    sum: Vec<f32>,
    /// `[x, y, z]`
    weight: Vec<f32>,
}

impl Blender {
    /// Creates a blender; `activation` is applied to the means of finished planes.
    pub fn new(tiling: Tiling, blend: Blend, classes: usize, activation: FinalActivation) -> Self {
        // A single window needs no weights, and its prediction stays the same bit for bit.
        let blend = if tiling.starts.len() == 1 { Blend::Crop } else { blend };
        let importance = importance(tiling.window, blend, tiling.convention);
        let (sum, weight) = (Vec::new(), Vec::new());
        Self { importance, blend, activation, classes, first: 0, num_repeated: 0, sum, weight, tiling }
    }

    /// Adds the values `[class, x, y, z]` of the window at `start`, after passing the planes to `take` that no later
    /// window covers.
    ///
    /// # Panics
    /// When windows are not added in the order of their first planes.
    pub fn add(&mut self, start: [usize; 3], values: &[f32], take: impl FnMut(&Planes)) {
        let [padding, depth] = [self.tiling.padding[0], self.tiling.shape[0]];
        self.emit_before(start[0].saturating_sub(padding), take);
        let end = (start[0] + self.tiling.window[0]).saturating_sub(padding).min(depth);
        assert!(end >= self.first + self.num_repeated, "windows are added in the order of their first planes");
        self.reserve(end);
        let part = match self.blend {
            Blend::Crop => self.tiling.cropped(start),
            Blend::Constant | Blend::Gaussian | Blend::Hann => self.tiling.whole(start),
        };
        let Self { tiling, blend, importance, classes, first, sum, weight, .. } = self;
        let size: usize = tiling.window.iter().product();
        let [_, size_y, size_z] = tiling.shape;
        tiling.for_each_row(start, part, |row| {
            let [x, y, z] = [row.volume[0] - *first, row.volume[1], row.volume[2]];
            let factors = &importance[row.window..][..row.length];
            let weights = &mut weight[offset([0, size_y, size_z], [x, y, z])..][..row.length];
            match blend {
                Blend::Crop => weights.fill(1.0),
                _ => weights.iter_mut().zip(factors).for_each(|(total, factor)| *total += factor),
            }
            for class in 0..*classes {
                let values = &values[class * size + row.window..][..row.length];
                let totals = &mut sum[offset([0, size_y, size_z], [x * *classes + class, y, z])..][..row.length];
                match blend {
                    Blend::Crop => totals.copy_from_slice(values),
                    _ => {
                        for ((total, value), factor) in totals.iter_mut().zip(values).zip(factors) {
                            *total += value * factor;
                        }
                    }
                }
            }
        });
    }

    /// Passes the remaining planes to `take`, after the last window.
    pub fn finish(mut self, take: impl FnMut(&Planes)) {
        self.emit_before(self.tiling.shape[0], take);
    }

    /// Allocates the planes before `end`.
    fn reserve(&mut self, end: usize) {
        let voxels = (end - self.first) * self.tiling.shape[1] * self.tiling.shape[2];
        self.weight.resize(voxels.max(self.weight.len()), 0.0);
        self.sum.resize((voxels * self.classes).max(self.sum.len()), 0.0);
    }

    /// Finishes the planes before `end`, passes them to `take` and keeps the last of them.
    fn emit_before(&mut self, end: usize, mut take: impl FnMut(&Planes)) {
        if end <= self.first + self.num_repeated {
            return;
        }
        let plane = self.tiling.shape[1] * self.tiling.shape[2];
        let (num_repeated, finished) = (self.num_repeated, end - self.first);
        let (classes, activation) = (self.classes, self.activation);
        let sums = &mut self.sum[num_repeated * classes * plane..finished * classes * plane];
        let weights = &self.weight[num_repeated * plane..finished * plane];
        sums.par_chunks_mut(classes * plane).zip(weights.par_chunks(plane)).for_each(|(sums, weights)| {
            for sums in sums.chunks_exact_mut(plane) {
                sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum /= weight);
            }
            activation.apply(sums, classes);
        });
        let values = &self.sum[..finished * classes * plane];
        take(&Planes { first: self.first, num_repeated, classes, shape: self.tiling.shape, values });
        self.sum.drain(..(finished - 1) * classes * plane);
        self.weight.drain(..(finished - 1) * plane);
        (self.first, self.num_repeated) = (end - 1, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(shape: [usize; 3], window: [usize; 3], overlap: f64, blend: Blend) -> (Vec<f32>, Vec<f32>) {
        let voxels: usize = shape.iter().product();
        let image: Vec<f32> = (0..2 * voxels).map(|i| (i as f32 * 0.37).sin()).collect();
        let tiling = Tiling::new(shape, window, overlap);
        let mut blender = Blender::new(tiling.clone(), blend, 2, FinalActivation::None);
        let mut values = vec![0.0; 2 * window.iter().product::<usize>()];
        let mut whole = Vec::new();
        let mut take = |planes: &Planes| {
            assert_eq!(
                planes.first + planes.num_repeated,
                whole.len() / (2 * shape[1] * shape[2]),
                "no plane is skipped"
            );
            whole.extend_from_slice(&planes.values[planes.num_repeated * 2 * shape[1] * shape[2]..]);
        };
        for &start in &tiling.starts {
            tiling.cut(&image, 2, start, &mut values);
            blender.add(start, &values, &mut take);
        }
        blender.finish(&mut take);
        // From [x, class, y, z] to [class, x, y, z].
        let plane = shape[1] * shape[2];
        let of_one = |class: usize| whole.chunks(plane).skip(class).step_by(2).flatten().copied().collect::<Vec<_>>();
        (image, [of_one(0), of_one(1)].concat())
    }

    #[test]
    fn the_identity_network_returns_the_volume() {
        for blend in [Blend::Constant, Blend::Gaussian, Blend::Crop, Blend::Hann] {
            for shape in [[13, 9, 20], [5, 30, 6], [31, 4, 4]] {
                let (image, blended) = identity(shape, [8, 9, 7], 0.5, blend);
                let worst = image.iter().zip(&blended).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 1e-6, "{blend:?}: {worst}");
            }
        }
    }

    #[test]
    fn one_window_returns_the_volume_bit_for_bit() {
        for blend in [Blend::Constant, Blend::Gaussian, Blend::Crop, Blend::Hann] {
            let (image, blended) = identity([5, 6, 7], [5, 6, 8], 0.25, blend);
            assert_eq!(image, blended, "{blend:?}");
        }
    }

    #[test]
    fn crop_returns_the_volume_bit_for_bit() {
        for overlap in [0.0, 0.25, 0.3, 0.9] {
            let (image, blended) = identity([23, 6, 19], [8, 9, 7], overlap, Blend::Crop);
            assert_eq!(image, blended, "{overlap}");
        }
    }

    #[test]
    fn the_gaussian_is_monais() {
        // monai.data.utils.compute_importance_map((4, 1, 1), "gaussian", 0.125): exp(-1.5² / (2 · 0.5²)) = 0.0111.
        let map = importance([4, 1, 1], Blend::Gaussian, WindowConvention::Monai);
        assert!((map[0] - 0.011_109).abs() < 1e-6 && (map[1] - 0.606_531).abs() < 1e-6, "{map:?}");
        assert_eq!(importance([16, 16, 16], Blend::Gaussian, WindowConvention::Monai)[0], 1e-3);
    }

    #[test]
    fn the_hann_window_is_torchios() {
        // torch.hann_window(5, periodic=False)[1:-1].
        let map = importance([3, 1, 1], Blend::Hann, WindowConvention::Monai);
        let expected = [0.5, 1.0, 0.5];
        assert!(map.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{map:?}");
    }
}
