//! One slice as pixels: grey, labels at half opacity over it, a prediction's outline on top.
//!
//! Whatever shows voxels in a picture shows them by this file.

use std::collections::BTreeSet;

use plotters::prelude::RGBColor;

use super::window::Window;
use crate::appearance::palette::colour;
use volume::Label;

/// How much of a filled label's colour covers the grey.
pub const OPACITY: f32 = 0.5;
/// How bright the pixels beside an outline stay, so that it shows on every grey and on its own colour.
const BESIDE: f32 = 0.5;

/// The voxels of one slice, row by row from the upper left, as they are looked at.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Columns and rows.
    pub size: [usize; 2],
    /// Millimetres between columns and between rows.
    pub spacing: [f64; 2],
    /// Intensities.
    pub values: Vec<f32>,
    /// The label map that is filled.
    pub fill: Option<Vec<Label>>,
    /// The label map that is outlined.
    pub contour: Option<Vec<Label>>,
}

/// A picture of some columns and rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Columns and rows.
    pub size: [usize; 2],
    /// Red, green and blue of each pixel, row by row.
    pub pixels: Vec<u8>,
}

impl Slice {
    /// Columns and rows of a picture with a longer side of so many pixels, in which millimetres are equal on both.
    pub fn fitting(&self, side: usize) -> [usize; 2] {
        let extent: [f64; 2] = std::array::from_fn(|axis| self.size[axis] as f64 * self.spacing[axis]);
        let scale = side as f64 / extent[0].max(extent[1]);
        extent.map(|mm| ((mm * scale).round() as usize).max(1))
    }

    /// The labels of both maps, without the background.
    pub fn labels(&self) -> BTreeSet<Label> {
        let maps = [&self.fill, &self.contour].into_iter().flatten();
        maps.flatten().copied().filter(|label| *label > 0).collect()
    }

    /// The slice as a picture of some columns and rows.
    pub fn draw(&self, size: [usize; 2], window: Window) -> Picture {
        let greys = self.greys(size, window);
        let fill = self.fill.as_ref().map(|labels| self.nearest(labels, size));
        let outline = self.contour.as_ref().map(|labels| outline(&self.nearest(labels, size), size));
        let label_at = |labels: &Option<Vec<Label>>, pixel: usize| labels.as_ref().map_or(0, |labels| labels[pixel]);
        let is_beside = |pixel: usize| {
            outline.as_ref().is_some_and(|outline| neighbours(pixel, size).any(|neighbour| outline[neighbour] > 0))
        };
        let mut pixels = Vec::with_capacity(3 * greys.len());
        for (pixel, grey) in greys.into_iter().enumerate() {
            let (outlined, filled) = (label_at(&outline, pixel), label_at(&fill, pixel));
            let (label, share) = match (outlined, filled) {
                (0, 0) => (0, 0.0),
                (0, filled) => (filled, OPACITY),
                (outlined, _) => (outlined, 1.0),
            };
            let bright = if outlined == 0 && is_beside(pixel) { BESIDE } else { 1.0 };
            let RGBColor(red, green, blue) = colour(label);
            let over = |colour: u8| (bright * (f32::from(colour) * share + grey * (1.0 - share))).round() as u8;
            pixels.extend([red, green, blue].map(over));
        }
        Picture { size, pixels }
    }

    /// The grey of each pixel: between voxels where the picture has more pixels, their mean where it has fewer.
    fn greys(&self, size: [usize; 2], window: Window) -> Vec<f32> {
        let [columns, rows] = [0, 1].map(|axis| shares(self.size[axis], size[axis]));
        // Grey first, so that a voxel that is no number darkens its pixel and spoils no other.
        let voxels: Vec<f32> = self.values.iter().map(|value| window.grey(*value)).collect();
        let mut wide = Vec::with_capacity(self.size[1] * size[0]);
        for row in voxels.chunks_exact(self.size[0]) {
            wide.extend(
                columns.iter().map(|shares| shares.iter().map(|(place, share)| row[*place] * share).sum::<f32>()),
            );
        }
        let mut greys = vec![0.0; size[0] * size[1]];
        for (row, shares) in greys.chunks_exact_mut(size[0]).zip(&rows) {
            for (place, share) in shares {
                let voxels = &wide[place * size[0]..][..size[0]];
                row.iter_mut().zip(voxels).for_each(|(pixel, voxel)| *pixel += voxel * share);
            }
        }
        greys
    }

    /// The label of the voxel that each pixel's centre lies in.
    fn nearest(&self, labels: &[Label], size: [usize; 2]) -> Vec<Label> {
        let [columns, rows] = [0, 1].map(|axis| {
            let voxel = move |pixel: usize| ((2 * pixel + 1) * self.size[axis]) / (2 * size[axis]);
            (0..size[axis]).map(voxel).collect::<Vec<_>>()
        });
        rows.iter().flat_map(|row| columns.iter().map(move |column| labels[row * self.size[0] + column])).collect()
    }
}

/// The voxels that make up each pixel along one axis, with their shares, which add up to 1.
fn shares(voxels: usize, pixels: usize) -> Vec<Vec<(usize, f32)>> {
    let scale = voxels as f64 / pixels as f64;
    let between = |pixel: usize| {
        let place = ((pixel as f64 + 0.5) * scale - 0.5).clamp(0.0, voxels as f64 - 1.0);
        let low = place as usize;
        let share = (place - low as f64) as f32;
        vec![(low, 1.0 - share), ((low + 1).min(voxels - 1), share)]
    };
    let covered = |pixel: usize| {
        let (start, end) = (pixel as f64 * scale, (pixel as f64 + 1.0) * scale);
        let share = |voxel: usize| ((end.min(voxel as f64 + 1.0) - start.max(voxel as f64)) / scale).max(0.0) as f32;
        (start as usize..(end.ceil() as usize).min(voxels)).map(|voxel| (voxel, share(voxel))).collect()
    };
    (0..pixels).map(|pixel| if scale <= 1.0 { between(pixel) } else { covered(pixel) }).collect()
}

/// The labels of the pixels that touch another label; 0 elsewhere.
fn outline(labels: &[Label], size: [usize; 2]) -> Vec<Label> {
    let touches = |pixel: usize| neighbours(pixel, size).any(|neighbour| labels[neighbour] != labels[pixel]);
    (0..labels.len()).map(|pixel| if labels[pixel] > 0 && touches(pixel) { labels[pixel] } else { 0 }).collect()
}

/// The pixels beside, above and below a pixel.
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

    const WINDOW: Window = Window { low: 0.0, high: 255.0 };

    fn slice(size: [usize; 2], values: &[f32]) -> Slice {
        Slice { size, spacing: [1.0, 1.0], values: values.to_vec(), fill: None, contour: None }
    }

    fn at(picture: &Picture, column: usize, row: usize) -> [u8; 3] {
        std::array::from_fn(|channel| picture.pixels[3 * (row * picture.size[0] + column) + channel])
    }

    #[test]
    fn millimetres_are_equal_on_both_sides() {
        let slice = Slice { spacing: [1.0, 3.0], ..slice([30, 20], &[0.0; 600]) };
        assert_eq!(slice.fitting(120), [60, 120]);
    }

    #[test]
    fn a_voxel_of_its_own_pixel_keeps_its_grey() {
        let picture = slice([2, 1], &[10.0, 200.0]).draw([2, 1], WINDOW);
        assert_eq!(picture.pixels, [10, 10, 10, 200, 200, 200]);
    }

    #[test]
    fn more_pixels_lie_between_voxels_and_fewer_are_their_mean() {
        let wide = slice([2, 1], &[0.0, 200.0]);
        assert_eq!(wide.draw([4, 1], WINDOW).pixels.chunks(3).map(|p| p[0]).collect::<Vec<_>>(), [0, 50, 150, 200]);
        let many = slice([4, 2], &[0.0, 100.0, 200.0, 200.0, 0.0, 100.0, 200.0, 200.0]);
        assert_eq!(many.draw([2, 1], WINDOW).pixels.chunks(3).map(|p| p[0]).collect::<Vec<_>>(), [50, 200]);
    }

    #[test]
    fn what_is_no_number_darkens_its_own_pixel_alone() {
        let picture = slice([3, 1], &[200.0, f32::NAN, 200.0]).draw([3, 1], WINDOW);
        assert_eq!(picture.pixels.chunks(3).map(|p| p[0]).collect::<Vec<_>>(), [200, 0, 200]);
    }

    #[test]
    fn a_filled_label_covers_half() {
        let slice = Slice { fill: Some(vec![0, 1]), ..slice([2, 1], &[100.0, 100.0]) };
        let RGBColor(red, green, blue) = colour(1);
        let picture = slice.draw([2, 1], WINDOW);
        assert_eq!(at(&picture, 0, 0), [100; 3]);
        assert_eq!(at(&picture, 1, 0), [red, green, blue].map(|c| ((f32::from(c) + 100.0) / 2.0).round() as u8));
    }

    #[test]
    fn a_contour_is_one_pixel_wide_and_not_seen_through() {
        let mut labels = vec![0; 36];
        (1..5).for_each(|row| labels[row * 6 + 1..row * 6 + 5].fill(2));
        let slice = Slice { contour: Some(labels), ..slice([6, 6], &[100.0; 36]) };
        let picture = slice.draw([6, 6], WINDOW);
        let RGBColor(red, green, blue) = colour(2);
        assert_eq!((at(&picture, 1, 1), at(&picture, 4, 3)), ([red, green, blue], [red, green, blue]));
        // It is dark beside the line.
        assert_eq!((at(&picture, 0, 0), at(&picture, 0, 1), at(&picture, 2, 2)), ([100; 3], [50; 3], [50; 3]));
    }
}
