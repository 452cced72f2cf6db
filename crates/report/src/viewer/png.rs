//! A contact sheet of slices as PNG.

use std::cmp::Reverse;
use std::path::Path;

use super::contact_sheet::{Sheet, Tile};
use super::label_counts::LabelCounts;
use super::picture::Picture;
use super::scene::{Plane, Scene};
use super::slice_selection;
use super::{ViewError, write_file};
use volume::Label;

/// What a contact sheet shows.
#[derive(Clone, Debug)]
pub struct ContactSheetOptions {
    /// What stands above the slices.
    pub title: String,
    /// The plane that slices lie in.
    pub plane: Plane,
    /// At most so many slices.
    pub most: usize,
    /// Show where label map and prediction differ most instead of slices spread over the labels.
    pub differences: bool,
}

/// The longer side of a slice in pixels.
const SIDE: usize = 300;
/// The least width of a tile, for its caption.
const MIN_WIDTH: usize = 250;
/// Labels that are named; more would hide the picture.
const MAX_NAMES: usize = 24;

/// Writes slices of a scene side by side; the file appears whole or not at all.
///
/// # Errors
/// When the disk refuses.
pub fn write_png(scene: &Scene, options: &ContactSheetOptions, path: &Path) -> Result<(), ViewError> {
    sheet(scene, options).draw().write(path)
}

impl Picture {
    /// Writes the picture as PNG; the file appears whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, path: &Path) -> Result<(), ViewError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.size[0] as u32, self.size[1] as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_adaptive_filter(png::AdaptiveFilterType::Adaptive);
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&self.pixels));
        written.expect("memory takes every byte, and a picture has three for each pixel");
        write_file(path, &bytes)
    }
}

fn sheet(scene: &Scene, options: &ContactSheetOptions) -> Sheet {
    let tally = scene.tally();
    let plane = options.plane;
    let slices = tally.slices(plane);
    let differing = options.differences.then(|| slice_selection::largest_separated(&slices.differing, options.most));
    // Maps that differ nowhere are shown as ever.
    let chosen = differing
        .filter(|chosen| !chosen.is_empty())
        .unwrap_or_else(|| slice_selection::evenly_spaced(&slices.foreground, options.most));
    let compared = scene.label.is_some() && scene.prediction.is_some();
    let tiles = chosen.into_iter().map(|index| {
        let slice = scene.slice(plane, index);
        let mut caption = caption(scene, plane, index);
        if compared && options.differences {
            caption = format!("{caption} · {} differ", slices.differing[index]);
        }
        let picture = slice.draw(slice.fitting(SIDE), scene.window);
        Tile { caption, picture, letters: Some(plane.letters()) }
    });
    Sheet {
        title: options.title.clone(),
        legend: legend(scene, &tally),
        min_tile_width: MIN_WIDTH,
        tiles: tiles.collect(),
    }
}

/// Which slice this is: its number from the feet, the back or the left, and its place in the world.
pub(super) fn caption(scene: &Scene, plane: Plane, index: usize) -> String {
    let axis = ["x", "y", "z"][plane.axes()[2]];
    let position = scene.position_mm(plane, index);
    format!("{} of {} · {axis} {position:.1} mm", index + 1, scene.num_slices(plane))
}

/// The labels that are there, with their names; the largest, where there are many.
pub(super) fn legend(scene: &Scene, tally: &LabelCounts) -> Vec<(Label, String)> {
    let mut labels: Vec<_> = tally.labels.iter().collect();
    labels.sort_by_key(|(label, counts)| (Reverse(counts.label.max(counts.prediction)), **label));
    let more = labels.len().saturating_sub(MAX_NAMES);
    labels.truncate(MAX_NAMES);
    labels.sort_by_key(|(label, _)| **label);
    let named = labels.into_iter().map(|(label, _)| (*label, scene.name(*label)));
    named.chain((more > 0).then(|| (0, format!("and {more} more")))).collect()
}
