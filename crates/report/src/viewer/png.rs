//! A contact sheet of slices as PNG.

use std::path::Path;

use super::captions::{caption, legend};
use super::contact_sheet::{Sheet, Tile};
use super::differences;
use super::error::ViewError;
use super::label_counts::LabelCounts;
use super::plane::Plane;
use super::scene::Scene;
use super::slice_selection;

/// What a contact sheet shows.
#[derive(Clone, Debug)]
pub struct ContactSheetOptions {
    /// The title above the slices.
    pub title: String,
    /// The plane of the slices.
    pub plane: Plane,
    /// The maximum number of slices.
    pub max_slices: usize,
    /// If true, shows the slices in which label map and prediction differ most, with false negatives and false positives
    /// in their own colours, otherwise slices evenly spread over the labels.
    pub differences: bool,
}

/// The longer side of a slice in pixels.
const SIDE: usize = 300;
/// The minimum width of a tile in pixels, which its caption needs.
const MIN_TILE_WIDTH: usize = 250;

/// Writes a contact sheet of slices, atomically.
///
/// # Errors
/// If the file cannot be written.
pub fn write_png(scene: &Scene, options: &ContactSheetOptions, path: &Path) -> Result<(), ViewError> {
    sheet(scene, options).render().write(path)
}

fn sheet(scene: &Scene, options: &ContactSheetOptions) -> Sheet {
    let counts = LabelCounts::of(scene);
    let plane = options.plane;
    let slices = counts.slices(plane);
    let differing =
        options.differences.then(|| slice_selection::largest_separated(&slices.differing, options.max_slices));
    // Without any difference, slices are spread as usual.
    let selected = differing
        .filter(|selected| !selected.is_empty())
        .unwrap_or_else(|| slice_selection::evenly_spaced(&slices.foreground, options.max_slices));
    let marks_differences = options.differences && scene.label.is_some() && scene.prediction.is_some();
    let tiles = selected.into_iter().map(|index| {
        let slice = scene.slice(plane, index);
        let mut caption = caption(scene, plane, index);
        if marks_differences {
            caption = format!("{caption} · {} voxels differ", slices.differing[index]);
        }
        let size = slice.size_with_side(SIDE);
        let bitmap = match marks_differences {
            true => differences::render(&slice, size, scene.window),
            false => slice.render(size, scene.window),
        };
        Tile { caption, bitmap, directions: Some(plane.direction_labels()) }
    });
    Sheet {
        title: options.title.clone(),
        legend: if marks_differences { differences::legend(scene) } else { legend(scene, &counts) },
        min_tile_width: MIN_TILE_WIDTH,
        tiles: tiles.collect(),
    }
}
