//! Rendering of a slice: grey values, the label map at half opacity, and the outline of the prediction on top.
//!
//! GIF, PNG and contact sheets all use it; the viewer page renders in its script.

use std::collections::BTreeSet;

use plotters::prelude::RGBColor;

use super::bitmap::Bitmap;
use super::window::IntensityWindow;
use crate::appearance::palette::colour;
use volume::Label;

/// The opacity of a filled label.
pub const OPACITY: f32 = 0.5;
/// The brightness of pixels next to an outline, so that it is visible on every grey and on its own colour.
const HALO_BRIGHTNESS: f32 = 0.5;

/// The voxels of a slice, row by row from the upper left.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Columns and rows.
    pub size: [usize; 2],
    /// Millimetres between columns and between rows.
    pub spacing: [f64; 2],
    /// The intensities.
    pub values: Vec<f32>,
    /// The label map to draw filled.
    pub fill: Option<Vec<Label>>,
    /// The label map to draw as outlines.
    pub outline: Option<Vec<Label>>,
    /// Returns the colour of the outline of a label.
    pub outline_colour: fn(Label) -> RGBColor,
}

impl Slice {
    /// Returns the columns and rows of an image with square pixels whose longer side has the given number of pixels.
    pub fn size_with_side(&self, side: usize) -> [usize; 2] {
        let extent: [f64; 2] = std::array::from_fn(|axis| self.size[axis] as f64 * self.spacing[axis]);
        let scale = side as f64 / extent[0].max(extent[1]);
        extent.map(|mm| ((mm * scale).round() as usize).max(1))
    }

    /// Returns the labels of both maps, without the background.
    pub fn labels(&self) -> BTreeSet<Label> {
        let maps = [&self.fill, &self.outline].into_iter().flatten();
        maps.flatten().copied().filter(|label| *label > 0).collect()
    }

    /// Renders the slice with the given columns and rows.
    pub fn render(&self, size: [usize; 2], window: IntensityWindow) -> Bitmap {
        let greys = self.greys(size, window);
        let fill = self.fill.as_ref().map(|labels| self.nearest(labels, size));
        let outline = self.outline.as_ref().map(|labels| outline(&self.nearest(labels, size), size));
        let label_at = |labels: &Option<Vec<Label>>, pixel: usize| labels.as_ref().map_or(0, |labels| labels[pixel]);
        let is_next_to_outline = |pixel: usize| {
            outline.as_ref().is_some_and(|outline| neighbours(pixel, size).any(|neighbour| outline[neighbour] > 0))
        };
        let mut pixels = Vec::with_capacity(3 * greys.len());
        for (pixel, grey) in greys.into_iter().enumerate() {
            let (outlined, filled) = (label_at(&outline, pixel), label_at(&fill, pixel));
            let (overlay, opacity) = match (outlined, filled) {
                (0, 0) => (RGBColor(0, 0, 0), 0.0),
                (0, filled) => (colour(filled), OPACITY),
                (outlined, _) => ((self.outline_colour)(outlined), 1.0),
            };
            let brightness = if outlined == 0 && is_next_to_outline(pixel) { HALO_BRIGHTNESS } else { 1.0 };
            let RGBColor(red, green, blue) = overlay;
            let blend =
                |colour: u8| (brightness * (f32::from(colour) * opacity + grey * (1.0 - opacity))).round() as u8;
            pixels.extend([red, green, blue].map(blend));
        }
        Bitmap { size, pixels }
    }

    /// Resamples the grey values: linear interpolation to enlarge, area averaging to reduce.
    pub(super) fn greys(&self, size: [usize; 2], window: IntensityWindow) -> Vec<f32> {
        let [columns, rows] = [0, 1].map(|axis| resampling_weights(self.size[axis], size[axis]));
        // Windowing first makes NaN black, so that it does not spread to neighbours.
        let voxels: Vec<f32> = self.values.iter().map(|value| window.grey(*value)).collect();
        let mut resampled_rows = Vec::with_capacity(self.size[1] * size[0]);
        for row in voxels.chunks_exact(self.size[0]) {
            resampled_rows.extend(
                columns.iter().map(|weights| weights.iter().map(|(voxel, weight)| row[*voxel] * weight).sum::<f32>()),
            );
        }
        let mut greys = vec![0.0; size[0] * size[1]];
        for (row, weights) in greys.chunks_exact_mut(size[0]).zip(&rows) {
            for (source, weight) in weights {
                let voxels = &resampled_rows[source * size[0]..][..size[0]];
                row.iter_mut().zip(voxels).for_each(|(pixel, voxel)| *pixel += voxel * weight);
            }
        }
        greys
    }

    /// Returns the label at the centre of each pixel.
    pub(super) fn nearest(&self, labels: &[Label], size: [usize; 2]) -> Vec<Label> {
        let [columns, rows] = [0, 1].map(|axis| {
            let voxel = move |pixel: usize| ((2 * pixel + 1) * self.size[axis]) / (2 * size[axis]);
            (0..size[axis]).map(voxel).collect::<Vec<_>>()
        });
        rows.iter().flat_map(|row| columns.iter().map(move |column| labels[row * self.size[0] + column])).collect()
    }
}

/// Returns for each pixel along one axis the contributing voxels and their weights, which sum to 1.
fn resampling_weights(voxels: usize, pixels: usize) -> Vec<Vec<(usize, f32)>> {
    let scale = voxels as f64 / pixels as f64;
    let interpolate = |pixel: usize| {
        let position = ((pixel as f64 + 0.5) * scale - 0.5).clamp(0.0, voxels as f64 - 1.0);
        let low = position as usize;
        let weight = (position - low as f64) as f32;
        vec![(low, 1.0 - weight), ((low + 1).min(voxels - 1), weight)]
    };
    let average = |pixel: usize| {
        let (start, end) = (pixel as f64 * scale, (pixel as f64 + 1.0) * scale);
        let weight = |voxel: usize| ((end.min(voxel as f64 + 1.0) - start.max(voxel as f64)) / scale).max(0.0) as f32;
        (start as usize..(end.ceil() as usize).min(voxels)).map(|voxel| (voxel, weight(voxel))).collect()
    };
    (0..pixels).map(|pixel| if scale <= 1.0 { interpolate(pixel) } else { average(pixel) }).collect()
}

/// Returns the labels of pixels next to another label, and 0 elsewhere.
fn outline(labels: &[Label], size: [usize; 2]) -> Vec<Label> {
    let touches = |pixel: usize| neighbours(pixel, size).any(|neighbour| labels[neighbour] != labels[pixel]);
    (0..labels.len()).map(|pixel| if labels[pixel] > 0 && touches(pixel) { labels[pixel] } else { 0 }).collect()
}

/// Returns the four neighbours of a pixel.
fn neighbours(pixel: usize, [columns, rows]: [usize; 2]) -> impl Iterator<Item = usize> {
    let (column, row) = (pixel % columns, pixel / columns);
    let left = (column > 0).then(|| pixel - 1);
    let right = (column + 1 < columns).then_some(pixel + 1);
    let above = (row > 0).then(|| pixel - columns);
    let below = (row + 1 < rows).then_some(pixel + columns);
    [left, right, above, below].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appearance::palette::prediction_colour;

    const WINDOW: IntensityWindow = IntensityWindow { low: 0.0, high: 255.0 };

    fn slice(size: [usize; 2], values: &[f32]) -> Slice {
        Slice {
            size,
            spacing: [1.0, 1.0],
            values: values.to_vec(),
            fill: None,
            outline: None,
            outline_colour: prediction_colour,
        }
    }

    fn at(picture: &Bitmap, column: usize, row: usize) -> [u8; 3] {
        std::array::from_fn(|channel| picture.pixels[3 * (row * picture.size[0] + column) + channel])
    }

    #[test]
    fn pixels_are_square_in_millimetres() {
        let slice = Slice { spacing: [1.0, 3.0], ..slice([30, 20], &[0.0; 600]) };
        assert_eq!(slice.size_with_side(120), [60, 120]);
    }

    #[test]
    fn a_voxel_that_fills_a_pixel_keeps_its_grey() {
        let picture = slice([2, 1], &[10.0, 200.0]).render([2, 1], WINDOW);
        assert_eq!(picture.pixels, [10, 10, 10, 200, 200, 200]);
    }

    #[test]
    fn enlarging_interpolates_and_reducing_averages() {
        let wide = slice([2, 1], &[0.0, 200.0]);
        assert_eq!(wide.render([4, 1], WINDOW).pixels.chunks(3).map(|p| p[0]).collect::<Vec<_>>(), [0, 50, 150, 200]);
        let many = slice([4, 2], &[0.0, 100.0, 200.0, 200.0, 0.0, 100.0, 200.0, 200.0]);
        assert_eq!(many.render([2, 1], WINDOW).pixels.chunks(3).map(|p| p[0]).collect::<Vec<_>>(), [50, 200]);
    }

    #[test]
    fn nan_is_black_and_does_not_spread() {
        let picture = slice([3, 1], &[200.0, f32::NAN, 200.0]).render([3, 1], WINDOW);
        assert_eq!(picture.pixels.chunks(3).map(|p| p[0]).collect::<Vec<_>>(), [200, 0, 200]);
    }

    #[test]
    fn a_filled_label_has_half_opacity() {
        let slice = Slice { fill: Some(vec![0, 1]), ..slice([2, 1], &[100.0, 100.0]) };
        let RGBColor(red, green, blue) = colour(1);
        let picture = slice.render([2, 1], WINDOW);
        assert_eq!(at(&picture, 0, 0), [100; 3]);
        assert_eq!(at(&picture, 1, 0), [red, green, blue].map(|c| ((f32::from(c) + 100.0) / 2.0).round() as u8));
    }

    #[test]
    fn an_outline_is_opaque_and_one_pixel_wide() {
        let mut labels = vec![0; 36];
        (1..5).for_each(|row| labels[row * 6 + 1..row * 6 + 5].fill(2));
        let slice = Slice { outline: Some(labels), ..slice([6, 6], &[100.0; 36]) };
        let picture = slice.render([6, 6], WINDOW);
        let RGBColor(red, green, blue) = prediction_colour(2);
        assert_eq!((at(&picture, 1, 1), at(&picture, 4, 3)), ([red, green, blue], [red, green, blue]));
        // Pixels next to the outline are darker.
        assert_eq!((at(&picture, 0, 0), at(&picture, 0, 1), at(&picture, 2, 2)), ([100; 3], [50; 3], [50; 3]));
    }
}
