//! Blending predictions of overlapping windows, a slab at a time.
//!
//! Windows are added in the order of their first planes along x, so a plane is finished as soon as a window starts
//! after it. Only planes that later windows may still cover are stored, so the memory is that of a slab as thick as a
//! window. By nnU-Net's convention sums are in half precision, as its own: near the edges of a volume, where the weights of
//! windows are smallest, its logits have an error that can be seen in its label maps.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;
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
        f16::from_f64(weight).to_f32()
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

/// The number of planes that are finished together: those that are passed on are in single precision.
const MAX_PLANES: usize = 16;

/// The weighted mean of the predictions of overlapping windows, and of several runs.
#[derive(Clone, Debug)]
pub struct Blender {
    tiling: Tiling,
    blend: Blend,
    activation: FinalActivation,
    importance: Vec<f32>,
    classes: usize,
    /// The number of runs whose predictions are blended one by one and then averaged.
    runs: usize,
    /// The first plane that is not finished.
    next: usize,
    /// The last finished plane, `[class, y, z]`, which is needed to interpolate between it and the next; empty before it.
    finished: Vec<f32>,
    /// Weighted sums of the planes that are not finished, `[x, run, class, y, z]`.
    sum: Sums,
    /// The weights of these planes, `[x, y, z]`.
    weight: Sums,
}

impl Blender {
    /// Creates a blender; `activation` is applied to the means of finished planes.
    pub fn new(tiling: Tiling, blend: Blend, classes: usize, activation: FinalActivation) -> Self {
        let convention = tiling.convention;
        // A single window needs no weights, and its prediction stays the same bit for bit.
        let is_alone = tiling.starts.len() == 1 && convention == WindowConvention::Monai;
        let blend = if is_alone { Blend::Crop } else { blend };
        let importance = importance(tiling.window, blend, convention);
        let (sum, weight) = (Sums::new(convention), Sums::new(convention));
        let finished = Vec::new();
        Self { importance, blend, activation, classes, runs: 1, next: 0, finished, sum, weight, tiling }
    }

    /// Blends the predictions of several runs, which are averaged when a plane is finished.
    #[must_use]
    pub fn with_runs(self, runs: usize) -> Self {
        Self { runs, ..self }
    }

    /// Adds the values `[run, class, x, y, z]` of the window at `start`, after passing the planes to `take` that no later
    /// window covers.
    ///
    /// # Panics
    /// When windows are not added in the order of their first planes.
    pub fn add(&mut self, start: [usize; 3], values: &[f32], take: impl FnMut(&Planes)) {
        let [padding, depth] = [self.tiling.padding[0], self.tiling.shape[0]];
        self.emit_before(start[0].saturating_sub(padding), take);
        let end = (start[0] + self.tiling.window[0]).saturating_sub(padding).min(depth);
        assert!(end >= self.next, "windows are added in the order of their first planes");
        let channels = self.runs * self.classes;
        let voxels = (end - self.next) * self.tiling.shape[1] * self.tiling.shape[2];
        self.weight.reserve(voxels);
        self.sum.reserve(voxels * channels);
        let part = match self.blend {
            Blend::Crop => self.tiling.cropped(start),
            Blend::Constant | Blend::Gaussian | Blend::Hann => self.tiling.whole(start),
        };
        let Self { tiling, blend, importance, next, sum, weight, .. } = self;
        let size: usize = tiling.window.iter().product();
        let [_, size_y, size_z] = tiling.shape;
        tiling.for_each_row(start, part, |row| {
            let [x, y, z] = [row.volume[0] - *next, row.volume[1], row.volume[2]];
            let factors = &importance[row.window..][..row.length];
            let at = offset([0, size_y, size_z], [x, y, z]);
            match blend {
                Blend::Crop => weight.set(at, factors),
                _ => weight.add(at, factors, None),
            }
            for channel in 0..channels {
                let values = &values[channel * size + row.window..][..row.length];
                let at = offset([0, size_y, size_z], [x * channels + channel, y, z]);
                match blend {
                    Blend::Crop => sum.set(at, values),
                    _ => sum.add(at, values, Some(factors)),
                }
            }
        });
    }

    /// Passes the remaining planes to `take`, after the last window.
    pub fn finish(mut self, take: impl FnMut(&Planes)) {
        self.emit_before(self.tiling.shape[0], take);
    }

    /// Finishes the planes before `end` and passes them to `take`, a few at a time.
    fn emit_before(&mut self, end: usize, mut take: impl FnMut(&Planes)) {
        while self.next < end {
            self.emit(end.min(self.next + MAX_PLANES), &mut take);
        }
    }

    /// Finishes the planes before `end`, passes them to `take` and keeps the last of them.
    fn emit(&mut self, end: usize, take: &mut impl FnMut(&Planes)) {
        let count = end - self.next;
        let plane = self.tiling.shape[1] * self.tiling.shape[2];
        let Self { classes, runs, activation, sum, weight, .. } = self;
        let (classes, runs, activation) = (*classes, *runs, *activation);
        let num_repeated = usize::from(!self.finished.is_empty());
        self.finished.resize((num_repeated + count) * classes * plane, 0.0);
        let planes = self.finished[num_repeated * classes * plane..].par_chunks_mut(classes * plane).enumerate();
        planes.for_each_init(
            || (Vec::new(), Vec::new()),
            |(weights, sums), (index, out)| {
                weight.read(index * plane..(index + 1) * plane, weights);
                for run in 0..runs {
                    let first = (index * runs + run) * classes * plane;
                    sum.read(first..first + classes * plane, sums);
                    for (sums, out) in sums.chunks_exact_mut(plane).zip(out.chunks_exact_mut(plane)) {
                        sums.iter_mut().zip(&*weights).for_each(|(sum, weight)| *sum /= weight);
                        sum.round(sums);
                        out.iter_mut().zip(&*sums).for_each(|(out, mean)| *out += mean);
                        sum.round(out);
                    }
                }
                if runs > 1 {
                    out.iter_mut().for_each(|value| *value /= runs as f32);
                    sum.round(out);
                }
                activation.apply(out, classes);
            },
        );
        let (first, shape) = (self.next - num_repeated, self.tiling.shape);
        take(&Planes { first, num_repeated, classes, shape, values: &self.finished });
        self.finished.drain(..(num_repeated + count - 1) * classes * plane);
        self.sum.drop_first(count * runs * classes * plane);
        self.weight.drop_first(count * plane);
        self.next = end;
    }
}

/// Sums in single precision, or in half precision as nnU-Net's.
#[derive(Clone, Debug)]
enum Sums {
    Single(Vec<f32>),
    Half(Vec<f16>),
}

impl Sums {
    fn new(convention: WindowConvention) -> Self {
        match convention {
            WindowConvention::Monai => Self::Single(Vec::new()),
            WindowConvention::Nnunet => Self::Half(Vec::new()),
        }
    }

    /// Appends zeros up to a length.
    fn reserve(&mut self, length: usize) {
        match self {
            Self::Single(sums) => sums.resize(length.max(sums.len()), 0.0),
            Self::Half(sums) => sums.resize(length.max(sums.len()), f16::ZERO),
        }
    }

    /// Replaces sums from an index on.
    fn set(&mut self, first: usize, values: &[f32]) {
        match self {
            Self::Single(sums) => sums[first..first + values.len()].copy_from_slice(values),
            Self::Half(sums) => sums[first..first + values.len()].convert_from_f32_slice(values),
        }
    }

    /// Adds values, times factors, to the sums from an index on.
    fn add(&mut self, first: usize, values: &[f32], factors: Option<&[f32]>) {
        let add = |sums: &mut [f32]| match factors {
            None => sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
            Some(factors) => {
                for ((sum, value), factor) in sums.iter_mut().zip(values).zip(factors) {
                    *sum += value * factor;
                }
            }
        };
        match self {
            Self::Single(sums) => add(&mut sums[first..first + values.len()]),
            Self::Half(sums) => {
                let sums = &mut sums[first..first + values.len()];
                let mut single = sums.to_f32_vec();
                add(&mut single);
                sums.convert_from_f32_slice(&single);
            }
        }
    }

    /// Copies sums into a buffer.
    fn read(&self, range: Range<usize>, out: &mut Vec<f32>) {
        out.resize(range.len(), 0.0);
        match self {
            Self::Single(sums) => out.copy_from_slice(&sums[range]),
            Self::Half(sums) => sums[range].convert_to_f32_slice(out),
        }
    }

    /// Rounds values to the precision of the sums.
    fn round(&self, values: &mut [f32]) {
        if let Self::Half(_) = self {
            values.iter_mut().for_each(|value| *value = f16::from_f32(*value).to_f32());
        }
    }

    /// Removes the first sums.
    fn drop_first(&mut self, count: usize) {
        match self {
            Self::Single(sums) => drop(sums.drain(..count)),
            Self::Half(sums) => drop(sums.drain(..count)),
        }
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
