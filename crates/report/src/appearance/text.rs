//! A bitmap backend of plotters that spaces letters evenly.
//!
//! Plotters rounds the position of each letter to whole pixels and ignores its side bearing, which makes gaps within words.
//! Here letters are rasterized at their exact horizontal position.

use std::sync::OnceLock;

use ab_glyph::{Font, FontRef, OutlinedGlyph, ScaleFont, point};
use plotters::backend::BitMapBackend;
use plotters::prelude::DrawingBackend;
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingErrorKind};

/// An RGB picture to draw on.
pub(crate) struct Canvas<'a> {
    pixels: BitMapBackend<'a>,
}

impl<'a> Canvas<'a> {
    /// Draws on a buffer of three bytes per pixel.
    pub(crate) fn new(buffer: &'a mut [u8], size: (u32, u32)) -> Self {
        Self { pixels: BitMapBackend::with_buffer(buffer, size) }
    }
}

type Drawn<'a> = Result<(), DrawingErrorKind<<BitMapBackend<'a> as DrawingBackend>::ErrorType>>;

impl<'a> DrawingBackend for Canvas<'a> {
    type ErrorType = <BitMapBackend<'a> as DrawingBackend>::ErrorType;

    fn get_size(&self) -> (u32, u32) {
        self.pixels.get_size()
    }

    fn ensure_prepared(&mut self) -> Drawn<'a> {
        self.pixels.ensure_prepared()
    }

    fn present(&mut self) -> Drawn<'a> {
        self.pixels.present()
    }

    fn draw_pixel(&mut self, at: BackendCoord, colour: BackendColor) -> Drawn<'a> {
        self.pixels.draw_pixel(at, colour)
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn<'a> {
        self.pixels.draw_line(from, to, style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        lower_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn<'a> {
        self.pixels.draw_rect(upper_left, lower_right, style, fill)
    }

    fn blit_bitmap(&mut self, at: BackendCoord, size: (u32, u32), source: &[u8]) -> Drawn<'a> {
        self.pixels.blit_bitmap(at, size, source)
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Drawn<'a> {
        let layout = style.layout_box(text).map_err(|error| DrawingErrorKind::FontError(Box::new(error)))?;
        let ((left, top), (right, bottom)) = layout;
        let dx = match style.anchor().h_pos {
            HPos::Left => 0,
            HPos::Right => left - right,
            HPos::Center => (left - right) / 2,
        };
        let dy = match style.anchor().v_pos {
            VPos::Top => 0,
            VPos::Center => (top - bottom) / 2,
            VPos::Bottom => top - bottom,
        };
        // Plotters puts the baseline at half the font size.
        let baseline = (style.size() / 2.0) as i32;
        let (transform, colour) = (style.transform(), style.color());
        let (width, height) = self.get_size();
        for (x, y, coverage) in coverage(text, style.size() as f32) {
            let (x, y) = transform.transform(x + dx, y + dy + baseline);
            let (x, y) = (at.0 + x, at.1 + y);
            if (0..width as i32).contains(&x) && (0..height as i32).contains(&y) {
                let alpha = colour.alpha * f64::from(coverage);
                self.draw_pixel((x, y), BackendColor { alpha, ..colour })?;
            }
        }
        Ok(())
    }
}

/// Returns the pixels of a text with the fraction of each that letters cover. The text starts at x = 0 with its baseline at
/// y = 0.
fn coverage(text: &str, size: f32) -> Vec<(i32, i32, f32)> {
    let mut pixels = Vec::new();
    for glyph in glyphs(text, size) {
        let corner = glyph.px_bounds().min;
        glyph.draw(|x, y, coverage| {
            if coverage > 0.0 {
                pixels.push((corner.x as i32 + x as i32, corner.y as i32 + y as i32, coverage.min(1.0)));
            }
        });
    }
    pixels
}

/// Returns the outlines of the letters at their positions.
fn glyphs(text: &str, size: f32) -> Vec<OutlinedGlyph> {
    static FONT: OnceLock<FontRef<'static>> = OnceLock::new();
    let font = FONT.get_or_init(|| {
        FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT).expect("the embedded font is valid")
    });
    let scaled = font.as_scaled(size);
    let (mut x, mut previous, mut outlines) = (0.0, None, Vec::new());
    for letter in text.chars() {
        let id = scaled.glyph_id(letter);
        x += previous.map_or(0.0, |previous| scaled.kern(previous, id));
        outlines.extend(font.outline_glyph(id.with_scale_and_position(size, point(x, 0.0))));
        x += scaled.h_advance(id);
        previous = Some(id);
    }
    outlines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the distances between the centres of neighbouring letters, which must not touch.
    fn distances(text: &str, size: f32) -> Vec<f32> {
        let pixels = coverage(text, size);
        let right = pixels.iter().map(|(x, ..)| *x).max().unwrap() + 1;
        let ink = |x: i32| pixels.iter().filter(|pixel| pixel.0 == x).map(|pixel| pixel.2).sum::<f32>();
        let columns: Vec<(f32, f32)> = (0..=right).map(|x| (x as f32, ink(x))).collect();
        let letters = columns.split(|(_, ink)| *ink < 0.05 * size).filter(|letter| !letter.is_empty());
        let centre = |letter: &[(f32, f32)]| {
            letter.iter().map(|(x, ink)| x * ink).sum::<f32>() / letter.iter().map(|(_, ink)| ink).sum::<f32>()
        };
        let centres: Vec<f32> = letters.map(centre).collect();
        centres.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    #[test]
    fn equal_letters_are_evenly_spaced() {
        for size in [15.0, 17.0, 18.0, 20.0] {
            let distances = distances("llllllllllll", size);
            let low = distances.iter().copied().fold(f32::MAX, f32::min);
            let high = distances.iter().copied().fold(0.0, f32::max);
            // Whole pixels would differ by one.
            assert!(distances.len() == 11 && high - low < 0.2, "at {size}: {distances:?}");
        }
    }
}
