//! What is shown: an image with its label maps, in radiological orientation.

use std::collections::BTreeMap;

use plotters::prelude::RGBColor;

use super::plane::Plane;
use super::slice::Slice;
use super::window::{IntensityWindow, look_like_hounsfield};
use crate::appearance::palette::prediction_colour;
use volume::orientation::{AxisOrientation, axes_to_ras};
use volume::{Affine, Grid, Label, Voxels};

/// An image, optionally with its label map and a prediction.
///
/// Voxels stay in storage order and are accessed along the nearest RAS axes (right, anterior, superior): nothing is
/// interpolated, and an oblique grid stays oblique.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The intensity window.
    pub window: IntensityWindow,
    /// The names of labels; a label without a name is shown by its value.
    pub names: BTreeMap<Label, String>,
    /// Whether the intensities look like Hounsfield units.
    pub is_hounsfield: bool,
    /// Returns the colour of the outline of a label of the prediction.
    pub outline_colour: fn(Label) -> RGBColor,
    pub(super) stored: Grid,
    pub(super) image: Voxels<f32>,
    pub(super) label: Option<Voxels<Label>>,
    pub(super) prediction: Option<Voxels<Label>>,
    axes: [AxisOrientation; 3],
}

impl Scene {
    /// Shows the first channel of an image, and label maps on the same grid, in an automatic window.
    ///
    /// # Panics
    /// If the shape of an array differs from that of the grid.
    pub fn new(
        grid: &Grid,
        image: &Voxels<f32>,
        label: Option<&Voxels<Label>>,
        prediction: Option<&Voxels<Label>>,
    ) -> Self {
        let maps = label.into_iter().chain(prediction).map(|map| map.shape);
        assert!(
            maps.chain([image.shape]).all(|shape| shape == grid.shape),
            "image and label maps have the shape of the grid"
        );
        let values = image.channel(0);
        Self {
            window: IntensityWindow::automatic(values),
            names: BTreeMap::new(),
            is_hounsfield: look_like_hounsfield(values),
            outline_colour: prediction_colour,
            stored: *grid,
            image: image.clone(),
            label: label.cloned(),
            prediction: prediction.cloned(),
            axes: axes_to_ras(&grid.affine),
        }
    }

    /// Returns the grid with its axes permuted and flipped to RAS.
    pub fn grid(&self) -> Grid {
        let mut rows = [[0.0; 4]; 3];
        for (axis, source) in self.axes.iter().enumerate() {
            let size = self.stored.shape[source.source_axis] as f64;
            rows[source.source_axis][axis] = if source.flipped { -1.0 } else { 1.0 };
            rows[source.source_axis][3] = if source.flipped { size - 1.0 } else { 0.0 };
        }
        let shape = self.axes.map(|source| self.stored.shape[source.source_axis]);
        Grid { shape, affine: self.stored.affine.after(&Affine(rows)) }
    }

    /// Returns the stored axis of each RAS axis, and whether it is flipped.
    pub fn axes(&self) -> [AxisOrientation; 3] {
        self.axes
    }

    /// Returns the number of slices in a plane.
    pub fn num_slices(&self, plane: Plane) -> usize {
        self.grid().shape[plane.axes()[2]]
    }

    /// Returns the world coordinate in mm of the centre of a slice, along the axis through the slices.
    pub fn position_mm(&self, plane: Plane, index: usize) -> f64 {
        let [_, _, through] = plane.axes();
        let grid = self.grid();
        let mut centre = grid.shape.map(|size| (size as f64 - 1.0) / 2.0);
        centre[through] = index as f64;
        grid.affine.apply(centre)[through]
    }

    /// Returns a slice in radiological orientation. Slices are counted from inferior, posterior or left.
    ///
    /// # Panics
    /// If the index is not less than the number of slices.
    pub fn slice(&self, plane: Plane, index: usize) -> Slice {
        let [columns, rows, _] = plane.axes();
        let Grid { shape, affine } = self.grid();
        let spacing = affine.spacing();
        let voxels = self.slice_voxels(plane, index);
        Slice {
            size: [shape[columns], shape[rows]],
            spacing: [spacing[columns], spacing[rows]],
            values: voxels.read(self.image.channel(0)),
            fill: self.label.as_ref().map(|label| voxels.read(label)),
            outline: self.prediction.as_ref().map(|prediction| voxels.read(prediction)),
            outline_colour: self.outline_colour,
        }
    }

    /// Returns the name of a label.
    pub fn name(&self, label: Label) -> String {
        self.names.get(&label).map_or_else(|| format!("label {label}"), |name| name.replace('_', " "))
    }

    /// Returns the storage layout of a slice.
    fn slice_voxels(&self, plane: Plane, index: usize) -> StridedSlice {
        let shape = self.grid().shape;
        let [columns, rows, through] = plane.axes();
        assert!(index < shape[through], "{} slices are counted from 0 to {}", plane.name(), shape[through] - 1);
        let strides = self.strides();
        // Right, anterior and superior are at the left and at the top, so both image axes are reversed.
        let mut first = shape.map(|size| size as isize - 1);
        first[through] = index as isize;
        let start = self.start() + (0..3).map(|axis| first[axis] * strides[axis]).sum::<isize>();
        StridedSlice { start, size: [shape[columns], shape[rows]], strides: [-strides[columns], -strides[rows]] }
    }

    /// Returns the storage index of the leftmost, most posterior and most inferior voxel.
    pub(super) fn start(&self) -> isize {
        let strides = self.strides();
        let shape = self.grid().shape;
        let flipped = (0..3).filter(|&axis| self.axes[axis].flipped);
        flipped.map(|axis| -strides[axis] * (shape[axis] as isize - 1)).sum()
    }

    /// Returns the storage strides along the RAS axes.
    pub(super) fn strides(&self) -> [isize; 3] {
        let [_, height, depth] = self.stored.shape.map(|size| size as isize);
        let stored = [height * depth, depth, 1];
        self.axes.map(|source| if source.flipped { -stored[source.source_axis] } else { stored[source.source_axis] })
    }
}

/// The storage layout of a slice.
struct StridedSlice {
    /// The storage index of the upper left voxel.
    start: isize,
    /// Columns and rows.
    size: [usize; 2],
    /// The strides between columns and between rows.
    strides: [isize; 2],
}

impl StridedSlice {
    /// Reads the voxels of the slice, row by row.
    fn read<T: Copy>(&self, stored: &[T]) -> Vec<T> {
        let [columns, rows] = self.size.map(|size| size as isize);
        let index =
            |row: isize, column: isize| (self.start + row * self.strides[1] + column * self.strides[0]) as usize;
        (0..rows).flat_map(|row| (0..columns).map(move |column| stored[index(row, column)])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A volume whose values are the world coordinates of its voxels: 1 x + 10 y + 100 z.
    fn scene(shape: [usize; 3], affine: Affine) -> Scene {
        let [_, height, depth] = shape;
        let value = |voxel: usize| {
            let index = [voxel / (height * depth), voxel / depth % height, voxel % depth];
            let [x, y, z] = affine.apply(index.map(|index| index as f64));
            (x + 10.0 * y + 100.0 * z) as f32
        };
        let values = (0..shape.iter().product()).map(value).collect();
        Scene::new(&Grid { shape, affine }, &Voxels::new(1, shape, values), None, None)
    }

    #[test]
    fn an_axial_slice_has_right_at_the_left_and_anterior_at_the_top() {
        let scene = scene([2, 3, 2], Affine::IDENTITY);
        let slice = scene.slice(Plane::Axial, 1);
        assert_eq!(slice.size, [2, 3]);
        assert_eq!(slice.values, [121.0, 120.0, 111.0, 110.0, 101.0, 100.0]);
    }

    #[test]
    fn a_sagittal_slice_has_anterior_at_the_left_and_superior_at_the_top() {
        let slice = scene([2, 3, 2], Affine::IDENTITY).slice(Plane::Sagittal, 0);
        assert_eq!((slice.size, slice.values), ([3, 2], vec![120.0, 110.0, 100.0, 20.0, 10.0, 0.0]));
    }

    #[test]
    fn slices_do_not_depend_on_the_storage_orientation() {
        let ras = scene([2, 3, 4], Affine::IDENTITY);
        // The same voxels, stored as LPS.
        let lps = scene([2, 3, 4], Affine([[-1.0, 0.0, 0.0, 1.0], [0.0, -1.0, 0.0, 2.0], [0.0, 0.0, 1.0, 0.0]]));
        // Stored as ILA: x to inferior, y to left, z to anterior.
        let ila = scene([4, 2, 3], Affine([[0.0, -1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 3.0]]));
        assert_eq!(ila.stored.affine.orientation(), "ILA");
        for scene in [lps, ila] {
            assert_eq!(scene.grid(), ras.grid());
            for plane in Plane::ALL {
                for index in 0..ras.num_slices(plane) {
                    assert_eq!(scene.slice(plane, index).values, ras.slice(plane, index).values, "{plane:?}");
                    assert_eq!(scene.position_mm(plane, index), index as f64);
                }
            }
        }
    }

    #[test]
    fn an_oblique_volume_is_shown_along_the_nearest_axes_with_its_own_spacing() {
        let affine = Affine([[-0.97, 0.1, 0.0, 0.0], [-0.1, -0.97, 0.0, 0.0], [0.0, 0.0, 3.0, -50.0]]);
        let scene = scene([4, 5, 6], affine);
        assert_eq!(scene.grid().affine.orientation(), "RAS");
        assert!((scene.slice(Plane::Coronal, 0).spacing[1] - 3.0).abs() < 1e-9);
        assert_eq!(scene.position_mm(Plane::Axial, 2), -44.0);
    }

    #[test]
    fn a_label_without_a_name_is_shown_by_its_value() {
        let mut scene = scene([2, 2, 1], Affine::IDENTITY);
        scene.names.insert(1, "left_lung".to_owned());
        assert_eq!([1, 2].map(|label| scene.name(label)), ["left lung", "label 2"]);
    }
}
