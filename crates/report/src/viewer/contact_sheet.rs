//! Pictures of slices on one sheet, with captions, a title and a legend of labels.

use plotters::coord::Shift;
use plotters::element::BitMapElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::picture::{OPACITY, Picture};
use crate::appearance::palette::colour;
use crate::appearance::use_own_font;
use volume::Label;

/// Pixels between tiles and around them.
const GAP: usize = 12;
/// Pixels below a slice for its caption.
const CAPTION: usize = 24;
/// Pixels of a line of the title.
const TITLE: usize = 24;
/// Pixels of a row of names of labels.
const ROW: usize = 32;
/// A little more than the width of a letter of the legend, of the title, and of a caption.
const LETTER: [usize; 3] = [10, 9, 7];

const PAPER: RGBColor = RGBColor(24, 24, 27);
const INK: RGBColor = RGBColor(228, 228, 231);
const FAINT: RGBColor = RGBColor(190, 190, 198);

type DrawResult<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// A sheet of pictures.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    /// What stands above all tiles; a line that is too long is unreadable between words.
    pub title: String,
    /// Labels and their names, below all tiles; 0 has no colour and stands before a remark.
    pub legend: Vec<(Label, String)>,
    /// The least width of a tile in pixels, so that its caption can be read.
    pub min_tile_width: usize,
    /// The pictures, row by row.
    pub tiles: Vec<Tile>,
}

/// One picture of a sheet.
#[derive(Clone, Debug)]
pub struct Tile {
    /// What stands below it.
    pub caption: String,
    /// The picture.
    pub picture: Picture,
    /// What lies to the left, to the right, above and below, where it is known.
    pub letters: Option<[char; 4]>,
}

impl Sheet {
    /// Columns and rows of tiles.
    pub fn layout(&self) -> [usize; 2] {
        let most = self.tiles.len().clamp(1, 8);
        let columns = ((self.tiles.len() as f64).sqrt().ceil() as usize).clamp(2.min(most), most);
        [columns, self.tiles.len().div_ceil(columns)]
    }

    /// The whole sheet as one picture.
    pub fn draw(&self) -> Picture {
        use_own_font();
        let size = self.size();
        let mut pixels = vec![0; 3 * size[0] * size[1]];
        let area = BitMapBackend::with_buffer(&mut pixels, size.map(|side| side as u32).into()).into_drawing_area();
        self.draw_on(&area).expect("a picture in memory takes every pixel, and the font is part of the program");
        drop(area);
        Picture { size, pixels }
    }

    /// Columns and rows of the whole picture.
    pub fn size(&self) -> [usize; 2] {
        let legend_rows = self.legend_places().last().map_or(0, |[_, row]| row + 1);
        [self.width(), self.tiles_end() + legend_rows * ROW + GAP]
    }

    fn width(&self) -> usize {
        GAP + self.layout()[0] * (self.cell()[0] + GAP)
    }

    /// Room for the picture of a tile.
    fn cell(&self) -> [usize; 2] {
        let longest = |axis: usize| self.tiles.iter().map(|tile| tile.picture.size[axis]).max().unwrap_or(0);
        [longest(0).max(self.min_tile_width), longest(1)]
    }

    /// Where the tiles begin, below the title.
    fn tiles_start(&self) -> usize {
        let lines = self.title_lines().len();
        if lines == 0 { GAP } else { GAP + lines * TITLE }
    }

    fn tiles_end(&self) -> usize {
        self.tiles_start() + self.layout()[1] * (self.cell()[1] + CAPTION + GAP)
    }

    /// The title, unreadable between words so that it fits.
    fn title_lines(&self) -> Vec<String> {
        let most = (self.width() - 2 * GAP) / LETTER[1];
        let mut lines: Vec<String> = Vec::new();
        for word in self.title.split_whitespace() {
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(shortened(word, most)),
            }
        }
        lines
    }

    /// Where each label's name stands: pixels from the left, and the row below the tiles.
    fn legend_places(&self) -> Vec<[usize; 2]> {
        let right = self.width() - GAP;
        let (mut left, mut row) = (GAP, 0);
        let place = |(_, name): &(Label, String)| {
            let width = 26 + LETTER[0] * name.chars().count();
            if left + width > right && left > GAP {
                (left, row) = (GAP, row + 1);
            }
            let place = [left, row];
            left += width + 24;
            place
        };
        self.legend.iter().map(place).collect()
    }

    fn draw_on<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> DrawResult<B> {
        area.fill(&PAPER)?;
        let at_left = Pos::new(HPos::Left, VPos::Center);
        for (line, text) in self.title_lines().into_iter().enumerate() {
            let style = ("sans-serif", 17).into_font().color(&INK).pos(at_left);
            area.draw(&Text::new(text, (GAP as i32, (GAP / 2 + line * TITLE + TITLE / 2) as i32), style))?;
        }
        let [columns, _] = self.layout();
        let [width, height] = self.cell();
        for (place, tile) in self.tiles.iter().enumerate() {
            let left = GAP + place % columns * (width + GAP);
            let top = self.tiles_start() + place / columns * (height + CAPTION + GAP);
            tile.draw_on(area, [left, top], [width, height])?;
        }
        for ((label, name), [left, row]) in self.legend.iter().zip(self.legend_places()) {
            let (left, middle) = (left as i32, (self.tiles_end() + row * ROW + ROW / 2) as i32);
            let swatch = [(left, middle - 8), (left + 16, middle + 8)];
            if *label > 0 {
                area.draw(&Rectangle::new(swatch, colour(*label).mix(f64::from(OPACITY)).filled()))?;
                area.draw(&Rectangle::new(swatch, colour(*label).stroke_width(2)))?;
            }
            let style = ("sans-serif", 18).into_font().color(&INK).pos(at_left);
            area.draw(&Text::new(name.clone(), (left + 26, middle + 2), style))?;
        }
        area.present()
    }
}

impl Tile {
    /// Draws the tile in the middle of a cell.
    fn draw_on<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        [left, top]: [usize; 2],
        [width, height]: [usize; 2],
    ) -> DrawResult<B> {
        let size = self.picture.size;
        let corner = [left + (width - size[0]) / 2, top + (height - size[1]) / 2].map(|pixels| pixels as i32);
        let pixels = self.picture.pixels.clone();
        let bitmap = BitMapElement::<_>::with_owned_buffer(corner.into(), size.map(|side| side as u32).into(), pixels);
        area.draw(&bitmap.expect("a picture has three bytes for each pixel"))?;
        let centred = Pos::new(HPos::Center, VPos::Center);
        let style = ("sans-serif", 15).into_font().color(&FAINT).pos(centred);
        let below = ((left + width / 2) as i32, (top + height + CAPTION / 2) as i32);
        area.draw(&Text::new(shortened(&self.caption, width / LETTER[2]), below, style))?;
        let Some(letters) = self.letters else { return Ok(()) };
        let [right, bottom] = [0, 1].map(|axis| corner[axis] + size[axis] as i32);
        let [centre, middle] = [0, 1].map(|axis| corner[axis] + size[axis] as i32 / 2);
        let places = [(corner[0] + 9, middle), (right - 9, middle), (centre, corner[1] + 10), (centre, bottom - 10)];
        for (letter, (x, y)) in letters.into_iter().zip(places) {
            // A shadow, for the letter may lie on white.
            for (colour, shift) in [(BLACK, 1), (INK, 0)] {
                let style = ("sans-serif", 15).into_font().color(&colour).pos(centred);
                area.draw(&Text::new(letter.to_string(), (x + shift, y + shift), style))?;
            }
        }
        Ok(())
    }
}

/// As many letters of a text as fit.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(tiles: usize) -> Sheet {
        let picture = Picture { size: [180, 90], pixels: vec![255; 3 * 180 * 90] };
        let tile = Tile { caption: "0001 liver_12".to_owned(), picture, letters: Some(['R', 'L', 'A', 'P']) };
        Sheet { min_tile_width: 180, tiles: vec![tile; tiles], ..Sheet::default() }
    }

    #[test]
    fn tiles_fill_about_a_square_and_no_more_than_eight_columns() {
        assert_eq!(
            [1, 2, 5, 12, 64, 80].map(|tiles| sheet(tiles).layout()),
            [[1, 1], [2, 1], [3, 2], [4, 3], [8, 8], [8, 10]]
        );
    }

    #[test]
    fn the_picture_holds_tiles_captions_title_and_legend() {
        let mut sheet = sheet(5);
        assert_eq!(sheet.size(), [GAP + 3 * (180 + GAP), GAP + 2 * (90 + CAPTION + GAP) + GAP]);
        let before = sheet.size()[1];
        sheet.legend = vec![(1, "liver".to_owned())];
        assert_eq!(sheet.size()[1], before + ROW);
        sheet.title = "a title".to_owned();
        assert_eq!(sheet.size()[1], before + ROW + TITLE);
        let picture = sheet.draw();
        assert_eq!(picture.pixels.len(), 3 * picture.size[0] * picture.size[1]);
        let white = picture.pixels.chunks(3).filter(|pixel| *pixel == [255; 3]).count();
        assert!(white > 5 * 85 * 180, "the tiles are drawn, with a few letters on them");
    }

    #[test]
    fn a_long_title_is_broken_between_words() {
        let mut sheet = sheet(1);
        sheet.title = "liver_12 axial slices in the window -160 to 240".to_owned();
        let lines = sheet.title_lines();
        assert!(lines.len() > 1 && lines.iter().all(|line| line.chars().count() <= 20), "{lines:?}");
        assert_eq!(lines.join(" "), sheet.title);
    }

    #[test]
    fn names_of_many_labels_stay_within_the_picture() {
        let mut sheet = sheet(1);
        sheet.legend = (1..=40).map(|label| (label, format!("organ number {label}"))).collect();
        let places = sheet.legend_places();
        assert!(places.iter().all(|[left, _]| left + 26 + 10 * "organ number 1".len() <= sheet.size()[0]));
        assert!(places.is_sorted_by_key(|[left, row]| (*row, *left)) && places[39][1] > 10);
    }

    #[test]
    fn a_long_caption_ends_with_an_ellipsis() {
        assert_eq!(shortened("0001 short", 22), "0001 short");
        assert_eq!(shortened(&"x".repeat(40), 10), format!("{}…", "x".repeat(9)));
    }
}
