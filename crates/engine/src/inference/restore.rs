//! From planes of the preprocessed volume back to the grid of the image file.

use rayon::prelude::*;

use super::blend::Planes;
use transforms::lazy::IndexMapping;
use volume::{Affine, Label, offset};

/// Carries planes, as they come, to the voxels of the image file that lie among them.
///
/// Between voxels of the preprocessed grid, values are interpolated linearly. A voxel of the file takes its turn once,
/// when both planes around it are there; one that the preprocessing cut away has none.
#[derive(Debug)]
pub struct Restorer<'a> {
    origin: &'a IndexMapping,
    to_outgoing: Affine,
}

impl<'a> Restorer<'a> {
    /// From the grid after a preprocess chain to the one before it.
    ///
    /// # Panics
    /// When the preprocessing squashes space flat or displaces it at random, which no preprocess chain does.
    pub fn new(origin: &'a IndexMapping) -> Self {
        assert!(
            origin.displacements.is_empty(),
            "preprocessing leaves nothing to chance, so it displaces nothing at random"
        );
        let to_outgoing = origin.map.inverse().expect("no transform squashes space flat");
        Self { origin, to_outgoing }
    }

    /// Chooses a label for each voxel of the file among the planes; `map` is `[x, y, z]`.
    pub fn label(&self, planes: &Planes, map: &mut [Label], choose: impl Fn(&[f32]) -> Label + Sync) {
        let [_, size_y, size_z] = self.origin.source_shape;
        let mut slices: Vec<&mut [Label]> = map.chunks_exact_mut(size_y * size_z).collect();
        self.each(planes, &mut slices, |slice, voxel, scores| slice[voxel] = choose(scores));
    }

    /// Adds a share of the probabilities of each voxel of the file among the planes; `sums` is `[class, x, y, z]`.
    pub fn add(&self, planes: &Planes, share: f32, sums: &mut [f32]) {
        let [size_x, size_y, size_z] = self.origin.source_shape;
        let mut slices: Vec<Vec<&mut [f32]>> = (0..size_x).map(|_| Vec::with_capacity(planes.classes)).collect();
        for of_class in sums.chunks_exact_mut(size_x * size_y * size_z) {
            slices.iter_mut().zip(of_class.chunks_exact_mut(size_y * size_z)).for_each(|(all, one)| all.push(one));
        }
        self.each(planes, &mut slices, |slices, voxel, scores| {
            slices.iter_mut().zip(scores).for_each(|(sums, score)| sums[voxel] += share * score);
        });
    }

    /// Adds a share of certainty to the background of each voxel that the preprocessing cut away; `shape` is that of
    /// the preprocessed grid, `background` is `[x, y, z]`.
    pub fn add_outside(&self, shape: [usize; 3], share: f32, background: &mut [f32]) {
        let [_, size_y, size_z] = self.origin.source_shape;
        background.par_chunks_exact_mut(size_y * size_z).enumerate().for_each(|(x, slice)| {
            for (voxel, sum) in slice.iter_mut().enumerate() {
                if Corners::around(self.outgoing([x, voxel / size_z, voxel % size_z]), shape).is_none() {
                    *sum += share;
                }
            }
        });
    }

    fn outgoing(&self, voxel: [usize; 3]) -> [f64; 3] {
        self.to_outgoing.apply(voxel.map(|index| index as f64))
    }

    /// Calls `put` for each voxel of the file that the planes complete: with the slice along x that it lies in, its place there and its scores.
    fn each<S: Send>(&self, planes: &Planes, slices: &mut [S], put: impl Fn(&mut S, usize, &[f32]) + Sync) {
        let (done, end) = (planes.first + planes.known, planes.end());
        let [along_x, along_y, along_z] = self.source_box(planes);
        let size_z = self.origin.source_shape[2];
        slices[along_x.clone()].par_iter_mut().zip(along_x).for_each(|(slice, x)| {
            let mut scores = vec![0.0; planes.classes];
            for y in along_y.clone() {
                for z in along_z.clone() {
                    let Some(corners) = Corners::around(self.outgoing([x, y, z]), planes.shape) else { continue };
                    if (done..end).contains(&corners.high[0]) {
                        corners.interpolate(planes, &mut scores);
                        put(slice, y * size_z + z, &scores);
                    }
                }
            }
        });
    }

    /// A box of voxels of the file that holds all that the planes complete.
    fn source_box(&self, planes: &Planes) -> [std::ops::Range<usize>; 3] {
        let [_, size_y, size_z] = planes.shape;
        let done = (planes.first + planes.known) as f64;
        // What lies before the first plane waits for the second.
        let low = [if done > 1.0 { done - 1.0 } else { -1.0 }, -1.0, -1.0];
        let high = [planes.end() as f64, size_y as f64, size_z as f64];
        let (low, high) = self.origin.map.map_box(low, high);
        std::array::from_fn(|axis| {
            let size = self.origin.source_shape[axis];
            let bound = |value: f64| value.clamp(0.0, size as f64) as usize;
            bound(low[axis].floor())..bound(high[axis].ceil() + 1.0)
        })
    }
}

/// The voxels around a point of the preprocessed grid, and how near it is to the upper ones.
struct Corners {
    low: [usize; 3],
    high: [usize; 3],
    share: [f64; 3],
}

impl Corners {
    /// Around a point within half a voxel of the grid; corners that stick out are moved onto it.
    fn around(point: [f64; 3], shape: [usize; 3]) -> Option<Self> {
        let mut corners = Corners { low: [0; 3], high: [0; 3], share: [0.0; 3] };
        for axis in 0..3 {
            let last = shape[axis] as f64 - 1.0;
            // Grids that share their edges meet here only up to rounding.
            if point[axis] < -0.5 - 1e-6 || point[axis] > last + 0.5 + 1e-6 {
                return None;
            }
            let position = point[axis].clamp(0.0, last);
            corners.low[axis] = position as usize;
            corners.high[axis] = (corners.low[axis] + 1).min(shape[axis] - 1);
            corners.share[axis] = position - corners.low[axis] as f64;
        }
        Some(corners)
    }

    fn interpolate(&self, planes: &Planes, scores: &mut [f32]) {
        let [_, size_y, size_z] = planes.shape;
        let at = |[x, y, z]: [usize; 3]| offset([0, size_y, size_z], [(x - planes.first) * planes.classes, y, z]);
        let plane = size_y * size_z;
        if self.share == [0.0; 3] {
            let first = at(self.low);
            return scores.iter_mut().enumerate().for_each(|(k, score)| *score = planes.values[first + k * plane]);
        }
        scores.fill(0.0);
        for corner in 0..8 {
            let is_upper = |axis: usize| corner >> axis & 1 == 1;
            let along = |axis: usize| if is_upper(axis) { self.share[axis] } else { 1.0 - self.share[axis] };
            let weight = (along(0) * along(1) * along(2)) as f32;
            // A corner without weight may be the one above the last voxel, which is not there.
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

    /// Planes `[x, class, y, z]`, handed on in slabs of so many planes.
    fn in_slabs(shape: [usize; 3], values: &[f32], classes: usize, slab: usize, mut take: impl FnMut(&Planes)) {
        let plane = classes * shape[1] * shape[2];
        for start in (0..shape[0]).step_by(slab) {
            let first = start.saturating_sub(1);
            let end = (start + slab).min(shape[0]);
            take(&Planes { first, known: start - first, classes, shape, values: &values[first * plane..end * plane] });
        }
    }

    fn largest(scores: &[f32]) -> Label {
        (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a))).unwrap() as Label
    }

    fn restored(origin: &IndexMapping, classes: usize, values: &[f32], slab: usize) -> Vec<Label> {
        let mut map = vec![9; origin.source_shape.iter().product()];
        let restorer = Restorer::new(origin);
        in_slabs(origin.shape, values, classes, slab, |planes| restorer.label(planes, &mut map, largest));
        map
    }

    /// `[x, class, y, z]` that say `class_of([x, y, z])` with certainty.
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
            assert_eq!(restored(&IndexMapping::identity(shape), 3, &certain(shape, 3, class_of), slab), expected);
        }
    }

    #[test]
    fn what_a_crop_cut_away_takes_no_turn() {
        // The preprocessed grid holds the source's voxels 1..3 along x.
        let map = Affine::scale_and_shift([1.0; 3], [1.0, 0.0, 0.0]);
        let origin = IndexMapping::affine(map, [2, 1, 1], [4, 1, 1]);
        assert_eq!(restored(&origin, 2, &certain([2, 1, 1], 2, |_| 1), 1), [9, 1, 1, 9]);
    }

    #[test]
    fn a_coarser_grid_is_interpolated_linearly_however_thick_the_slabs() {
        // Two preprocessed voxels cover six source voxels; the classes meet in the middle.
        let origin =
            IndexMapping::affine(Affine::scale_and_shift([3.0, 1.0, 1.0], [1.0, 0.0, 0.0]), [2, 1, 1], [6, 1, 1]);
        for slab in [1, 2] {
            assert_eq!(restored(&origin, 2, &certain([2, 1, 1], 2, |[x, _, _]| x), slab), [0, 0, 0, 1, 1, 1]);
        }
    }

    #[test]
    fn turned_and_mirrored_axes_come_back() {
        // Outgoing (x, y, z) comes from source (z, 3 - x, y).
        let map = Affine([[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 3.0], [0.0, 1.0, 0.0, 0.0]]);
        let origin = IndexMapping::affine(map, [4, 5, 3], [3, 4, 5]);
        let class_of = |[x, y, z]: [usize; 3]| (3 * x + 5 * y + z) % 4;
        let map = restored(&origin, 4, &certain([4, 5, 3], 4, class_of), 2);
        for (voxel, label) in map.into_iter().enumerate() {
            let [x, y, z] = [voxel / 20, voxel / 5 % 4, voxel % 5];
            assert_eq!(usize::from(label), class_of([3 - y, z, x]));
        }
    }

    #[test]
    fn probabilities_of_every_voxel_sum_to_one() {
        let origin =
            IndexMapping::affine(Affine::scale_and_shift([1.7, 0.9, 1.0], [0.6, 0.2, 0.0]), [3, 2, 2], [7, 3, 2]);
        let values = certain([3, 2, 2], 2, |[x, y, _]| (x + y) % 2);
        let restorer = Restorer::new(&origin);
        let mut sums = vec![0.0; 84];
        for share in [0.25, 0.75] {
            in_slabs(origin.shape, &values, 2, 1, |planes| restorer.add(planes, share, &mut sums));
            restorer.add_outside(origin.shape, share, &mut sums[..42]);
        }
        assert!((0..42).all(|voxel| (sums[voxel] + sums[42 + voxel] - 1.0).abs() < 1e-6), "{sums:?}");
    }
}
