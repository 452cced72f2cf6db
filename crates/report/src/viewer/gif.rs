//! All slices one after the other as an animated GIF.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use gif::{Encoder, Frame, Repeat};
use plotters::prelude::RGBColor;
use rayon::prelude::*;

use super::contact_sheet::{Sheet, Tile};
use super::picture::{OPACITY, Picture};
use super::png::{caption, legend};
use super::scene::{Plane, Scene};
use super::{ViewError, write_file};
use crate::appearance::palette::colour;
use volume::Label;

/// The longer side of a slice in pixels.
const SIDE: usize = 384;
/// More frames than this make a file that is too large to pass on; slices are left out evenly.
const MAX_FRAMES: usize = 120;
/// The hundredths of a second that all frames together should take, and one may take.
const LOOP: usize = 1000;
const DELAY: [usize; 2] = [8, 25];
/// Colours of a GIF.
const PALETTE: usize = 256;
/// Greys of the palette, at least, and of the colour of a filled label, at most.
const MIN_GREYS: usize = 64;
const MAX_SHADES: usize = 48;

/// Writes the slices of a plane from the feet to the head, from the back to the front or from the
/// left to the right, as one animation that repeats; the file appears whole or not at all.
///
/// Gives what was left out, if anything.
///
/// # Errors
/// When the disk refuses.
pub fn write_gif(scene: &Scene, plane: Plane, title: &str, path: &Path) -> Result<Option<String>, ViewError> {
    let num_slices = scene.num_slices(plane);
    let step = num_slices.div_ceil(MAX_FRAMES);
    let shown: Vec<usize> = (step / 2..num_slices).step_by(step).collect();
    let legend = legend(scene, &scene.tally());
    let delay = (LOOP / shown.len()).clamp(DELAY[0], DELAY[1]);
    let frame = |index: &usize| {
        let slice = scene.slice(plane, *index);
        let picture = slice.draw(slice.fitting(SIDE), scene.window);
        let caption = caption(scene, plane, *index);
        let tile = Tile { caption, picture, letters: Some(plane.letters()) };
        let sheet = Sheet { title: title.to_owned(), legend: legend.clone(), min_tile_width: SIDE, tiles: vec![tile] };
        let Picture { size: [width, height], pixels } = sheet.draw();
        // A palette of its own, for in one slice there are fewer labels than in all.
        let named = legend.iter().map(|(label, _)| *label).filter(|label| *label > 0);
        let palette = Palette::new(&slice.labels().into_iter().chain(named).collect());
        let places = palette.places(&pixels);
        let mut frame = Frame::from_palette_pixels(width as u16, height as u16, places, palette.colours.concat(), None);
        frame.delay = delay as u16;
        frame.make_lzw_pre_encoded();
        frame
    };
    let frames: Vec<Frame> = shown.par_iter().map(frame).collect();
    write_file(path, &animation(&frames))?;
    Ok((step > 1).then(|| format!("1 of {step} slices is shown, so that the file stays small")))
}

/// The bytes of the file.
fn animation(frames: &[Frame]) -> Vec<u8> {
    let [width, height] = frames.first().map_or([1, 1], |frame| [frame.width, frame.height]);
    let write = || -> Result<Vec<u8>, gif::EncodingError> {
        let mut encoder = Encoder::new(Vec::new(), width, height, &[])?;
        encoder.set_repeat(Repeat::Infinite)?;
        frames.iter().try_for_each(|frame| encoder.write_lzw_pre_encoded_frame(frame))?;
        encoder.into_inner()
    };
    write().expect("memory takes every byte, and palettes have no more than 256 colours")
}

/// The colours of a frame: greys, and for each label its colour alone and over greys.
struct Palette {
    colours: Vec<[u8; 3]>,
    /// The place of the nearest grey.
    greys: [u8; 256],
}

impl Palette {
    fn new(labels: &BTreeSet<Label>) -> Self {
        // A GIF has no room for more labels; those that are left out take the colours nearest to theirs.
        let labels: Vec<Label> = labels.iter().copied().take((PALETTE - MIN_GREYS) / 2).collect();
        let shades = ((PALETTE - MIN_GREYS) / labels.len().max(1)).saturating_sub(1).min(MAX_SHADES);
        let num_greys = PALETTE - labels.len() * (shades + 1);
        // A single one lies in the middle.
        let level =
            |place: usize, count: usize| if count == 1 { 128.0 } else { 255.0 * place as f32 / (count - 1) as f32 };
        let mut colours: Vec<[u8; 3]> =
            (0..num_greys).map(|place| [level(place, num_greys).round() as u8; 3]).collect();
        for label in labels {
            let RGBColor(red, green, blue) = colour(label);
            let over =
                |grey: f32| [red, green, blue].map(|c| (f32::from(c) * OPACITY + grey * (1.0 - OPACITY)).round() as u8);
            colours.extend((0..shades).map(|place| over(level(place, shades))));
            colours.push([red, green, blue]);
        }
        let nearest = |grey: usize| (grey as f32 / 255.0 * (num_greys - 1) as f32).round() as u8;
        Self { colours, greys: std::array::from_fn(nearest) }
    }

    /// The place of each pixel's colour, or of the one nearest to it.
    fn places(&self, pixels: &[u8]) -> Vec<u8> {
        let mut known = HashMap::new();
        let (pixels, _) = pixels.as_chunks::<3>();
        let place = |pixel: &[u8; 3]| {
            if pixel[0] == pixel[1] && pixel[1] == pixel[2] {
                return self.greys[usize::from(pixel[0])];
            }
            *known.entry(*pixel).or_insert_with(|| self.nearest(*pixel))
        };
        pixels.iter().map(place).collect()
    }

    fn nearest(&self, pixel: [u8; 3]) -> u8 {
        let distance =
            |colour: &[u8; 3]| -> u32 { colour.iter().zip(pixel).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum() };
        let nearest = (0..self.colours.len()).min_by_key(|place| distance(&self.colours[*place]));
        nearest.expect("there are greys") as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::{Affine, Grid, Voxels};

    #[test]
    fn a_palette_has_at_most_256_colours_however_many_labels_there_are() {
        for labels in [0, 1, 2, 7, 40, 1000] {
            let palette = Palette::new(&(1..=labels).collect());
            assert!(palette.colours.len() <= PALETTE, "{labels} labels need {} colours", palette.colours.len());
            assert_eq!(palette.places(&[0, 0, 0, 255, 255, 255])[0], 0);
        }
    }

    #[test]
    fn the_colour_of_a_label_keeps_its_own_place() {
        let palette = Palette::new(&[1, 3].into());
        for label in [1, 3] {
            let RGBColor(red, green, blue) = colour(label);
            let place = palette.places(&[red, green, blue])[0];
            assert_eq!(palette.colours[usize::from(place)], [red, green, blue]);
        }
    }

    #[test]
    fn greys_alone_and_under_a_label_stay_within_a_few_levels() {
        let palette = Palette::new(&[1, 2].into());
        let RGBColor(red, green, blue) = colour(2);
        for grey in 0..=255u8 {
            let under = [red, green, blue].map(|c| ((f32::from(c) + f32::from(grey)) / 2.0).round() as u8);
            for pixel in [[grey; 3], under] {
                let found = palette.colours[usize::from(palette.places(&pixel)[0])];
                assert!(pixel.iter().zip(found).all(|(a, b)| a.abs_diff(b) <= 2), "{pixel:?} becomes {found:?}");
            }
        }
    }

    #[test]
    fn there_is_a_frame_for_every_slice_and_for_long_volumes_for_every_second() {
        let folder = tempfile::tempdir().unwrap();
        for (depth, frames) in [(1, 1), (5, 5), (121, 60)] {
            let grid = Grid { shape: [4, 4, depth], affine: Affine::IDENTITY };
            let image = Voxels::new(1, grid.shape, vec![1.0; grid.num_voxels()]);
            let path = folder.path().join("a.gif");
            let left_out = write_gif(&Scene::new(&grid, &image, None, None), Plane::Axial, "a", &path).unwrap();
            assert_eq!(left_out.is_some(), depth > MAX_FRAMES);
            let mut decoder = gif::DecodeOptions::new().read_info(std::fs::File::open(&path).unwrap()).unwrap();
            let mut read = 0;
            while decoder.read_next_frame().unwrap().is_some() {
                read += 1;
            }
            assert_eq!(read, frames);
        }
    }
}
