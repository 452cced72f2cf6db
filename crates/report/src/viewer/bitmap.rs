//! Images of RGB pixels, and writing them as PNG.

use std::path::Path;

use super::error::{ViewError, write_file};

/// An RGB image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitmap {
    /// Columns and rows.
    pub size: [usize; 2],
    /// Red, green and blue of each pixel, row by row.
    pub pixels: Vec<u8>,
}

impl Bitmap {
    /// Writes the image as PNG, atomically.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ViewError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.size[0] as u32, self.size[1] as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_adaptive_filter(png::AdaptiveFilterType::Adaptive);
        let result = encoder.write_header().and_then(|mut writer| writer.write_image_data(&self.pixels));
        result.expect("writing to memory cannot fail, and there are three bytes per pixel");
        write_file(path, &bytes)
    }
}
