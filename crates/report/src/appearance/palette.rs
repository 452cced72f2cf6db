//! The colours of labels: the same in every picture, and distinguishable with colour-vision deficiency.

use plotters::prelude::{Color, HSLColor, RGBColor};

use volume::Label;

/// The palette of Okabe and Ito, which is distinguishable with colour-vision deficiency.
pub(crate) const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];

/// Multiples of the golden ratio, modulo 1, are far apart.
const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;

/// Returns the colour of a label over grey: Okabe and Ito's, brightest first, then distant hues.
pub fn colour(label: Label) -> RGBColor {
    const BRIGHT: [RGBColor; 6] = [COLOURS[4], COLOURS[5], COLOURS[3], COLOURS[2], COLOURS[1], COLOURS[0]];
    let index = usize::from(label.saturating_sub(1));
    let distant_hue = || {
        let hue = (index as f64 * GOLDEN_RATIO).fract();
        let (red, green, blue) = HSLColor(hue, 0.75, 0.6).to_backend_color().rgb;
        RGBColor(red, green, blue)
    };
    BRIGHT.get(index).copied().unwrap_or_else(distant_hue)
}

/// The fraction of white in the colour of a predicted label.
const PREDICTION_WHITE: f64 = 0.6;

/// Returns the colour of a predicted label: a light tint of the label's colour, which is visible on that colour.
pub fn prediction_colour(label: Label) -> RGBColor {
    let RGBColor(red, green, blue) = colour(label);
    let tint = |channel: u8| (255.0 * PREDICTION_WHITE + f64::from(channel) * (1.0 - PREDICTION_WHITE)).round() as u8;
    RGBColor(tint(red), tint(green), tint(blue))
}

/// Returns a colour in CSS notation.
pub(crate) fn css_colour(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forty_labels_and_their_predictions_have_distinct_colours() {
        let colours: std::collections::BTreeSet<_> =
            (1..=40).flat_map(|label| [colour(label), prediction_colour(label)]).map(css_colour).collect();
        assert_eq!(colours.len(), 80);
    }
}
