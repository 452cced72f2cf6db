//! What is shown: an image with its label maps, turned as a radiologist looks at it.

use std::collections::BTreeMap;

use super::label_counts::LabelCounts;
use super::picture::Slice;
use super::window::{Window, look_like_hounsfield};
use volume::orientation::{AxisOrientation, axes_to_ras};
use volume::{Affine, Grid, Label, Voxels};

/// How a volume is cut into slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// Across the body, from the feet to the head.
    Axial,
    /// From the back to the front.
    Coronal,
    /// From the left to the right.
    Sagittal,
}

impl Plane {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 3] = [Self::Axial, Self::Coronal, Self::Sagittal];

    /// The axes of right, front and head that run along columns, along rows and through the slices.
    pub fn axes(self) -> [usize; 3] {
        match self {
            Self::Axial => [0, 1, 2],
            Self::Coronal => [0, 2, 1],
            Self::Sagittal => [1, 2, 0],
        }
    }

    /// What lies to the left, to the right, above and below: by radiological convention the patient's
    /// right or front is on the left.
    pub fn letters(self) -> [char; 4] {
        match self {
            Self::Axial => ['R', 'L', 'A', 'P'],
            Self::Coronal => ['R', 'L', 'S', 'I'],
            Self::Sagittal => ['A', 'P', 'S', 'I'],
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Axial => "axial",
            Self::Coronal => "coronal",
            Self::Sagittal => "sagittal",
        }
    }
}

/// An image and, where they are known, its label map and a prediction of it.
///
/// Voxels stay where they were read; they are looked at along the axes right, front and head that
/// follow the grid's most closely, so nothing is interpolated and an oblique grid stays oblique.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The intensities that become black and white.
    pub window: Window,
    /// Names of labels; one without a name is told by its value.
    pub names: BTreeMap<Label, String>,
    /// Whether the intensities look like Hounsfield units.
    pub is_hounsfield: bool,
    pub(super) stored: Grid,
    pub(super) image: Voxels<f32>,
    pub(super) label: Option<Voxels<Label>>,
    pub(super) prediction: Option<Voxels<Label>>,
    turns: [AxisOrientation; 3],
}

impl Scene {
    /// The first channel of an image on a grid, and label maps on the same grid, in a window that suits the image.
    ///
    /// # Panics
    /// When the arrays differ in shape from the grid.
    pub fn new(
        grid: &Grid,
        image: &Voxels<f32>,
        label: Option<&Voxels<Label>>,
        prediction: Option<&Voxels<Label>>,
    ) -> Self {
        let maps = label.into_iter().chain(prediction).map(|map| map.shape);
        assert!(maps.chain([image.shape]).all(|shape| shape == grid.shape), "image and label maps lie on one grid");
        let values = image.channel(0);
        Self {
            window: Window::automatic(values),
            names: BTreeMap::new(),
            is_hounsfield: look_like_hounsfield(values),
            stored: *grid,
            image: image.clone(),
            label: label.cloned(),
            prediction: prediction.cloned(),
            turns: axes_to_ras(&grid.affine),
        }
    }

    /// The grid with axes that run to the right, to the front and to the head.
    pub fn grid(&self) -> Grid {
        let mut rows = [[0.0; 4]; 3];
        for (axis, turn) in self.turns.iter().enumerate() {
            let size = self.stored.shape[turn.source_axis] as f64;
            rows[turn.source_axis][axis] = if turn.flipped { -1.0 } else { 1.0 };
            rows[turn.source_axis][3] = if turn.flipped { size - 1.0 } else { 0.0 };
        }
        let shape = self.turns.map(|turn| self.stored.shape[turn.source_axis]);
        Grid { shape, affine: self.stored.affine.after(&Affine(rows)) }
    }

    /// For right, front and head: the axis of the file, and whether it runs backwards.
    pub fn turns(&self) -> [AxisOrientation; 3] {
        self.turns
    }

    /// How many slices a plane has.
    pub fn num_slices(&self, plane: Plane) -> usize {
        self.grid().shape[plane.axes()[2]]
    }

    /// Where the middle of a slice lies in the world, in mm along the axis through the slices.
    pub fn position_mm(&self, plane: Plane, index: usize) -> f64 {
        let [_, _, through] = plane.axes();
        let grid = self.grid();
        let mut middle = grid.shape.map(|size| (size as f64 - 1.0) / 2.0);
        middle[through] = index as f64;
        grid.affine.apply(middle)[through]
    }

    /// A slice as it is looked at, counted from the feet, the back or the left.
    ///
    /// # Panics
    /// When the plane has no such slice.
    pub fn slice(&self, plane: Plane, index: usize) -> Slice {
        let [columns, rows, _] = plane.axes();
        let Grid { shape, affine } = self.grid();
        let spacing = affine.spacing();
        let walk = self.walk(plane, index);
        Slice {
            size: [shape[columns], shape[rows]],
            spacing: [spacing[columns], spacing[rows]],
            values: walk.take(self.image.channel(0)),
            fill: self.label.as_ref().map(|label| walk.take(label)),
            contour: self.prediction.as_ref().map(|prediction| walk.take(prediction)),
        }
    }

    /// How the label maps lie in the slices.
    pub fn tally(&self) -> LabelCounts {
        LabelCounts::new(self)
    }

    /// The name of a label.
    pub fn name(&self, label: Label) -> String {
        self.names.get(&label).map_or_else(|| format!("label {label}"), |name| name.replace('_', " "))
    }

    /// The way through the stored voxels of a slice, from its upper left.
    fn walk(&self, plane: Plane, index: usize) -> Walk {
        let shape = self.grid().shape;
        let [columns, rows, through] = plane.axes();
        assert!(index < shape[through], "{} slices are counted from 0 to {}", plane.name(), shape[through] - 1);
        let strides = self.strides();
        // Right, front and head lie to the left and above, so both run backwards.
        let mut first = shape.map(|size| size as isize - 1);
        first[through] = index as isize;
        let start = self.start() + (0..3).map(|axis| first[axis] * strides[axis]).sum::<isize>();
        Walk { start, size: [shape[columns], shape[rows]], step: [-strides[columns], -strides[rows]] }
    }

    /// Where the voxel furthest to the left, back and feet is stored.
    pub(super) fn start(&self) -> isize {
        let strides = self.strides();
        let shape = self.grid().shape;
        let backwards = (0..3).filter(|&axis| self.turns[axis].flipped);
        backwards.map(|axis| -strides[axis] * (shape[axis] as isize - 1)).sum()
    }

    /// How many stored voxels lie between neighbours along right, front and head.
    pub(super) fn strides(&self) -> [isize; 3] {
        let [_, height, depth] = self.stored.shape.map(|size| size as isize);
        let stored = [height * depth, depth, 1];
        self.turns.map(|turn| if turn.flipped { -stored[turn.source_axis] } else { stored[turn.source_axis] })
    }
}

/// A way through the stored voxels of a slice.
struct Walk {
    start: isize,
    size: [usize; 2],
    /// From a voxel to the next of its row, and of its column.
    step: [isize; 2],
}

impl Walk {
    /// The voxels of the slice, row by row.
    fn take<T: Copy>(&self, stored: &[T]) -> Vec<T> {
        let [columns, rows] = self.size.map(|size| size as isize);
        let place = |row: isize, column: isize| (self.start + row * self.step[1] + column * self.step[0]) as usize;
        (0..rows).flat_map(|row| (0..columns).map(move |column| stored[place(row, column)])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A volume whose values are the world coordinates of its voxels: 1 x + 10 y + 100 z.
    fn scene(shape: [usize; 3], affine: Affine) -> Scene {
        let [_, height, depth] = shape;
        let value = |place: usize| {
            let index = [place / (height * depth), place / depth % height, place % depth];
            let [x, y, z] = affine.apply(index.map(|index| index as f64));
            (x + 10.0 * y + 100.0 * z) as f32
        };
        let values = (0..shape.iter().product()).map(value).collect();
        Scene::new(&Grid { shape, affine }, &Voxels::new(1, shape, values), None, None)
    }

    #[test]
    fn an_axial_slice_has_the_right_on_the_left_and_the_front_above() {
        let scene = scene([2, 3, 2], Affine::IDENTITY);
        let slice = scene.slice(Plane::Axial, 1);
        assert_eq!(slice.size, [2, 3]);
        assert_eq!(slice.values, [121.0, 120.0, 111.0, 110.0, 101.0, 100.0]);
    }

    #[test]
    fn a_sagittal_slice_has_the_front_on_the_left_and_the_head_above() {
        let slice = scene([2, 3, 2], Affine::IDENTITY).slice(Plane::Sagittal, 0);
        assert_eq!((slice.size, slice.values), ([3, 2], vec![120.0, 110.0, 100.0, 20.0, 10.0, 0.0]));
    }

    #[test]
    fn however_a_volume_is_stored_it_looks_the_same() {
        let straight = scene([2, 3, 4], Affine::IDENTITY);
        // The same voxels, stored as LPS.
        let turned = scene([2, 3, 4], Affine([[-1.0, 0.0, 0.0, 1.0], [0.0, -1.0, 0.0, 2.0], [0.0, 0.0, 1.0, 0.0]]));
        // Voxel x runs to the feet, voxel y to the left, voxel z to the front.
        let other = scene([4, 2, 3], Affine([[0.0, -1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 3.0]]));
        assert_eq!(other.stored.affine.orientation(), "ILA");
        for scene in [turned, other] {
            assert_eq!(scene.grid(), straight.grid());
            for plane in Plane::ALL {
                for index in 0..straight.num_slices(plane) {
                    assert_eq!(scene.slice(plane, index).values, straight.slice(plane, index).values, "{plane:?}");
                    assert_eq!(scene.position_mm(plane, index), index as f64);
                }
            }
        }
    }

    #[test]
    fn an_oblique_volume_is_turned_to_the_nearest_axes_and_keeps_its_spacing() {
        let affine = Affine([[-0.97, 0.1, 0.0, 0.0], [-0.1, -0.97, 0.0, 0.0], [0.0, 0.0, 3.0, -50.0]]);
        let scene = scene([4, 5, 6], affine);
        assert_eq!(scene.grid().affine.orientation(), "RAS");
        assert!((scene.slice(Plane::Coronal, 0).spacing[1] - 3.0).abs() < 1e-9);
        assert_eq!(scene.position_mm(Plane::Axial, 2), -44.0);
    }

    #[test]
    fn a_label_without_a_name_is_told_by_its_value() {
        let mut scene = scene([2, 2, 1], Affine::IDENTITY);
        scene.names.insert(1, "left_lung".to_owned());
        assert_eq!([1, 2].map(|label| scene.name(label)), ["left lung", "label 2"]);
    }
}
