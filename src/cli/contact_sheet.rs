//! One picture of many patches: a slice of each, with its labels over it.

use std::collections::BTreeMap;
use std::path::Path;

use plotters::coord::Shift;
use plotters::element::BitMapElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::CliError;
use crate::data::patch::Patch;
use crate::data::volume::{Label, offset};
use crate::report::plots::{COLOURS, use_own_font};
use crate::spec::plan::ClassLabel;

/// Patches that are shown; more would be too small to see.
pub(super) const MOST_TILES: usize = 64;

/// The longer side of a slice in pixels.
const SIDE: usize = 180;
/// Pixels between tiles and around them.
const GAP: usize = 12;
/// Pixels below a slice for its caption.
const CAPTION: usize = 24;
/// Pixels of a row of names of labels, below all tiles.
const LEGEND_ROW: usize = 32;
/// Where values are cut before they become grey, in percent.
const PERCENTILES: [f64; 2] = [0.5, 99.5];

const PAPER: RGBColor = RGBColor(24, 24, 27);
const INK: RGBColor = RGBColor(228, 228, 231);
const FAINT: RGBColor = RGBColor(190, 190, 198);

/// The tiles of a contact sheet, collected one by one.
#[derive(Debug)]
pub(super) struct ContactSheet {
    colours: BTreeMap<Label, RGBColor>,
    names: Vec<(String, RGBColor)>,
    tiles: Vec<Tile>,
}

/// The picture of one patch.
#[derive(Debug)]
struct Tile {
    caption: String,
    size: [usize; 2],
    /// Red, green and blue of each pixel, row by row.
    pixels: Vec<u8>,
}

impl ContactSheet {
    /// A sheet without tiles, for patches with these labels.
    pub(super) fn new(labels: &[ClassLabel]) -> Self {
        let names = labels.iter().enumerate().map(|(place, label)| (label.name.replace('_', " "), colour(place)));
        Self {
            colours: labels.iter().enumerate().map(|(place, label)| (label.value, colour(place))).collect(),
            names: names.collect(),
            tiles: Vec::new(),
        }
    }

    /// Adds the next patch, whose voxels are so many millimetres apart; those behind the last tile are left out.
    pub(super) fn add(&mut self, patch: &Patch, spacing: [f64; 3]) {
        if self.tiles.len() < MOST_TILES {
            let caption = format!("{:04} {}", self.tiles.len(), patch.subject);
            let slice = Slice::new(patch);
            let size = slice.size(spacing);
            let pixels = slice.draw(size, &self.colours);
            self.tiles.push(Tile { caption, size, pixels });
        }
    }

    /// Columns and rows of tiles.
    fn layout(&self) -> [usize; 2] {
        let columns = (self.tiles.len() as f64).sqrt().ceil().clamp(2.0, 8.0) as usize;
        [columns, self.tiles.len().div_ceil(columns)]
    }

    /// Width of the picture and height of its tiles in pixels.
    fn size(&self) -> [usize; 2] {
        let [columns, rows] = self.layout();
        let [width, height] = self.cell();
        [GAP + columns * (width + GAP), GAP + rows * (height + CAPTION + GAP)]
    }

    /// Room for the slice of a tile.
    fn cell(&self) -> [usize; 2] {
        let longest = |axis: usize| self.tiles.iter().map(|tile| tile.size[axis]).max().unwrap_or(SIDE);
        [longest(0).max(SIDE), longest(1)]
    }

    /// Writes the sheet as PNG; it appears whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn write(&self, path: &Path) -> Result<(), CliError> {
        use_own_font();
        let failed = |reason: String| CliError::Failure(format!("cannot write {}: {reason}", path.display()));
        let unfinished = path.with_file_name(".contact_sheet.writing.png");
        let [width, height] = self.size();
        let legend_rows = self.legend().last().map_or(0, |[_, row]| row + 1);
        let size = [width, height + legend_rows * LEGEND_ROW + GAP].map(|pixels| pixels as u32);
        let area = BitMapBackend::new(&unfinished, size.into()).into_drawing_area();
        self.draw(&area).map_err(|error| failed(error.to_string()))?;
        drop(area);
        std::fs::rename(&unfinished, path).map_err(|error| failed(error.to_string()))
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        area.fill(&PAPER)?;
        let [columns, _] = self.layout();
        let [width, height] = self.cell();
        let caption = ("sans-serif", 15).into_font().color(&FAINT).pos(Pos::new(HPos::Center, VPos::Center));
        for (place, tile) in self.tiles.iter().enumerate() {
            let left = GAP + place % columns * (width + GAP);
            let top = GAP + place / columns * (height + CAPTION + GAP);
            let corner = ((left + (width - tile.size[0]) / 2) as i32, (top + (height - tile.size[1]) / 2) as i32);
            let size = tile.size.map(|pixels| pixels as u32).into();
            let picture = BitMapElement::<_>::with_owned_buffer(corner, size, tile.pixels.clone());
            area.draw(&picture.expect("a tile has three bytes for each pixel"))?;
            let below = ((left + width / 2) as i32, (top + height + CAPTION / 2) as i32);
            area.draw(&Text::new(shortened(&tile.caption, width), below, caption.clone()))?;
        }
        self.draw_legend(area, self.size()[1])?;
        area.present()
    }

    fn draw_legend<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        top: usize,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let style = ("sans-serif", 18).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
        for ((name, colour), [left, row]) in self.names.iter().zip(self.legend()) {
            let (left, middle) = (left as i32, (top + row * LEGEND_ROW + LEGEND_ROW / 2) as i32);
            let swatch = [(left, middle - 8), (left + 16, middle + 8)];
            area.draw(&Rectangle::new(swatch, colour.mix(0.5).filled()))?;
            area.draw(&Rectangle::new(swatch, colour.stroke_width(2)))?;
            area.draw(&Text::new(name.clone(), (left + 26, middle + 2), style.clone()))?;
        }
        Ok(())
    }

    /// Where each label's name stands: pixels from the left, and the row below the tiles.
    fn legend(&self) -> Vec<[usize; 2]> {
        let right = self.size()[0] - GAP;
        let (mut left, mut row) = (GAP, 0);
        let place = |(name, _): &(String, RGBColor)| {
            let width = 26 + 10 * name.chars().count();
            if left + width > right && left > GAP {
                (left, row) = (GAP, row + 1);
            }
            let place = [left, row];
            left += width + 24;
            place
        };
        self.names.iter().map(place).collect()
    }
}

/// A colour that shows on grey pictures: Okabe and Ito's, the brightest first, then hues far from one another.
fn colour(place: usize) -> RGBColor {
    const BRIGHT: [RGBColor; 6] = [COLOURS[4], COLOURS[5], COLOURS[3], COLOURS[2], COLOURS[1], COLOURS[0]];
    let further = || {
        let hue = (place as f64 * GOLDEN_RATIO).fract();
        let (red, green, blue) = HSLColor(hue, 0.75, 0.6).to_backend_color().rgb;
        RGBColor(red, green, blue)
    };
    BRIGHT.get(place).copied().unwrap_or_else(further)
}

/// Multiples of it, less their whole parts, lie far from one another.
const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;

/// As much of a caption as fits into so many pixels.
fn shortened(text: &str, width: usize) -> String {
    let most = width / 8;
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// The axial slice of a patch that is shown.
struct Slice<'a> {
    patch: &'a Patch,
    z: usize,
    /// The values that become black and white.
    range: [f32; 2],
}

impl<'a> Slice<'a> {
    /// The slice with the most foreground, else the middle one.
    fn new(patch: &'a Patch) -> Self {
        let depth = patch.shape[2];
        let mut foreground = vec![0usize; depth];
        for (place, label) in patch.label.iter().enumerate() {
            foreground[place % depth] += usize::from(*label > 0);
        }
        let most = foreground.iter().copied().max().unwrap_or(0);
        let z = if most == 0 { depth / 2 } else { foreground.iter().position(|count| *count == most).unwrap_or(0) };
        let voxels = patch.shape.iter().product();
        Self { patch, z, range: percentiles(&patch.image[..voxels]) }
    }

    /// Width and height in pixels: the longer side fills the tile, and millimetres are equal on both.
    fn size(&self, spacing: [f64; 3]) -> [usize; 2] {
        let extent = [0, 1].map(|axis| self.patch.shape[axis] as f64 * spacing[axis]);
        let scale = SIDE as f64 / extent[0].max(extent[1]);
        extent.map(|mm| ((mm * scale).round() as usize).max(1))
    }

    /// Pixels as a radiologist sees them: the front is up, the patient's right is on the left.
    fn draw(&self, size: [usize; 2], colours: &BTreeMap<Label, RGBColor>) -> Vec<u8> {
        let labels: Vec<Label> = self.pixels(size).map(|place| self.label(place)).collect();
        let is_edge = |pixel: usize| {
            let (column, row) = (pixel % size[0], pixel / size[0]);
            let differs = |neighbour: usize| labels[neighbour] != labels[pixel];
            (column > 0 && differs(pixel - 1))
                || (column + 1 < size[0] && differs(pixel + 1))
                || (row > 0 && differs(pixel - size[0]))
                || (row + 1 < size[1] && differs(pixel + size[0]))
        };
        let mut pixels = Vec::with_capacity(3 * labels.len());
        for (pixel, place) in self.pixels(size).enumerate() {
            let grey = self.grey(place);
            let share = if is_edge(pixel) { 1.0 } else { 0.5 };
            match colours.get(&labels[pixel]) {
                Some(RGBColor(red, green, blue)) => pixels
                    .extend([red, green, blue].map(|colour| (f32::from(*colour) * share + grey * (1.0 - share)) as u8)),
                None => pixels.extend([grey as u8; 3]),
            }
        }
        pixels
    }

    /// Where in the patch each pixel's centre lies, in voxels along x and y.
    fn pixels(&self, size: [usize; 2]) -> impl Iterator<Item = [f32; 2]> {
        let [along_x, along_y, _] = self.patch.shape.map(|voxels| voxels as f32);
        let place = move |pixel: usize| {
            let column = ((pixel % size[0]) as f32 + 0.5) / size[0] as f32;
            let row = ((pixel / size[0]) as f32 + 0.5) / size[1] as f32;
            [(1.0 - column) * along_x - 0.5, (1.0 - row) * along_y - 0.5]
        };
        (0..size[0] * size[1]).map(place)
    }

    fn label(&self, place: [f32; 2]) -> Label {
        let [x, y] = [0, 1].map(|axis| (place[axis].round().max(0.0) as usize).min(self.patch.shape[axis] - 1));
        self.patch.label[offset(self.patch.shape, [x, y, self.z])]
    }

    /// The intensity between four voxels, from 0, black, to 255, white.
    fn grey(&self, place: [f32; 2]) -> f32 {
        let along = [0, 1].map(|axis| {
            let last = self.patch.shape[axis] - 1;
            let place = place[axis].clamp(0.0, last as f32);
            let low = place as usize;
            (low, (low + 1).min(last), place - low as f32)
        });
        let value = |x, y| self.patch.image[offset(self.patch.shape, [x, y, self.z])];
        let [(x0, x1, right), (y0, y1, up)] = along;
        let low = value(x0, y0) * (1.0 - right) + value(x1, y0) * right;
        let high = value(x0, y1) * (1.0 - right) + value(x1, y1) * right;
        let [black, white] = self.range;
        let grey = (low * (1.0 - up) + high * up - black) / (white - black);
        // A patch of one value is black; a value that is no number too.
        if grey.is_finite() { 255.0 * grey.clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// The values at the percentiles that become black and white.
fn percentiles(values: &[f32]) -> [f32; 2] {
    let mut values = values.to_vec();
    let last = values.len() - 1;
    PERCENTILES.map(|percent| {
        let place = (percent / 100.0 * last as f64).round() as usize;
        *values.select_nth_unstable_by(place, f32::total_cmp).1
    })
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
            shape,
            channels: 1,
            image,
            label,
            draws: serde_json::Value::Null,
        }
    }

    fn sheet() -> ContactSheet {
        ContactSheet::new(&[ClassLabel { value: 1, name: "liver".to_owned() }])
    }

    #[test]
    fn the_slice_with_the_most_foreground_is_shown_else_the_middle_one() {
        let mut patch = patch([4, 4, 8]);
        assert_eq!(Slice::new(&patch).z, 3);
        (0..16).for_each(|row| patch.label[row * 8] = 2);
        assert_eq!(Slice::new(&patch).z, 0);
        patch.label.fill(0);
        assert_eq!(Slice::new(&patch).z, 4);
    }

    #[test]
    fn the_patients_right_is_on_the_left_and_labels_cover_half() {
        let patch = patch([4, 4, 6]);
        let slice = Slice::new(&patch);
        let size = slice.size([1.0; 3]);
        assert_eq!(size, [SIDE, SIDE]);
        let pixels = slice.draw(size, &[(1, RGBColor(200, 100, 0))].into());
        let at = |column: usize, row: usize| &pixels[3 * (row * SIDE + column)..][..3];
        // The ramp rises to the patient's right, so the top row begins white and ends black.
        assert_eq!((at(0, 0), at(SIDE - 1, 0)), (&[255; 3][..], &[0; 3][..]));
        // The label lies at low x and low y, so to the right and below; half of its colour lies over black.
        assert_eq!(at(SIDE - 1, SIDE - 1), [100, 50, 0]);
        // Its outline is not seen through.
        assert_eq!(at(SIDE / 2, SIDE - 1), [200, 100, 0]);
    }

    #[test]
    fn voxels_that_are_longer_along_y_make_a_taller_picture() {
        assert_eq!(Slice::new(&patch([4, 4, 6])).size([1.0, 2.0, 1.0]), [SIDE / 2, SIDE]);
    }

    #[test]
    fn a_patch_of_one_value_or_of_no_numbers_is_black() {
        let mut patch = patch([4, 4, 6]);
        for value in [7.0, f32::NAN] {
            patch.image.fill(value);
            let slice = Slice::new(&patch);
            assert!(slice.draw([8, 8], &BTreeMap::new()).iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn no_more_tiles_than_fit_are_shown() {
        let mut sheet = sheet();
        for _ in 0..MOST_TILES + 3 {
            sheet.add(&patch([4, 4, 6]), [1.0; 3]);
        }
        assert_eq!((sheet.tiles.len(), sheet.layout()), (64, [8, 8]));
        assert_eq!(sheet.tiles[63].caption, "0063 liver_12");
    }

    #[test]
    fn many_labels_have_colours_of_their_own_and_names_within_the_picture() {
        let labels = (1..=40).map(|value| ClassLabel { value, name: format!("organ_number_{value}") });
        let mut sheet = ContactSheet::new(&labels.collect::<Vec<_>>());
        sheet.add(&patch([4, 4, 6]), [1.0; 3]);
        let colours: std::collections::BTreeSet<_> =
            sheet.names.iter().map(|(_, RGBColor(r, g, b))| (r, g, b)).collect();
        assert_eq!(colours.len(), 40);
        let (legend, [width, _]) = (sheet.legend(), sheet.size());
        assert!(legend.iter().all(|[left, _]| left + 26 + 10 * "organ number 1".len() <= width));
        assert!(legend.is_sorted_by_key(|[left, row]| (*row, *left)) && legend[39][1] > 10);
    }

    #[test]
    fn a_long_caption_ends_with_an_ellipsis() {
        assert_eq!(shortened("0001 short", 180), "0001 short");
        assert_eq!(shortened(&"x".repeat(40), 80), format!("{}…", "x".repeat(9)));
    }
}
