//! Contact sheets: slices in a grid, with captions, a title and a legend of labels.

use plotters::coord::Shift;
use plotters::element::BitMapElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::bitmap::Bitmap;
use super::slice::OPACITY;
use crate::appearance::{Canvas, use_own_font};
use crate::format::truncate;

/// Pixels between and around tiles.
const GAP: usize = 12;
/// The height of a caption in pixels.
const CAPTION_HEIGHT: usize = 24;
/// The height of a line of the title in pixels.
const TITLE_HEIGHT: usize = 24;
/// The height of a row of the legend in pixels.
const LEGEND_HEIGHT: usize = 32;
/// Upper bounds of the mean character widths in pixels.
const LEGEND_CHAR_WIDTH: usize = 10;
const TITLE_CHAR_WIDTH: usize = 9;
const CAPTION_CHAR_WIDTH: usize = 7;

/// The font size of direction labels.
const DIRECTION_SIZE: i32 = 17;
/// The offsets at which a direction label is drawn in black below itself.
const HALO: [(i32, i32); 16] = [
    (-2, -1),
    (-2, 0),
    (-2, 1),
    (-1, -2),
    (-1, -1),
    (-1, 1),
    (-1, 2),
    (0, -2),
    (0, 2),
    (1, -2),
    (1, -1),
    (1, 1),
    (1, 2),
    (2, -1),
    (2, 0),
    (2, 1),
];

const BACKGROUND: RGBColor = RGBColor(24, 24, 27);
const TEXT_COLOUR: RGBColor = RGBColor(228, 228, 231);
const CAPTION_COLOUR: RGBColor = RGBColor(190, 190, 198);

type DrawResult<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// A contact sheet.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    /// The title above the tiles; long titles are wrapped between words.
    pub title: String,
    /// The legend below the tiles.
    pub legend: Vec<LegendEntry>,
    /// The minimum width of a tile in pixels.
    pub min_tile_width: usize,
    /// The tiles, row by row.
    pub tiles: Vec<Tile>,
}

/// An entry of the legend: a swatch with a name. Without colours it is a remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegendEntry {
    /// The colour of the filled swatch, drawn with the opacity of labels.
    pub fill: Option<RGBColor>,
    /// The colour of the outline of the swatch.
    pub outline: Option<RGBColor>,
    /// The name.
    pub name: String,
}

/// An image of a contact sheet.
#[derive(Clone, Debug)]
pub struct Tile {
    /// The caption below the image.
    pub caption: String,
    /// The image.
    pub bitmap: Bitmap,
    /// The direction labels at the left, right, top and bottom, if they are known.
    pub directions: Option<[char; 4]>,
}

impl Sheet {
    /// Returns the columns and rows of tiles.
    pub fn layout(&self) -> [usize; 2] {
        let max_columns = self.tiles.len().clamp(1, 8);
        let columns = ((self.tiles.len() as f64).sqrt().ceil() as usize).clamp(2.min(max_columns), max_columns);
        [columns, self.tiles.len().div_ceil(columns)]
    }

    /// Renders the contact sheet.
    pub fn render(&self) -> Bitmap {
        use_own_font();
        let size = self.size();
        let mut pixels = vec![0; 3 * size[0] * size[1]];
        let area = Canvas::new(&mut pixels, size.map(|side| side as u32).into()).into_drawing_area();
        self.draw_on(&area).expect("drawing to memory cannot fail, and the font is embedded");
        drop(area);
        Bitmap { size, pixels }
    }

    /// Returns the size of the contact sheet in pixels.
    pub fn size(&self) -> [usize; 2] {
        let legend_rows = self.legend_positions().last().map_or(0, |[_, row]| row + 1);
        [self.width(), self.tiles_bottom() + legend_rows * LEGEND_HEIGHT + GAP]
    }

    fn width(&self) -> usize {
        GAP + self.layout()[0] * (self.cell()[0] + GAP)
    }

    /// Returns the size of the area for a tile's image.
    fn cell(&self) -> [usize; 2] {
        let largest = |axis: usize| self.tiles.iter().map(|tile| tile.bitmap.size[axis]).max().unwrap_or(0);
        [largest(0).max(self.min_tile_width), largest(1)]
    }

    /// Returns the y coordinate of the first tile.
    fn tiles_top(&self) -> usize {
        let lines = self.title_lines().len();
        if lines == 0 { GAP } else { GAP + lines * TITLE_HEIGHT }
    }

    fn tiles_bottom(&self) -> usize {
        self.tiles_top() + self.layout()[1] * (self.cell()[1] + CAPTION_HEIGHT + GAP)
    }

    /// Wraps the title between words.
    fn title_lines(&self) -> Vec<String> {
        let max_chars = (self.width() - 2 * GAP) / TITLE_CHAR_WIDTH;
        let mut lines: Vec<String> = Vec::new();
        for word in self.title.split_whitespace() {
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + word.chars().count() <= max_chars => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(truncate(word, max_chars)),
            }
        }
        lines
    }

    /// Returns for each entry of the legend its x coordinate and its row.
    fn legend_positions(&self) -> Vec<[usize; 2]> {
        let right = self.width() - GAP;
        let (mut left, mut row) = (GAP, 0);
        let position = |entry: &LegendEntry| {
            let width = 26 + LEGEND_CHAR_WIDTH * entry.name.chars().count();
            if left + width > right && left > GAP {
                (left, row) = (GAP, row + 1);
            }
            let position = [left, row];
            left += width + 24;
            position
        };
        self.legend.iter().map(position).collect()
    }

    fn draw_on<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> DrawResult<B> {
        area.fill(&BACKGROUND)?;
        let at_left = Pos::new(HPos::Left, VPos::Center);
        for (line, text) in self.title_lines().into_iter().enumerate() {
            let style = ("sans-serif", 17).into_font().color(&TEXT_COLOUR).pos(at_left);
            area.draw(&Text::new(
                text,
                (GAP as i32, (GAP / 2 + line * TITLE_HEIGHT + TITLE_HEIGHT / 2) as i32),
                style,
            ))?;
        }
        let [columns, _] = self.layout();
        let [width, height] = self.cell();
        for (index, tile) in self.tiles.iter().enumerate() {
            let left = GAP + index % columns * (width + GAP);
            let top = self.tiles_top() + index / columns * (height + CAPTION_HEIGHT + GAP);
            tile.draw_on(area, [left, top], [width, height])?;
        }
        for (entry, [left, row]) in self.legend.iter().zip(self.legend_positions()) {
            let (left, middle) = (left as i32, (self.tiles_bottom() + row * LEGEND_HEIGHT + LEGEND_HEIGHT / 2) as i32);
            let swatch = [(left, middle - 8), (left + 16, middle + 8)];
            if let Some(colour) = entry.fill {
                area.draw(&Rectangle::new(swatch, colour.mix(f64::from(OPACITY)).filled()))?;
            }
            if let Some(colour) = entry.outline {
                area.draw(&Rectangle::new(swatch, colour.stroke_width(2)))?;
            }
            let style = ("sans-serif", 18).into_font().color(&TEXT_COLOUR).pos(at_left);
            area.draw(&Text::new(entry.name.clone(), (left + 26, middle + 2), style))?;
        }
        area.present()
    }
}

impl Tile {
    /// Draws the image in the centre of a cell, with its caption and direction labels.
    fn draw_on<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        [left, top]: [usize; 2],
        [width, height]: [usize; 2],
    ) -> DrawResult<B> {
        let size = self.bitmap.size;
        let corner = [left + (width - size[0]) / 2, top + (height - size[1]) / 2].map(|pixels| pixels as i32);
        let pixels = self.bitmap.pixels.clone();
        let bitmap = BitMapElement::<_>::with_owned_buffer(corner.into(), size.map(|side| side as u32).into(), pixels);
        area.draw(&bitmap.expect("there are three bytes per pixel"))?;
        let centred = Pos::new(HPos::Center, VPos::Center);
        let style = ("sans-serif", 15).into_font().color(&CAPTION_COLOUR).pos(centred);
        let below = ((left + width / 2) as i32, (top + height + CAPTION_HEIGHT / 2) as i32);
        area.draw(&Text::new(truncate(&self.caption, width / CAPTION_CHAR_WIDTH), below, style))?;
        let Some(directions) = self.directions else { return Ok(()) };
        let [right, bottom] = [0, 1].map(|axis| corner[axis] + size[axis] as i32);
        let [centre, middle] = [0, 1].map(|axis| corner[axis] + size[axis] as i32 / 2);
        let positions = [(corner[0] + 9, middle), (right - 9, middle), (centre, corner[1] + 10), (centre, bottom - 10)];
        for (direction, (x, y)) in directions.into_iter().zip(positions) {
            // The halo makes the letter readable on bright bone.
            for (dx, dy) in HALO {
                let style = ("sans-serif", DIRECTION_SIZE).into_font().color(&BLACK).pos(centred);
                area.draw(&Text::new(direction.to_string(), (x + dx, y + dy), style))?;
            }
            let style = ("sans-serif", DIRECTION_SIZE).into_font().color(&WHITE).pos(centred);
            area.draw(&Text::new(direction.to_string(), (x, y), style))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(tiles: usize) -> Sheet {
        let bitmap = Bitmap { size: [180, 90], pixels: vec![255; 3 * 180 * 90] };
        let tile = Tile { caption: "0001 liver_12".to_owned(), bitmap, directions: Some(['R', 'L', 'A', 'P']) };
        Sheet { min_tile_width: 180, tiles: vec![tile; tiles], ..Sheet::default() }
    }

    fn entry(name: String) -> LegendEntry {
        LegendEntry { fill: Some(WHITE), outline: None, name }
    }

    #[test]
    fn direction_labels_are_dark_and_bright_on_white_and_on_black() {
        for grey in [0, 255] {
            let mut sheet = sheet(1);
            sheet.tiles[0].bitmap.pixels.fill(grey);
            let picture = sheet.render();
            // The letter at the left, in the middle of the height of the tile.
            let row = |y: usize| &picture.pixels[3 * (y * picture.size[0] + GAP)..][..3 * 20];
            let letter: Vec<u8> = (GAP + 30..GAP + 60).flat_map(row).copied().collect();
            assert!(letter.iter().any(|value| *value < 40) && letter.iter().any(|value| *value > 215), "on {grey}");
        }
    }

    #[test]
    fn tiles_form_about_a_square_of_at_most_eight_columns() {
        assert_eq!(
            [1, 2, 5, 12, 64, 80].map(|tiles| sheet(tiles).layout()),
            [[1, 1], [2, 1], [3, 2], [4, 3], [8, 8], [8, 10]]
        );
    }

    #[test]
    fn the_size_includes_tiles_captions_title_and_legend() {
        let mut sheet = sheet(5);
        assert_eq!(sheet.size(), [GAP + 3 * (180 + GAP), GAP + 2 * (90 + CAPTION_HEIGHT + GAP) + GAP]);
        let before = sheet.size()[1];
        sheet.legend = vec![entry("liver".to_owned())];
        assert_eq!(sheet.size()[1], before + LEGEND_HEIGHT);
        sheet.title = "a title".to_owned();
        assert_eq!(sheet.size()[1], before + LEGEND_HEIGHT + TITLE_HEIGHT);
        let picture = sheet.render();
        assert_eq!(picture.pixels.len(), 3 * picture.size[0] * picture.size[1]);
        let white = picture.pixels.chunks(3).filter(|pixel| *pixel == [255; 3]).count();
        assert!(white > 5 * 85 * 180, "the tiles are drawn, with a few direction labels on them");
    }

    #[test]
    fn a_long_title_is_wrapped_between_words() {
        let mut sheet = sheet(1);
        sheet.title = "liver_12 axial slices in the window -160 to 240".to_owned();
        let lines = sheet.title_lines();
        assert!(lines.len() > 1 && lines.iter().all(|line| line.chars().count() <= 20), "{lines:?}");
        assert_eq!(lines.join(" "), sheet.title);
    }

    #[test]
    fn a_long_legend_is_wrapped() {
        let mut sheet = sheet(1);
        sheet.legend = (1..=40).map(|label| entry(format!("organ number {label}"))).collect();
        let positions = sheet.legend_positions();
        assert!(positions.iter().all(|[left, _]| left + 26 + 10 * "organ number 1".len() <= sheet.size()[0]));
        assert!(positions.is_sorted_by_key(|[left, row]| (*row, *left)) && positions[39][1] > 10);
    }
}
