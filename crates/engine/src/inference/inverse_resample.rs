//! Resampling predictions from the preprocessed grid back to the grid of the image file.

use rayon::prelude::*;

use super::blend::Planes;
use transforms::lazy::IndexMapping;
use volume::{Affine, Label, offset};

/// Resamples planes of the preprocessed grid, as they are finished, to voxels of the image file.
///
/// Interpolation is linear. Each voxel of the file is computed once, when both planes around it are finished; voxels
/// outside the preprocessed grid, such as those that a crop removed, are never computed.
#[derive(Debug)]
pub struct InverseResampler<'a> {
    mapping: &'a IndexMapping,
    to_preprocessed: Affine,
}

impl<'a> InverseResampler<'a> {
    /// Creates a resampler from the grid after a preprocess chain to the one before it.
    ///
    /// # Panics
    /// When the mapping is singular or displaces voxels at random, which no preprocess chain does.
    pub fn new(mapping: &'a IndexMapping) -> Self {
        assert!(mapping.displacements.is_empty(), "preprocessing is deterministic, so it has no random displacements");
        let to_preprocessed = mapping.map.inverse().expect("no transform has a singular matrix");
        Self { mapping, to_preprocessed }
    }

    /// Writes the label of each voxel of the file that the planes complete; `map` is `[x, y, z]`. `decide` receives the values of
    /// the classes of a voxel and writes its label.
    pub fn write_labels(&self, planes: &Planes, map: &mut [Label], decide: impl Fn(&mut [f32], &mut [Label]) + Sync) {
        let [_, size_y, size_z] = self.mapping.source_shape;
        let mut slices: Vec<&mut [Label]> = map.chunks_exact_mut(size_y * size_z).collect();
        self.for_each_voxel(planes, &mut slices, |slice, voxel, scores| {
            decide(scores, std::slice::from_mut(&mut slice[voxel]));
        });
    }

    /// Adds `factor` times the probabilities of each voxel of the file that the planes complete; `sums` is
    /// `[class, x, y, z]`. `activate` converts the values of the classes of a voxel to probabilities.
    pub fn add_probabilities(
        &self,
        planes: &Planes,
        factor: f32,
        sums: &mut [f32],
        activate: impl Fn(&mut [f32]) + Sync,
    ) {
        let [size_x, size_y, size_z] = self.mapping.source_shape;
        let mut slices: Vec<Vec<&mut [f32]>> = (0..size_x).map(|_| Vec::with_capacity(planes.classes)).collect();
        for sums in sums.chunks_exact_mut(size_x * size_y * size_z) {
            slices.iter_mut().zip(sums.chunks_exact_mut(size_y * size_z)).for_each(|(all, one)| all.push(one));
        }
        self.for_each_voxel(planes, &mut slices, |slices, voxel, scores| {
            activate(scores);
            slices.iter_mut().zip(scores).for_each(|(sums, score)| sums[voxel] += factor * *score);
        });
    }

    /// Adds `factor` to the background probability of each voxel outside the preprocessed grid; `shape` is that of the
    /// grid, `background` is `[x, y, z]`.
    pub fn add_background_outside(&self, shape: [usize; 3], factor: f32, background: &mut [f32]) {
        let [_, size_y, size_z] = self.mapping.source_shape;
        background.par_chunks_exact_mut(size_y * size_z).enumerate().for_each(|(x, slice)| {
            for (voxel, sum) in slice.iter_mut().enumerate() {
                if Corners::around(self.preprocessed([x, voxel / size_z, voxel % size_z]), shape).is_none() {
                    *sum += factor;
                }
            }
        });
    }

    /// Returns the position of a voxel of the file on the preprocessed grid.
    fn preprocessed(&self, voxel: [usize; 3]) -> [f64; 3] {
        self.to_preprocessed.apply(voxel.map(|index| index as f64))
    }

    /// Calls `write` for each voxel of the file that the planes complete: with its slice along x, its index in the
    /// slice and its probabilities.
    fn for_each_voxel<S: Send>(
        &self,
        planes: &Planes,
        slices: &mut [S],
        write: impl Fn(&mut S, usize, &mut [f32]) + Sync,
    ) {
        let (done, end) = (planes.first + planes.num_repeated, planes.end());
        let [along_x, along_y, along_z] = self.source_box(planes);
        let size_z = self.mapping.source_shape[2];
        slices[along_x.clone()].par_iter_mut().zip(along_x).for_each(|(slice, x)| {
            let mut scores = vec![0.0; planes.classes];
            for y in along_y.clone() {
                for z in along_z.clone() {
                    let Some(corners) = Corners::around(self.preprocessed([x, y, z]), planes.shape) else { continue };
                    if (done..end).contains(&corners.high[0]) {
                        corners.interpolate(planes, &mut scores);
                        write(slice, y * size_z + z, &mut scores);
                    }
                }
            }
        });
    }

    /// Returns a box around all voxels of the file that the planes complete.
    fn source_box(&self, planes: &Planes) -> [std::ops::Range<usize>; 3] {
        let [_, size_y, size_z] = planes.shape;
        let done = (planes.first + planes.num_repeated) as f64;
        // Voxels before the first plane are computed together with the second.
        let low = [if done > 1.0 { done - 1.0 } else { -1.0 }, -1.0, -1.0];
        let high = [planes.end() as f64, size_y as f64, size_z as f64];
        let (low, high) = self.mapping.map.map_box(low, high);
        std::array::from_fn(|axis| {
            let size = self.mapping.source_shape[axis];
            let bound = |value: f64| value.clamp(0.0, size as f64) as usize;
            bound(low[axis].floor())..bound(high[axis].ceil() + 1.0)
        })
    }
}

/// The eight voxels around a point of the preprocessed grid, and its interpolation weights for the upper ones.
struct Corners {
    low: [usize; 3],
    high: [usize; 3],
    weight: [f64; 3],
}

impl Corners {
    /// Returns the corners around a point, clamped to the grid; `None` more than half a voxel outside.
    fn around(point: [f64; 3], shape: [usize; 3]) -> Option<Self> {
        let mut corners = Corners { low: [0; 3], high: [0; 3], weight: [0.0; 3] };
        for axis in 0..3 {
            let last = shape[axis] as f64 - 1.0;
            // The edges of two grids may coincide only up to rounding.
            if point[axis] < -0.5 - 1e-6 || point[axis] > last + 0.5 + 1e-6 {
                return None;
            }
            let position = point[axis].clamp(0.0, last);
            corners.low[axis] = position as usize;
            corners.high[axis] = (corners.low[axis] + 1).min(shape[axis] - 1);
            corners.weight[axis] = position - corners.low[axis] as f64;
        }
        Some(corners)
    }

    fn interpolate(&self, planes: &Planes, scores: &mut [f32]) {
        let [_, size_y, size_z] = planes.shape;
        let at = |[x, y, z]: [usize; 3]| offset([0, size_y, size_z], [(x - planes.first) * planes.classes, y, z]);
        let plane = size_y * size_z;
        if self.weight == [0.0; 3] {
            let first = at(self.low);
            return scores.iter_mut().enumerate().for_each(|(k, score)| *score = planes.values[first + k * plane]);
        }
        scores.fill(0.0);
        for corner in 0..8 {
            let is_upper = |axis: usize| corner >> axis & 1 == 1;
            let along = |axis: usize| if is_upper(axis) { self.weight[axis] } else { 1.0 - self.weight[axis] };
            let weight = (along(0) * along(1) * along(2)) as f32;
            // A corner without weight may be past the last voxel.
            if weight > 0.0 {
                let index = |axis: usize| if is_upper(axis) { self.high[axis] } else { self.low[axis] };
                let first = at([index(0), index(1), index(2)]);
                for (class, score) in scores.iter_mut().enumerate() {
                    *score += weight * planes.values[first + class * plane];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes planes `[x, class, y, z]` on in slabs of `slab` planes.
    fn in_slabs(shape: [usize; 3], values: &[f32], classes: usize, slab: usize, mut take: impl FnMut(&Planes)) {
        let plane = classes * shape[1] * shape[2];
        for start in (0..shape[0]).step_by(slab) {
            let first = start.saturating_sub(1);
            let end = (start + slab).min(shape[0]);
            take(&Planes {
                first,
                num_repeated: start - first,
                classes,
                shape,
                values: &values[first * plane..end * plane],
            });
        }
    }

    fn largest(scores: &mut [f32], label: &mut [Label]) {
        let largest = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)));
        label[0] = largest.unwrap() as Label;
    }

    fn resampled(mapping: &IndexMapping, classes: usize, values: &[f32], slab: usize) -> Vec<Label> {
        let mut map = vec![9; mapping.source_shape.iter().product()];
        let resampler = InverseResampler::new(mapping);
        in_slabs(mapping.shape, values, classes, slab, |planes| resampler.write_labels(planes, &mut map, largest));
        map
    }

    /// Probabilities `[x, class, y, z]` of 1 for `class_of([x, y, z])` and 0 for other classes.
    fn certain(shape: [usize; 3], classes: usize, class_of: impl Fn([usize; 3]) -> usize) -> Vec<f32> {
        let mut values = Vec::new();
        for x in 0..shape[0] {
            for class in 0..classes {
                for y in 0..shape[1] {
                    values.extend((0..shape[2]).map(|z| f32::from(class_of([x, y, z]) == class)));
                }
            }
        }
        values
    }

    #[test]
    fn without_preprocessing_each_voxel_has_its_own_class() {
        let shape = [5, 3, 4];
        let class_of = |[x, y, z]: [usize; 3]| (x + 2 * y + z) % 3;
        let expected: Vec<Label> =
            (0..60).map(|voxel| class_of([voxel / 12, voxel / 4 % 3, voxel % 4]) as Label).collect();
        for slab in 1..=5 {
            assert_eq!(resampled(&IndexMapping::identity(shape), 3, &certain(shape, 3, class_of), slab), expected);
        }
    }

    #[test]
    fn voxels_that_a_crop_removed_are_not_computed() {
        // The preprocessed grid has the voxels 1..3 of the source along x.
        let affine = Affine::scale_and_shift([1.0; 3], [1.0, 0.0, 0.0]);
        let mapping = IndexMapping::affine(affine, [2, 1, 1], [4, 1, 1]);
        assert_eq!(resampled(&mapping, 2, &certain([2, 1, 1], 2, |_| 1), 1), [9, 1, 1, 9]);
    }

    #[test]
    fn a_coarser_grid_is_interpolated_linearly_however_thick_the_slabs() {
        // Two preprocessed voxels cover six source voxels; the classes meet in the middle.
        let mapping =
            IndexMapping::affine(Affine::scale_and_shift([3.0, 1.0, 1.0], [1.0, 0.0, 0.0]), [2, 1, 1], [6, 1, 1]);
        for slab in [1, 2] {
            assert_eq!(resampled(&mapping, 2, &certain([2, 1, 1], 2, |[x, _, _]| x), slab), [0, 0, 0, 1, 1, 1]);
        }
    }

    #[test]
    fn permuted_and_flipped_axes_are_restored() {
        // Preprocessed (x, y, z) is source (z, 3 - x, y).
        let affine = Affine([[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 3.0], [0.0, 1.0, 0.0, 0.0]]);
        let mapping = IndexMapping::affine(affine, [4, 5, 3], [3, 4, 5]);
        let class_of = |[x, y, z]: [usize; 3]| (3 * x + 5 * y + z) % 4;
        let labels = resampled(&mapping, 4, &certain([4, 5, 3], 4, class_of), 2);
        for (voxel, label) in labels.into_iter().enumerate() {
            let [x, y, z] = [voxel / 20, voxel / 5 % 4, voxel % 5];
            assert_eq!(usize::from(label), class_of([3 - y, z, x]));
        }
    }

    #[test]
    fn probabilities_of_every_voxel_sum_to_one() {
        let mapping =
            IndexMapping::affine(Affine::scale_and_shift([1.7, 0.9, 1.0], [0.6, 0.2, 0.0]), [3, 2, 2], [7, 3, 2]);
        let values = certain([3, 2, 2], 2, |[x, y, _]| (x + y) % 2);
        let resampler = InverseResampler::new(&mapping);
        let mut sums = vec![0.0; 84];
        for factor in [0.25, 0.75] {
            in_slabs(mapping.shape, &values, 2, 1, |planes| {
                resampler.add_probabilities(planes, factor, &mut sums, |_| ());
            });
            resampler.add_background_outside(mapping.shape, factor, &mut sums[..42]);
        }
        assert!((0..42).all(|voxel| (sums[voxel] + sums[42 + voxel] - 1.0).abs() < 1e-6), "{sums:?}");
    }
}
