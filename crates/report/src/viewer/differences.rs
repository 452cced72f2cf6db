//! Where label map and prediction differ: which voxels are missed, and which are predicted wrongly.

use plotters::prelude::RGBColor;

use super::bitmap::Bitmap;
use super::contact_sheet::LegendEntry;
use super::scene::Scene;
use super::slice::Slice;
use super::window::IntensityWindow;
use volume::Label;

/// How the prediction of a voxel relates to its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agreement {
    /// Both have the same label.
    Correct,
    /// The voxel has a label, and the prediction none.
    FalseNegative,
    /// The prediction has a label, and the voxel none.
    FalsePositive,
    /// Both have labels, but different ones.
    OtherLabel,
}

impl Agreement {
    const ALL: [Self; 4] = [Self::Correct, Self::FalseNegative, Self::FalsePositive, Self::OtherLabel];

    /// Returns the agreement of two labels; `None` if both are background.
    fn of(label: Label, prediction: Label) -> Option<Self> {
        match (label, prediction) {
            (0, 0) => None,
            (label, prediction) if label == prediction => Some(Self::Correct),
            (_, 0) => Some(Self::FalseNegative),
            (0, _) => Some(Self::FalsePositive),
            _ => Some(Self::OtherLabel),
        }
    }

    /// Returns the colour and its opacity. Errors have colours that are distinguishable with colour-vision deficiency.
    const fn colour(self) -> (RGBColor, f32) {
        match self {
            Self::Correct => (RGBColor(255, 255, 255), 0.3),
            Self::FalseNegative => (RGBColor(213, 94, 0), 0.75),
            Self::FalsePositive => (RGBColor(86, 180, 233), 0.75),
            Self::OtherLabel => (RGBColor(204, 121, 167), 0.75),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Correct => "correct",
            Self::FalseNegative => "false negative (missed)",
            Self::FalsePositive => "false positive (too much)",
            Self::OtherLabel => "wrong label",
        }
    }
}

/// Red, green, blue and opacity of each kind of agreement: correct, false negative, false positive, wrong label.
pub(super) const PIXELS: [[u8; 4]; 4] = {
    let mut pixels = [[0; 4]; 4];
    let mut index = 0;
    while index < pixels.len() {
        let (RGBColor(red, green, blue), opacity) = Agreement::ALL[index].colour();
        pixels[index] = [red, green, blue, (opacity * 255.0 + 0.5) as u8];
        index += 1;
    }
    pixels
};

/// Renders a slice with the agreement of its label maps, with the given columns and rows.
///
/// # Panics
/// If the slice lacks the label map or the prediction.
pub(super) fn render(slice: &Slice, size: [usize; 2], window: IntensityWindow) -> Bitmap {
    let [Some(label), Some(prediction)] = [&slice.fill, &slice.outline] else {
        unreachable!("differences need a label map and a prediction")
    };
    let (label, prediction) = (slice.nearest(label, size), slice.nearest(prediction, size));
    let mut pixels = Vec::with_capacity(3 * label.len());
    for ((grey, label), prediction) in slice.greys(size, window).into_iter().zip(label).zip(prediction) {
        let agreement = Agreement::of(label, prediction).map(Agreement::colour);
        let (RGBColor(red, green, blue), opacity) = agreement.unwrap_or((RGBColor(0, 0, 0), 0.0));
        let blend = |colour: u8| (f32::from(colour) * opacity + grey * (1.0 - opacity)).round() as u8;
        pixels.extend([red, green, blue].map(blend));
    }
    Bitmap { size, pixels }
}

/// Returns the legend of the kinds of agreement that occur in a scene.
pub(super) fn legend(scene: &Scene) -> Vec<LegendEntry> {
    let (Some(label), Some(prediction)) = (&scene.label, &scene.prediction) else { return Vec::new() };
    let occurs = |kind: &Agreement| {
        label.iter().zip(prediction.iter()).any(|(label, prediction)| Agreement::of(*label, *prediction) == Some(*kind))
    };
    let entry = |kind: Agreement| {
        let (colour, _) = kind.colour();
        LegendEntry { fill: Some(colour), outline: Some(colour), name: kind.name().to_owned() }
    };
    Agreement::ALL.into_iter().filter(occurs).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::{Affine, Grid, Voxels};

    fn scene(label: [Label; 5], prediction: [Label; 5]) -> Scene {
        let shape = [5, 1, 1];
        let grid = Grid { shape, affine: Affine::IDENTITY };
        let image = Voxels::new(1, shape, vec![0.0; 5]);
        let maps = [label, prediction].map(|map| Voxels::new(1, shape, map.to_vec()));
        Scene::new(&grid, &image, Some(&maps[0]), Some(&maps[1]))
    }

    #[test]
    fn false_negatives_false_positives_and_wrong_labels_have_their_own_colours() {
        let scene = scene([0, 1, 1, 0, 2], [0, 1, 0, 1, 1]);
        let slice = scene.slice(super::super::Plane::Axial, 0);
        let bitmap = render(&slice, [5, 1], IntensityWindow { low: 0.0, high: 255.0 });
        // The patient's right, which has the highest x, is at the left.
        let [wrong, positive, negative, correct, background] =
            std::array::from_fn(|pixel| &bitmap.pixels[3 * pixel..3 * pixel + 3]);
        assert_eq!((background, correct), (&[0, 0, 0][..], &[77, 77, 77][..]));
        assert_eq!((negative, positive, wrong), (&[160, 71, 0][..], &[65, 135, 175][..], &[153, 91, 125][..]));
    }

    #[test]
    fn the_legend_has_what_occurs() {
        let names = |label, prediction| -> Vec<String> {
            legend(&scene(label, prediction)).into_iter().map(|entry| entry.name).collect()
        };
        assert_eq!(names([0, 1, 1, 0, 0], [0, 1, 0, 0, 0]), ["correct", "false negative (missed)"]);
        assert_eq!(names([0, 1, 0, 0, 0], [0, 0, 1, 0, 0]), ["false negative (missed)", "false positive (too much)"]);
        assert_eq!(names([2, 0, 0, 0, 0], [1, 0, 0, 0, 0]), ["wrong label"]);
    }
}
