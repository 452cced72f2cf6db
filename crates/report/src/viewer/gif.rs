//! All slices of a plane as an animated GIF.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use gif::{Encoder, Frame, Repeat};
use plotters::prelude::RGBColor;
use rayon::prelude::*;

use super::bitmap::Bitmap;
use super::captions::{caption, legend};
use super::contact_sheet::{Sheet, Tile};
use super::error::{ViewError, write_file};
use super::label_counts::LabelCounts;
use super::plane::Plane;
use super::scene::Scene;
use super::slice::OPACITY;
use crate::appearance::palette::{colour, prediction_colour};
use volume::Label;

/// The longer side of a slice in pixels.
const SIDE: usize = 384;
/// The maximum number of frames, which limits the file size; of more slices, every n-th is shown.
const MAX_FRAMES: usize = 120;
/// The target duration of the animation in hundredths of a second.
const DURATION: usize = 1000;
/// The minimum and maximum duration of a frame in hundredths of a second.
const FRAME_DURATION: [usize; 2] = [8, 25];
/// The number of colours of a GIF palette.
const PALETTE_SIZE: usize = 256;
/// The minimum number of greys in the palette, and the maximum number of shades of a filled label.
const MIN_GREYS: usize = 64;
const MAX_SHADES: usize = 48;

/// Writes the slices of a plane as a looping animation, from inferior to superior, posterior to anterior, or left to right.
/// The file is written atomically.
///
/// Returns a warning if slices were left out.
///
/// # Errors
/// If the file cannot be written.
pub fn write_gif(scene: &Scene, plane: Plane, title: &str, path: &Path) -> Result<Option<String>, ViewError> {
    let num_slices = scene.num_slices(plane);
    let step = num_slices.div_ceil(MAX_FRAMES);
    let shown: Vec<usize> = (step / 2..num_slices).step_by(step).collect();
    let counts = LabelCounts::of(scene);
    let legend = legend(scene, &counts);
    let named: Vec<Label> = counts.labels.keys().copied().take(legend.len()).collect();
    let delay = (DURATION / shown.len()).clamp(FRAME_DURATION[0], FRAME_DURATION[1]);
    let frame = |index: &usize| {
        let slice = scene.slice(plane, *index);
        let bitmap = slice.render(slice.size_with_side(SIDE), scene.window);
        let caption = caption(scene, plane, *index);
        let tile = Tile { caption, bitmap, directions: Some(plane.direction_labels()) };
        let sheet = Sheet { title: title.to_owned(), legend: legend.clone(), min_tile_width: SIDE, tiles: vec![tile] };
        let Bitmap { size: [width, height], pixels } = sheet.render();
        // One slice has fewer labels than the volume, so each frame has its own palette.
        let palette = Palette::new(&slice.labels().into_iter().chain(named.iter().copied()).collect());
        let indices = palette.indices(&pixels);
        let mut frame =
            Frame::from_palette_pixels(width as u16, height as u16, indices, palette.colours.concat(), None);
        frame.delay = delay as u16;
        frame.make_lzw_pre_encoded();
        frame
    };
    let frames: Vec<Frame> = shown.par_iter().map(frame).collect();
    write_file(path, &animation(&frames))?;
    Ok((step > 1).then(|| format!("only 1 of every {step} slices is shown, to limit the file size")))
}

/// Encodes the file.
fn animation(frames: &[Frame]) -> Vec<u8> {
    let [width, height] = frames.first().map_or([1, 1], |frame| [frame.width, frame.height]);
    let write = || -> Result<Vec<u8>, gif::EncodingError> {
        let mut encoder = Encoder::new(Vec::new(), width, height, &[])?;
        encoder.set_repeat(Repeat::Infinite)?;
        frames.iter().try_for_each(|frame| encoder.write_lzw_pre_encoded_frame(frame))?;
        encoder.into_inner()
    };
    write().expect("writing to memory cannot fail, and palettes have at most 256 colours")
}

/// The colours of a frame: greys, and for each label its colours when filled, outlined, and over greys.
struct Palette {
    colours: Vec<[u8; 3]>,
    /// The index of the nearest grey of each level.
    greys: [u8; 256],
}

impl Palette {
    fn new(labels: &BTreeSet<Label>) -> Self {
        // The palette has no room for more labels; others get the nearest colour.
        let labels: Vec<Label> = labels.iter().copied().take((PALETTE_SIZE - MIN_GREYS) / 3).collect();
        let shades = ((PALETTE_SIZE - MIN_GREYS) / labels.len().max(1)).saturating_sub(2).min(MAX_SHADES);
        let num_greys = PALETTE_SIZE - labels.len() * (shades + 2);
        // A single level is in the middle.
        let level =
            |index: usize, count: usize| if count == 1 { 128.0 } else { 255.0 * index as f32 / (count - 1) as f32 };
        let mut colours: Vec<[u8; 3]> =
            (0..num_greys).map(|index| [level(index, num_greys).round() as u8; 3]).collect();
        for label in labels {
            let RGBColor(red, green, blue) = colour(label);
            let over =
                |grey: f32| [red, green, blue].map(|c| (f32::from(c) * OPACITY + grey * (1.0 - OPACITY)).round() as u8);
            colours.extend((0..shades).map(|index| over(level(index, shades))));
            let RGBColor(tint_red, tint_green, tint_blue) = prediction_colour(label);
            colours.extend([[red, green, blue], [tint_red, tint_green, tint_blue]]);
        }
        let nearest = |grey: usize| (grey as f32 / 255.0 * (num_greys - 1) as f32).round() as u8;
        Self { colours, greys: std::array::from_fn(nearest) }
    }

    /// Returns the index of each pixel's nearest colour.
    fn indices(&self, pixels: &[u8]) -> Vec<u8> {
        let mut known = HashMap::new();
        let (pixels, _) = pixels.as_chunks::<3>();
        let index = |pixel: &[u8; 3]| {
            if pixel[0] == pixel[1] && pixel[1] == pixel[2] {
                return self.greys[usize::from(pixel[0])];
            }
            *known.entry(*pixel).or_insert_with(|| self.nearest(*pixel))
        };
        pixels.iter().map(index).collect()
    }

    fn nearest(&self, pixel: [u8; 3]) -> u8 {
        let distance =
            |colour: &[u8; 3]| -> u32 { colour.iter().zip(pixel).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum() };
        let nearest = (0..self.colours.len()).min_by_key(|index| distance(&self.colours[*index]));
        nearest.expect("the palette is not empty") as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::{Affine, Grid, Voxels};

    #[test]
    fn a_palette_has_at_most_256_colours_for_any_number_of_labels() {
        for labels in [0, 1, 2, 7, 40, 1000] {
            let palette = Palette::new(&(1..=labels).collect());
            assert!(palette.colours.len() <= PALETTE_SIZE, "{labels} labels need {} colours", palette.colours.len());
            assert_eq!(palette.indices(&[0, 0, 0, 255, 255, 255])[0], 0);
        }
    }

    #[test]
    fn the_colour_of_a_label_is_exact() {
        let palette = Palette::new(&[1, 3].into());
        for label in [1, 3] {
            let RGBColor(red, green, blue) = colour(label);
            let index = palette.indices(&[red, green, blue])[0];
            assert_eq!(palette.colours[usize::from(index)], [red, green, blue]);
        }
    }

    #[test]
    fn greys_and_shades_of_labels_are_at_most_two_levels_off() {
        let palette = Palette::new(&[1, 2].into());
        let RGBColor(red, green, blue) = colour(2);
        for grey in 0..=255u8 {
            let shade = [red, green, blue].map(|c| ((f32::from(c) + f32::from(grey)) / 2.0).round() as u8);
            for pixel in [[grey; 3], shade] {
                let nearest = palette.colours[usize::from(palette.indices(&pixel)[0])];
                assert!(pixel.iter().zip(nearest).all(|(a, b)| a.abs_diff(b) <= 2), "{pixel:?} becomes {nearest:?}");
            }
        }
    }

    #[test]
    fn every_slice_has_a_frame_and_of_many_slices_every_second() {
        let folder = tempfile::tempdir().unwrap();
        for (depth, frames) in [(1, 1), (5, 5), (121, 60)] {
            let grid = Grid { shape: [4, 4, depth], affine: Affine::IDENTITY };
            let image = Voxels::new(1, grid.shape, vec![1.0; grid.num_voxels()]);
            let path = folder.path().join("a.gif");
            let warning = write_gif(&Scene::new(&grid, &image, None, None), Plane::Axial, "a", &path).unwrap();
            assert_eq!(warning.is_some(), depth > MAX_FRAMES);
            let mut decoder = gif::DecodeOptions::new().read_info(std::fs::File::open(&path).unwrap()).unwrap();
            let mut read = 0;
            while decoder.read_next_frame().unwrap().is_some() {
                read += 1;
            }
            assert_eq!(read, frames);
        }
    }
}
