//! The legend right of a plot: as wide as its names need, with long names in several lines.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::text;

/// Size of the letters in pixels.
const LETTERS: u32 = 20;
/// Width of the line before a name, with the space after it, in pixels.
const MARK: u32 = 42;
/// Space right of the names in pixels.
const MARGIN: u32 = 18;
/// Minimum and maximum width of the names in pixels.
const NAMES: (u32, u32) = (150, 340);
/// Height of a name's first line, and of each further one, in pixels.
const ROW: (u32, u32) = (34, 24);
/// Space above the first row in pixels.
const TOP: u32 = 80;

/// A legend.
pub(super) struct Legend<'a> {
    /// The rows: the lines of a name, and the style of its curve.
    rows: Vec<(Vec<String>, ShapeStyle)>,
    width: u32,
    /// The names that were given.
    names: Vec<&'a str>,
}

impl<'a> Legend<'a> {
    /// Lays out the names and styles of curves.
    pub fn new(curves: impl IntoIterator<Item = (&'a str, ShapeStyle)>) -> Self {
        let curves: Vec<(&str, ShapeStyle)> = curves.into_iter().collect();
        let longest = curves.iter().map(|(name, _)| text::width(name, LETTERS)).max().unwrap_or(0);
        let width = longest.clamp(NAMES.0, NAMES.1);
        let names = curves.iter().map(|(name, _)| *name).collect();
        let rows = curves.into_iter().map(|(name, style)| (text::wrapped(name, LETTERS, width), style)).collect();
        Self { rows, width, names }
    }

    /// Returns its width in pixels.
    pub fn width(&self) -> u32 {
        MARK + self.width + MARGIN
    }

    /// Draws the rows that fit, and says how many more there are.
    pub fn draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let letters = ("sans-serif", LETTERS);
        let (_, height) = area.dim_in_pixel();
        let mut y = TOP;
        for (index, (lines, style)) in self.rows.iter().enumerate() {
            let own = ROW.0 + ROW.1 * (lines.len() as u32 - 1);
            let is_last = index + 1 == self.rows.len();
            // The row that says how many there are needs its own place.
            if y + own + if is_last { 0 } else { ROW.0 } > height {
                let more = format!("and {} more", self.names.len() - index);
                return area.draw(&Text::new(more, (MARK as i32, y as i32 - 10), letters));
            }
            area.draw(&PathElement::new([(0, y as i32), (32, y as i32)], *style))?;
            for (number, line) in lines.iter().enumerate() {
                let top = (y + ROW.1 * number as u32) as i32 - 10;
                area.draw(&Text::new(line.clone(), (MARK as i32, top), letters))?;
            }
            y += own;
        }
        Ok(())
    }
}
