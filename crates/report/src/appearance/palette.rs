//! The colour of a label: the same in every picture, and told apart by people of every colour vision.

use plotters::prelude::{Color, HSLColor, RGBColor};

use volume::Label;

/// Okabe and Ito's palette, which people of every colour vision tell apart.
pub(crate) const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];

/// Multiples of it, less their whole parts, lie far from one another.
const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;

/// The colour of a label over grey: Okabe and Ito's, the brightest first, then hues far from one another.
pub fn colour(label: Label) -> RGBColor {
    const BRIGHT: [RGBColor; 6] = [COLOURS[4], COLOURS[5], COLOURS[3], COLOURS[2], COLOURS[1], COLOURS[0]];
    let place = usize::from(label.saturating_sub(1));
    let further = || {
        let hue = (place as f64 * GOLDEN_RATIO).fract();
        let (red, green, blue) = HSLColor(hue, 0.75, 0.6).to_backend_color().rgb;
        RGBColor(red, green, blue)
    };
    BRIGHT.get(place).copied().unwrap_or_else(further)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_labels_have_colours_of_their_own() {
        let colours: std::collections::BTreeSet<_> =
            (1..=40).map(colour).map(|RGBColor(red, green, blue)| [red, green, blue]).collect();
        assert_eq!(colours.len(), 40);
    }
}
