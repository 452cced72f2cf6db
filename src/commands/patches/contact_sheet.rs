//! A contact sheet of patches: a slice of each, with its labels as overlay.

use std::collections::BTreeSet;
use std::path::Path;

use crate::terminal::CliError;
use dataset::patch::Patch;
use engine::experiment::plan::ClassLabel;
use report::appearance::palette::colour;
use report::viewer::contact_sheet::{LegendEntry, Sheet, Tile};
use report::viewer::slice_selection::largest_slice;
use report::viewer::{IntensityWindow, LabelCounts, Plane, Scene};
use volume::{Affine, Grid, Label, Voxels};

/// The maximum number of patches; more would be too small to see.
pub(super) const MAX_TILES: usize = 64;

/// The longer side of a slice in pixels.
const SIDE: usize = 180;

/// The tiles of a contact sheet, collected one by one.
#[derive(Debug)]
pub(super) struct ContactSheet {
    labels: BTreeSet<Label>,
    sheet: Sheet,
}

impl ContactSheet {
    /// Creates an empty sheet for patches with these labels.
    pub(super) fn new(labels: &[ClassLabel]) -> Self {
        let entry = |label: &ClassLabel| LegendEntry {
            fill: Some(colour(label.value)),
            outline: Some(colour(label.value)),
            name: label.name.replace('_', " "),
        };
        let legend = labels.iter().map(entry).collect();
        Self {
            labels: labels.iter().map(|label| label.value).collect(),
            sheet: Sheet { legend, min_tile_width: SIDE, ..Sheet::default() },
        }
    }

    /// Adds a patch with the given voxel spacing in mm, unless the sheet is full.
    pub(super) fn add(&mut self, patch: &Patch, spacing: [f64; 3]) {
        if self.sheet.tiles.len() < MAX_TILES {
            let scene = self.scene(patch, spacing);
            let slice =
                scene.slice(Plane::Axial, largest_slice(&LabelCounts::of(&scene).slices(Plane::Axial).foreground));
            let bitmap = slice.render(slice.size_with_side(SIDE), scene.window);
            let caption = format!("{:04} {}", self.sheet.tiles.len(), patch.subject);
            self.sheet.tiles.push(Tile { caption, bitmap, directions: None });
        }
    }

    /// Returns the scene of a patch as the network gets it, including flips.
    fn scene(&self, patch: &Patch, spacing: [f64; 3]) -> Scene {
        let grid = Grid { shape: patch.shape, affine: Affine::scale_and_shift(spacing, [0.0; 3]) };
        let image = Voxels::new(patch.channels, patch.shape, patch.image.clone());
        let shown = |label: &Label| if self.labels.contains(label) { *label } else { 0 };
        let label = Voxels::new(1, patch.shape, patch.label.iter().map(shown).collect());
        // The labels are filled and outlined, since there is no prediction to outline.
        let mut scene = Scene::new(&grid, &image, Some(&label), Some(&label));
        scene.outline_colour = colour;
        scene.window = IntensityWindow::from_percentiles(image.channel(0));
        scene
    }

    /// Writes the sheet as PNG, atomically.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<(), CliError> {
        self.sheet.render().write(path).map_err(|error| CliError::failure(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ramp along x with a square of label 1 in two slices, larger in the upper one.
    fn patch(shape: [usize; 3]) -> Patch {
        let [size_x, size_y, size_z] = shape;
        let mut image = Vec::new();
        let mut label = Vec::new();
        for x in 0..size_x {
            for y in 0..size_y {
                for z in 0..size_z {
                    image.push(x as f32);
                    let half = if z == 3 { 2 } else { 1 };
                    label.push(Label::from((z == 2 || z == 3) && x < half && y < half));
                }
            }
        }
        Patch {
            subject: "liver_12".to_owned(),
            index: 0,
            start: [0; 3],
            affine: volume::Affine::IDENTITY,
            shape,
            channels: 1,
            image,
            label,
            weights: Vec::new(),
            params: Vec::new(),
            mask_params: Vec::new(),
        }
    }

    fn sheet(labels: &[Label]) -> ContactSheet {
        let label = |value: &Label| ClassLabel { value: *value, name: format!("organ_{value}") };
        ContactSheet::new(&labels.iter().map(label).collect::<Vec<_>>())
    }

    fn first_tile(labels: &[Label]) -> impl Fn(usize, usize) -> [u8; 3] {
        let mut sheet = sheet(labels);
        sheet.add(&patch([4, 4, 6]), [1.0; 3]);
        let picture = sheet.sheet.tiles.remove(0).bitmap;
        move |column, row| std::array::from_fn(|channel| picture.pixels[3 * (row * SIDE + column) + channel])
    }

    #[test]
    fn the_slice_with_the_most_foreground_is_shown_and_the_patients_right_is_on_the_left() {
        let at = first_tile(&[1]);
        // The ramp rises to the patient's right, so the top row starts white and ends black.
        assert_eq!((at(0, 0), at(SIDE - 1, 0)), ([255; 3], [0; 3]));
        // The label is at low x and low y, so at the lower right, with half opacity over black.
        assert_eq!(at(SIDE - 1, SIDE - 1), [115, 80, 0]);
        // Its outline is opaque.
        assert_eq!(at(SIDE / 2, SIDE - 1), [230, 159, 0]);
    }

    #[test]
    fn undeclared_labels_are_not_shown() {
        let at = first_tile(&[2]);
        assert_eq!(at(SIDE - 1, SIDE - 1), [0; 3]);
    }

    #[test]
    fn a_full_sheet_ignores_further_patches() {
        let mut sheet = sheet(&[1]);
        for _ in 0..MAX_TILES + 3 {
            sheet.add(&patch([4, 4, 6]), [1.0; 3]);
        }
        assert_eq!((sheet.sheet.tiles.len(), sheet.sheet.layout()), (64, [8, 8]));
        assert_eq!(sheet.sheet.tiles[63].caption, "0063 liver_12");
    }
}
