//! A scene at a lower resolution, for volumes that a browser holds only slowly.

use rayon::prelude::*;

use crate::viewer::scene::Scene;
use volume::{Affine, Grid, Label, Voxels};

/// Axes whose voxels are at most this much longer than the shortest are reduced together.
const NEARLY_EQUAL: f64 = 1.5;

/// A scene of at most so many voxels, and how many along right, front and head became one.
///
/// The finest axes are halved until it is small enough. An intensity is the mean of its voxels, a label
/// that of the voxel in their middle.
pub(super) fn reduced(scene: &Scene, most_voxels: usize) -> (Scene, [usize; 3]) {
    let grid = scene.grid();
    let spacing = grid.spacing();
    let mut factors = [1; 3];
    let shape =
        |factors: [usize; 3]| -> [usize; 3] { std::array::from_fn(|axis| grid.shape[axis].div_ceil(factors[axis])) };
    while shape(factors).iter().product::<usize>() > most_voxels {
        let length = |axis: usize| spacing[axis] * factors[axis] as f64;
        let longer = (0..3).filter(|&axis| shape(factors)[axis] > 1);
        let shortest = longer.clone().map(length).fold(f64::INFINITY, f64::min);
        let chosen: Vec<usize> = longer.filter(|&axis| length(axis) <= NEARLY_EQUAL * shortest).collect();
        chosen.into_iter().for_each(|axis| factors[axis] *= 2);
    }
    if factors == [1; 3] {
        return (scene.clone(), factors);
    }
    let scale = factors.map(|factor| factor as f64);
    let to_middle = Affine::scale_and_shift(scale, scale.map(|factor| (factor - 1.0) / 2.0));
    let blocks = Blocks { scene, whole: grid.shape, factors, shape: shape(factors) };
    let label = scene.label.as_ref().map(|map| blocks.middles(map));
    let prediction = scene.prediction.as_ref().map(|map| blocks.middles(map));
    let outgoing = Grid { shape: blocks.shape, affine: grid.affine.after(&to_middle) };
    let image = blocks.means(scene.image.channel(0));
    let mut small = Scene::new(&outgoing, &image, label.as_ref(), prediction.as_ref());
    small.window = scene.window;
    small.names.clone_from(&scene.names);
    small.is_hounsfield = scene.is_hounsfield;
    (small, factors)
}

/// The voxels of a scene in blocks.
struct Blocks<'a> {
    scene: &'a Scene,
    whole: [usize; 3],
    factors: [usize; 3],
    shape: [usize; 3],
}

impl Blocks<'_> {
    fn means(&self, stored: &[f32]) -> Voxels<f32> {
        self.each(|first, end| {
            let (mut sum, mut count) = (0.0, 0.0);
            for x in first[0]..end[0] {
                for y in first[1]..end[1] {
                    for z in first[2]..end[2] {
                        sum += f64::from(stored[self.place([x, y, z])]);
                        count += 1.0;
                    }
                }
            }
            (sum / count) as f32
        })
    }

    fn middles(&self, stored: &[Label]) -> Voxels<Label> {
        self.each(|first, end| {
            stored[self.place(std::array::from_fn(|axis| usize::midpoint(first[axis], end[axis] - 1)))]
        })
    }

    /// A value for each block, from its first voxel and the one after its last.
    fn each<T: bytemuck::Pod + Send>(&self, value: impl Fn([usize; 3], [usize; 3]) -> T + Sync) -> Voxels<T> {
        let [_, height, depth] = self.shape;
        let block = |place: usize| {
            let index = [place / (height * depth), place / depth % height, place % depth];
            let first: [usize; 3] = std::array::from_fn(|axis| index[axis] * self.factors[axis]);
            let end = std::array::from_fn(|axis| (first[axis] + self.factors[axis]).min(self.whole[axis]));
            value(first, end)
        };
        let values = (0..self.shape.iter().product()).into_par_iter().map(block).collect();
        Voxels::new(1, self.shape, values)
    }

    /// Where a voxel is stored.
    fn place(&self, index: [usize; 3]) -> usize {
        let strides = self.scene.strides();
        (self.scene.start() + (0..3).map(|axis| index[axis] as isize * strides[axis]).sum::<isize>()) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::Plane;

    #[test]
    fn the_finest_axes_are_halved_together_until_it_is_small_enough() {
        let grid = Grid { shape: [8, 6, 3], affine: Affine::scale_and_shift([-0.5, 0.5, 3.0], [3.5, 0.0, 0.0]) };
        let values: Vec<f32> = (0..grid.num_voxels()).map(|place| (place / 18) as f32).collect();
        let label = Voxels::new(1, grid.shape, vec![1; grid.num_voxels()]);
        let scene = Scene::new(&grid, &Voxels::new(1, grid.shape, values), Some(&label), None);
        assert_eq!(reduced(&scene, 144).1, [1, 1, 1]);
        let (small, factors) = reduced(&scene, 50);
        assert_eq!((factors, small.grid().shape), ([2, 2, 1], [4, 3, 3]));
        // Voxels 0 and 1 of the file lie rightmost.
        assert_eq!(small.slice(Plane::Axial, 0).values[..4], [0.5, 2.5, 4.5, 6.5]);
        // The middle of the first block lies between its voxels.
        assert_eq!(small.grid().affine.origin(), [0.25, 0.25, 0.0]);
        assert_eq!(small.tally().labels[&1].label, 36);
    }
}
