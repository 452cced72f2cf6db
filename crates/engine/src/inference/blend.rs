//! Blending what the network says about overlapping windows, a slab at a time.
//!
//! Windows come in the order of their first planes along x, so a plane is finished as soon as a window begins behind it.
//! Only planes that windows still reach are held, so the memory is that of a slab as thick as a window.

use rayon::prelude::*;

use super::activation::Activation;
use super::window::{Blend, Tiling};
use volume::offset;

/// How much each voxel of a window counts, `[x, y, z]`.
///
/// The Gaussian is MONAI's `compute_importance_map`: centre `(size - 1) / 2`, standard deviation
/// `size / 8`, nowhere below 0.001. The Hann window is TorchIO's: `sin²(π (i + 1) / (size + 1))` along each axis.
pub fn importance(window: [usize; 3], blend: Blend) -> Vec<f32> {
    let along = |size: usize, weight: &dyn Fn(f64) -> f64| (0..size).map(|i| weight(i as f64) as f32).collect();
    let (axes, smallest): ([Vec<f32>; 3], f32) = match blend {
        Blend::Constant | Blend::Crop => return vec![1.0; window.iter().product()],
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

/// Planes of a volume for which everything has been said.
#[derive(Clone, Copy, Debug)]
pub struct Planes<'a> {
    /// The first of them, as an index along x.
    pub first: usize,
    /// How many of them, at the start, were there the last time too.
    pub known: usize,
    /// Classes, background first.
    pub classes: usize,
    /// Voxels of the whole volume along x, y and z.
    pub shape: [usize; 3],
    /// One value for each voxel and class, `[x, class, y, z]`.
    pub values: &'a [f32],
}

impl Planes<'_> {
    /// The index behind the last plane.
    pub fn end(&self) -> usize {
        self.first + self.values.len() / (self.classes * self.shape[1] * self.shape[2])
    }
}

/// Sums what the network says about overlapping windows, weighed by their importance.
#[derive(Clone, Debug)]
pub struct Blender {
    tiling: Tiling,
    blend: Blend,
    activation: Activation,
    importance: Vec<f32>,
    classes: usize,
    /// The first plane that is held.
    first: usize,
    /// Finished planes at the start: none or one, which is kept since voxels between it and the next may be asked for.
    known: usize,
    /// `[x, class, y, z]`: of finished planes what they came to, of the others sums.
    sum: Vec<f32>,
    /// `[x, y, z]`
    weight: Vec<f32>,
}

impl Blender {
    /// An empty sum for values of `classes` classes; `activation` turns the means of finished planes into what is handed on.
    pub fn new(tiling: Tiling, blend: Blend, classes: usize, activation: Activation) -> Self {
        // With one window there is nothing to weigh, and what the network said stays as it was bit for bit.
        let blend = if tiling.starts.len() == 1 { Blend::Crop } else { blend };
        let importance = importance(tiling.window, blend);
        let (sum, weight) = (Vec::new(), Vec::new());
        Self { importance, blend, activation, classes, first: 0, known: 0, sum, weight, tiling }
    }

    /// Adds the values `[class, x, y, z]` of the window at `start`, after handing on the planes that no window reaches any more.
    ///
    /// # Panics
    /// When windows do not come in the order of their first planes.
    pub fn add(&mut self, start: [usize; 3], values: &[f32], take: impl FnMut(&Planes)) {
        let [padding, depth] = [self.tiling.padding[0], self.tiling.shape[0]];
        self.hand_on(start[0].saturating_sub(padding), take);
        let end = (start[0] + self.tiling.window[0]).saturating_sub(padding).min(depth);
        assert!(end >= self.first + self.known, "windows come in the order of their first planes");
        self.hold(end);
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

    /// Hands on what is left, after the last window.
    pub fn finish(mut self, take: impl FnMut(&Planes)) {
        self.hand_on(self.tiling.shape[0], take);
    }

    /// Makes room for the planes before `end`.
    fn hold(&mut self, end: usize) {
        let voxels = (end - self.first) * self.tiling.shape[1] * self.tiling.shape[2];
        self.weight.resize(voxels.max(self.weight.len()), 0.0);
        self.sum.resize((voxels * self.classes).max(self.sum.len()), 0.0);
    }

    /// Finishes the planes before `end`, hands them on and keeps the last of them.
    fn hand_on(&mut self, end: usize, mut take: impl FnMut(&Planes)) {
        if end <= self.first + self.known {
            return;
        }
        let plane = self.tiling.shape[1] * self.tiling.shape[2];
        let (known, finished) = (self.known, end - self.first);
        let (classes, activation) = (self.classes, self.activation);
        let sums = &mut self.sum[known * classes * plane..finished * classes * plane];
        let weights = &self.weight[known * plane..finished * plane];
        sums.par_chunks_mut(classes * plane).zip(weights.par_chunks(plane)).for_each(|(sums, weights)| {
            for of_class in sums.chunks_exact_mut(plane) {
                of_class.iter_mut().zip(weights).for_each(|(sum, weight)| *sum /= weight);
            }
            activation.apply(sums, classes);
        });
        let values = &self.sum[..finished * classes * plane];
        take(&Planes { first: self.first, known, classes, shape: self.tiling.shape, values });
        self.sum.drain(..(finished - 1) * classes * plane);
        self.weight.drain(..(finished - 1) * plane);
        (self.first, self.known) = (end - 1, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(shape: [usize; 3], window: [usize; 3], overlap: f64, blend: Blend) -> (Vec<f32>, Vec<f32>) {
        let voxels: usize = shape.iter().product();
        let image: Vec<f32> = (0..2 * voxels).map(|i| (i as f32 * 0.37).sin()).collect();
        let tiling = Tiling::new(shape, window, overlap);
        let mut blender = Blender::new(tiling.clone(), blend, 2, Activation::None);
        let mut values = vec![0.0; 2 * window.iter().product::<usize>()];
        let mut whole = Vec::new();
        let mut take = |planes: &Planes| {
            assert_eq!(planes.first + planes.known, whole.len() / (2 * shape[1] * shape[2]), "no plane is left out");
            whole.extend_from_slice(&planes.values[planes.known * 2 * shape[1] * shape[2]..]);
        };
        for &start in &tiling.starts {
            tiling.cut(&image, 2, start, &mut values);
            blender.add(start, &values, &mut take);
        }
        blender.finish(&mut take);
        // From [x, class, y, z] to [class, x, y, z].
        let plane = shape[1] * shape[2];
        let of_class = |class: usize| whole.chunks(plane).skip(class).step_by(2).flatten().copied().collect::<Vec<_>>();
        (image, [of_class(0), of_class(1)].concat())
    }

    #[test]
    fn a_network_that_changes_nothing_returns_the_volume() {
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
        let map = importance([4, 1, 1], Blend::Gaussian);
        assert!((map[0] - 0.011_109).abs() < 1e-6 && (map[1] - 0.606_531).abs() < 1e-6, "{map:?}");
        assert_eq!(importance([16, 16, 16], Blend::Gaussian)[0], 1e-3);
    }

    #[test]
    fn the_hann_window_is_torchios() {
        // torch.hann_window(5, periodic=False)[1:-1].
        let map = importance([3, 1, 1], Blend::Hann);
        let expected = [0.5, 1.0, 0.5];
        assert!(map.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{map:?}");
    }
}
