//! From a preprocessed volume to a label map on the grid of the image file.

use rayon::prelude::*;

use super::window::{Blender, Inference, Tiling};
use crate::data::volume::{Label, Voxels};
use crate::pipeline::Origin;

/// What a network says about a whole volume.
#[derive(Clone, Debug)]
pub struct Logits {
    /// Classes, background first.
    pub classes: usize,
    /// Voxels along x, y and z of the preprocessed grid.
    pub shape: [usize; 3],
    /// One value for each class and voxel, `[class, x, y, z]`.
    pub values: Vec<f32>,
}

/// How logits become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probabilities {
    /// Each class on its own, for a loss that trains sigmoids.
    Sigmoid,
    /// All classes together.
    Softmax,
}

/// Sends a volume through a network, window by window.
///
/// `forward` takes a batch of windows `[window, channel, x, y, z]` and their number, and gives logits
/// `[window, class, x, y, z]`.
///
/// # Errors
/// Those of `forward`.
pub fn logits<E>(
    image: &Voxels<f32>,
    window: [usize; 3],
    classes: usize,
    inference: &Inference,
    mut forward: impl FnMut(Vec<f32>, usize) -> Result<Vec<f32>, E>,
) -> Result<Logits, E> {
    let tiling = Tiling::new(image.shape, window, inference.overlap.get());
    let size: usize = window.iter().product();
    let mut blender = Blender::new(tiling.clone(), inference.blend, classes);
    for starts in tiling.starts.chunks(inference.batch_size.get()) {
        let mut batch = vec![0.0; starts.len() * image.channels * size];
        for (&start, out) in starts.iter().zip(batch.chunks_exact_mut(image.channels * size)) {
            tiling.cut(image, image.channels, start, out);
        }
        let logits = forward(batch, starts.len())?;
        for (&start, logits) in starts.iter().zip(logits.chunks_exact(classes * size)) {
            blender.add(start, logits);
        }
    }
    Ok(Logits { classes, shape: image.shape, values: blender.finish() })
}

impl Logits {
    /// Turns logits into probabilities, in place.
    pub fn into_probabilities(mut self, kind: Probabilities) -> Self {
        match kind {
            Probabilities::Sigmoid => self.values.par_iter_mut().for_each(|v| *v = 1.0 / (1.0 + (-*v).exp())),
            Probabilities::Softmax => self.softmax(),
        }
        self
    }

    fn softmax(&mut self) {
        let voxels: usize = self.shape.iter().product();
        for voxel in 0..voxels {
            let of_class = |class: usize| class * voxels + voxel;
            let largest = (0..self.classes).map(|class| self.values[of_class(class)]).fold(f32::MIN, f32::max);
            let mut sum = 0.0;
            for class in 0..self.classes {
                let value = (self.values[of_class(class)] - largest).exp();
                self.values[of_class(class)] = value;
                sum += value;
            }
            for class in 0..self.classes {
                self.values[of_class(class)] /= sum;
            }
        }
    }

    /// The label of the most probable class at each voxel of the image file; what the preprocessing cut away is background.
    ///
    /// Between voxels of the preprocessed grid, values are interpolated linearly. `labels[k]` is the
    /// value of class `k + 1`. Of equally probable classes the first wins. The result is `[x, y, z]`
    /// on the source grid of `origin`.
    ///
    /// # Panics
    /// When the preprocessing squashes space flat, which no transform does.
    pub fn label_map(&self, origin: &Origin, labels: &[Label]) -> Vec<Label> {
        assert!(origin.bends.is_empty(), "preprocessing leaves nothing to chance, so it displaces nothing at random");
        let to_outgoing = origin.map.inverse().expect("no transform squashes space flat");
        let [_, size_y, size_z] = origin.source_shape;
        let mut map = vec![0; origin.source_shape.iter().product()];
        map.par_chunks_mut(size_y * size_z).enumerate().for_each(|(x, slice)| {
            let mut scores = vec![0.0; self.classes];
            for (y, row) in slice.chunks_exact_mut(size_z).enumerate() {
                for (z, label) in row.iter_mut().enumerate() {
                    let point = to_outgoing.apply([x as f64, y as f64, z as f64]);
                    if let Some(corners) = Corners::around(point, self.shape) {
                        self.interpolate(&corners, &mut scores);
                        *label = match first_largest(&scores) {
                            0 => 0,
                            class => labels[class - 1],
                        };
                    }
                }
            }
        });
        map
    }

    fn interpolate(&self, corners: &Corners, scores: &mut [f32]) {
        let voxels: usize = self.shape.iter().product();
        for (class, score) in scores.iter_mut().enumerate() {
            let values = &self.values[class * voxels..];
            *score = corners.offsets.iter().zip(corners.weights).map(|(&offset, weight)| values[offset] * weight).sum();
        }
    }
}

fn first_largest(scores: &[f32]) -> usize {
    let mut best = 0;
    for (class, &score) in scores.iter().enumerate() {
        if score > scores[best] {
            best = class;
        }
    }
    best
}

/// The eight voxels around a point and their shares in a linear interpolation.
struct Corners {
    offsets: [usize; 8],
    weights: [f32; 8],
}

impl Corners {
    /// The corners of a point within half a voxel of the grid; those that stick out are moved onto it.
    fn around(point: [f64; 3], shape: [usize; 3]) -> Option<Self> {
        let mut low = [0; 3];
        let mut high = [0; 3];
        let mut share = [0.0; 3];
        for axis in 0..3 {
            let last = shape[axis] as f64 - 1.0;
            // Grids that share their edges meet here only up to rounding.
            if point[axis] < -0.5 - 1e-6 || point[axis] > last + 0.5 + 1e-6 {
                return None;
            }
            let position = point[axis].clamp(0.0, last);
            low[axis] = position as usize;
            high[axis] = (low[axis] + 1).min(shape[axis] - 1);
            share[axis] = position - low[axis] as f64;
        }
        let mut corners = Corners { offsets: [0; 8], weights: [0.0; 8] };
        for corner in 0..8 {
            let mut index = [0; 3];
            let mut weight = 1.0;
            for axis in 0..3 {
                let upper = corner >> axis & 1 == 1;
                index[axis] = if upper { high[axis] } else { low[axis] };
                weight *= if upper { share[axis] } else { 1.0 - share[axis] };
            }
            corners.offsets[corner] = crate::data::volume::offset(shape, index);
            corners.weights[corner] = weight as f32;
        }
        Some(corners)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::volume::Affine;

    /// Logits that say `labels[voxel]` with certainty.
    fn certain(shape: [usize; 3], classes: usize, class_of: impl Fn(usize) -> usize) -> Logits {
        let voxels: usize = shape.iter().product();
        let mut values = vec![0.0; classes * voxels];
        for voxel in 0..voxels {
            values[class_of(voxel) * voxels + voxel] = 10.0;
        }
        Logits { classes, shape, values }
    }

    #[test]
    fn without_preprocessing_the_largest_class_is_the_label() {
        let logits = certain([2, 3, 4], 3, |voxel| voxel % 3);
        let map = logits.label_map(&Origin::identity([2, 3, 4]), &[7, 9]);
        assert_eq!(map[..6], [0, 7, 9, 0, 7, 9]);
    }

    #[test]
    fn what_a_crop_cut_away_is_background() {
        // The preprocessed grid holds the source's voxels 1..3 along x.
        let origin = Origin {
            shape: [2, 1, 1],
            map: Affine::scale_and_shift([1.0; 3], [1.0, 0.0, 0.0]),
            ..Origin::identity([4, 1, 1])
        };
        assert_eq!(certain([2, 1, 1], 2, |_| 1).label_map(&origin, &[5]), [0, 5, 5, 0]);
    }

    #[test]
    fn a_coarser_grid_is_interpolated_linearly() {
        // Two preprocessed voxels cover six source voxels; the classes meet in the middle.
        let origin = Origin {
            shape: [2, 1, 1],
            map: Affine::scale_and_shift([3.0, 1.0, 1.0], [1.0, 0.0, 0.0]),
            ..Origin::identity([6, 1, 1])
        };
        let logits = certain([2, 1, 1], 2, |voxel| voxel).into_probabilities(Probabilities::Softmax);
        assert_eq!(logits.label_map(&origin, &[1]), [0, 0, 0, 1, 1, 1]);
    }

    #[test]
    fn a_softmax_sums_to_one() {
        let logits = Logits { classes: 3, shape: [1, 1, 2], values: vec![1.0, -50.0, 2.0, 800.0, 3.0, 0.5] };
        let probabilities = logits.into_probabilities(Probabilities::Softmax).values;
        for voxel in 0..2 {
            let sum: f32 = (0..3).map(|class| probabilities[class * 2 + voxel]).sum();
            assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        }
    }

    #[test]
    fn the_network_sees_every_voxel_once_where_windows_do_not_overlap() {
        let image = Voxels::new(1, [4, 4, 4], (0..64).map(|v| v as f32).collect());
        let inference = Inference { overlap: crate::value::Share::new(0.0).unwrap(), ..Inference::default() };
        let mut seen = 0;
        let result = logits(&image, [2, 2, 2], 1, &inference, |batch, count| {
            seen += count;
            Ok::<_, std::convert::Infallible>(batch)
        });
        assert_eq!(seen, 8);
        let worst = image.iter().zip(&result.unwrap().values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4);
    }
}
