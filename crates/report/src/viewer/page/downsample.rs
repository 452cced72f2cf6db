//! Downsampling of scenes that are too large for a browser.

use rayon::prelude::*;

use crate::viewer::scene::Scene;
use volume::{Affine, Grid, Label, Voxels};

/// Axes whose spacing is at most this factor larger than the finest are downsampled together.
const MAX_SPACING_RATIO: f64 = 1.5;

/// Returns a scene with at most `max_voxels` voxels, and the downsampling factor of each RAS axis.
///
/// The finest axes are halved until the scene is small enough. Intensities are averaged over blocks; labels are those of
/// the central voxel.
pub(super) fn downsampled(scene: &Scene, max_voxels: usize) -> (Scene, [usize; 3]) {
    let grid = scene.grid();
    let spacing = grid.spacing();
    let mut factors = [1; 3];
    let shape =
        |factors: [usize; 3]| -> [usize; 3] { std::array::from_fn(|axis| grid.shape[axis].div_ceil(factors[axis])) };
    while shape(factors).iter().product::<usize>() > max_voxels {
        let length = |axis: usize| spacing[axis] * factors[axis] as f64;
        let divisible = (0..3).filter(|&axis| shape(factors)[axis] > 1);
        let finest = divisible.clone().map(length).fold(f64::INFINITY, f64::min);
        let axes: Vec<usize> = divisible.filter(|&axis| length(axis) <= MAX_SPACING_RATIO * finest).collect();
        axes.into_iter().for_each(|axis| factors[axis] *= 2);
    }
    if factors == [1; 3] {
        return (scene.clone(), factors);
    }
    let scale = factors.map(|factor| factor as f64);
    let to_centre = Affine::scale_and_shift(scale, scale.map(|factor| (factor - 1.0) / 2.0));
    let blocks = Blocks { scene, full_shape: grid.shape, factors, shape: shape(factors) };
    let label = scene.label.as_ref().map(|map| blocks.central_labels(map));
    let prediction = scene.prediction.as_ref().map(|map| blocks.central_labels(map));
    let outgoing = Grid { shape: blocks.shape, affine: grid.affine.after(&to_centre) };
    let image = blocks.means(scene.image.channel(0));
    let mut small = Scene::new(&outgoing, &image, label.as_ref(), prediction.as_ref());
    small.window = scene.window;
    small.names.clone_from(&scene.names);
    small.is_hounsfield = scene.is_hounsfield;
    (small, factors)
}

/// The voxels of a scene in blocks; each block becomes one voxel.
struct Blocks<'a> {
    scene: &'a Scene,
    full_shape: [usize; 3],
    factors: [usize; 3],
    shape: [usize; 3],
}

impl Blocks<'_> {
    fn means(&self, stored: &[f32]) -> Voxels<f32> {
        self.map(|first, end| {
            let (mut sum, mut count) = (0.0, 0.0);
            for x in first[0]..end[0] {
                for y in first[1]..end[1] {
                    for z in first[2]..end[2] {
                        sum += f64::from(stored[self.storage_index([x, y, z])]);
                        count += 1.0;
                    }
                }
            }
            (sum / count) as f32
        })
    }

    fn central_labels(&self, stored: &[Label]) -> Voxels<Label> {
        self.map(|first, end| {
            stored[self.storage_index(std::array::from_fn(|axis| usize::midpoint(first[axis], end[axis] - 1)))]
        })
    }

    /// Computes a value per block, from its first voxel and the voxel after its last.
    fn map<T: bytemuck::Pod + Send>(&self, value: impl Fn([usize; 3], [usize; 3]) -> T + Sync) -> Voxels<T> {
        let [_, height, depth] = self.shape;
        let block = |block: usize| {
            let index = [block / (height * depth), block / depth % height, block % depth];
            let first: [usize; 3] = std::array::from_fn(|axis| index[axis] * self.factors[axis]);
            let end = std::array::from_fn(|axis| (first[axis] + self.factors[axis]).min(self.full_shape[axis]));
            value(first, end)
        };
        let values = (0..self.shape.iter().product()).into_par_iter().map(block).collect();
        Voxels::new(1, self.shape, values)
    }

    /// Returns the storage index of a voxel.
    fn storage_index(&self, index: [usize; 3]) -> usize {
        let strides = self.scene.strides();
        (self.scene.start() + (0..3).map(|axis| index[axis] as isize * strides[axis]).sum::<isize>()) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::{LabelCounts, Plane};

    #[test]
    fn the_finest_axes_are_halved_together_until_the_scene_is_small_enough() {
        let grid = Grid { shape: [8, 6, 3], affine: Affine::scale_and_shift([-0.5, 0.5, 3.0], [3.5, 0.0, 0.0]) };
        let values: Vec<f32> = (0..grid.num_voxels()).map(|voxel| (voxel / 18) as f32).collect();
        let label = Voxels::new(1, grid.shape, vec![1; grid.num_voxels()]);
        let scene = Scene::new(&grid, &Voxels::new(1, grid.shape, values), Some(&label), None);
        assert_eq!(downsampled(&scene, 144).1, [1, 1, 1]);
        let (small, factors) = downsampled(&scene, 50);
        assert_eq!((factors, small.grid().shape), ([2, 2, 1], [4, 3, 3]));
        // Voxels 0 and 1 of the file are rightmost.
        assert_eq!(small.slice(Plane::Axial, 0).values[..4], [0.5, 2.5, 4.5, 6.5]);
        // The centre of the first block is between its voxels.
        assert_eq!(small.grid().affine.origin(), [0.25, 0.25, 0.0]);
        assert_eq!(LabelCounts::of(&small).labels[&1].label, 36);
    }
}
