//! Box plots of the scores of cases, a box per label.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::learning_curves::{tick_label, with_margin};
use super::{Drawable, PlotError, text, write};
use crate::appearance::jitter;
use crate::appearance::palette::COLOURS;
use crate::statistics::BoxPlotStatistics;

/// One score over the cases, by label.
#[derive(Clone, Debug, PartialEq)]
pub struct BoxPlot {
    /// The title.
    pub title: String,
    /// The name of the y axis.
    pub y_name: String,
    /// Each label with the finite scores of its cases.
    pub labels: Vec<(String, Vec<f64>)>,
    /// Whether scores are between 0 and 1.
    pub is_fraction: bool,
}

/// Minimum width of a box with its margins in pixels; its name may need more.
const MIN_SLOT_WIDTH: u32 = 170;
/// Size of the letters of names in pixels.
const LETTERS: u32 = 18;
/// Space between two names in pixels.
const NAME_MARGIN: u32 = 24;
/// The minimum width of the plot in pixels, which its title needs.
const MIN_WIDTH: u32 = 560;
/// Half the width of a box in pixels.
const HALF_BOX: f64 = 38.0;
/// Width of the y axis and the outer margins in pixels.
const MARGIN: u32 = 150;
/// Height of the plot in pixels.
const HEIGHT: u32 = 640;

impl BoxPlot {
    /// Draws `NAME.png` and `NAME.svg` into a folder.
    ///
    /// # Errors
    /// If a plot cannot be written.
    pub fn draw(&self, folder: &Path, name: &str) -> Result<(), PlotError> {
        write(self, folder, name, (self.width(), HEIGHT))
    }

    fn width(&self) -> u32 {
        let longest = (0..self.labels.len()).filter_map(|index| Some(text::width(&self.name(index)?, LETTERS))).max();
        let slot = (longest.unwrap_or(0) + NAME_MARGIN).max(MIN_SLOT_WIDTH);
        (MARGIN + slot * self.labels.len() as u32).max(MIN_WIDTH)
    }

    /// Returns the name of a box with its number of cases.
    fn name(&self, index: usize) -> Option<String> {
        let (name, scores) = self.labels.get(index)?;
        Some(format!("{name} (n = {})", scores.len()))
    }

    /// Returns the range of the y axis.
    fn range(&self) -> (f64, f64) {
        let all = || self.labels.iter().flat_map(|(_, scores)| scores.iter().copied());
        let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
        match (self.is_fraction, low <= high) {
            (true, true) => (((low - 0.02) * 10.0).floor().max(0.0) / 10.0, 1.0),
            (false, _) => with_margin(&all().collect::<Vec<_>>()),
            (true, false) => (0.0, 1.0),
        }
    }
}

impl Drawable for BoxPlot {
    fn draw_on<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let (low, high) = self.range();
        let name = |x: &f64| (x.fract() == 0.0).then(|| self.name(*x as usize)).flatten().unwrap_or_default();
        let num_slots = self.labels.len().max(1);
        // Boxes are equally wide, however many there are.
        let half_width = HALF_BOX * num_slots as f64 / f64::from(self.width() - MARGIN);
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, ("sans-serif", 24))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(84)
            .build_cartesian_2d(-0.5..num_slots as f64 - 0.5, low..high)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(2 * num_slots + 1)
            .x_label_formatter(&name)
            .y_desc(&self.y_name)
            .y_labels(8)
            .y_label_formatter(&|value| tick_label(*value, high - low))
            .label_style(("sans-serif", LETTERS))
            .axis_desc_style(("sans-serif", 20))
            .bold_line_style(RGBColor(215, 215, 215))
            .light_line_style(WHITE)
            .draw()?;
        for (index, (_, scores)) in self.labels.iter().enumerate() {
            let Some(statistics) = BoxPlotStatistics::of(scores) else { continue };
            let (centre, colour) = (index as f64, COLOURS[index % COLOURS.len()]);
            let (left, right) = (centre - half_width, centre + half_width);
            let corners = [(left, statistics.first_quartile), (right, statistics.third_quartile)];
            chart.draw_series([Rectangle::new(corners, colour.mix(0.18).filled())])?;
            chart.draw_series([Rectangle::new(corners, colour.stroke_width(2))])?;
            let line = |from, to, width| PathElement::new([from, to], colour.stroke_width(width));
            chart.draw_series([
                line((centre, statistics.lower_whisker), (centre, statistics.first_quartile), 2),
                line((centre, statistics.third_quartile), (centre, statistics.upper_whisker), 2),
                line((left, statistics.median), (right, statistics.median), 4),
            ])?;
            let dot = |(case, score): (usize, &f64)| {
                Circle::new((centre + 1.6 * half_width * jitter(case), *score), 3, colour.filled())
            };
            chart.draw_series(scores.iter().enumerate().map(dot))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_and_an_svg_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let labels = vec![("liver".to_owned(), vec![0.9, 0.92, 0.95]), ("tumour".to_owned(), vec![])];
        let plot = BoxPlot { title: "Dice".into(), y_name: "Dice".into(), labels, is_fraction: true };
        plot.draw(folder.path(), "dice").unwrap();
        let svg = std::fs::read_to_string(folder.path().join("dice.svg")).unwrap();
        assert!(svg.contains("liver (n = 3)") && svg.contains("tumour (n = 0)"), "{svg}");
        assert!(folder.path().join("dice.png").metadata().unwrap().len() > 1000);
    }

    #[test]
    fn neighbouring_names_do_not_overlap() {
        let labels = ["lesion precision global", "lesion recall global"].map(|name| (name.to_owned(), vec![0.5; 9]));
        let plot = BoxPlot { title: "LiTS".into(), y_name: "LiTS".into(), labels: labels.into(), is_fraction: true };
        let longest = text::width("lesion precision global (n = 9)", LETTERS);
        assert!(longest > MIN_SLOT_WIDTH && plot.width() >= MARGIN + 2 * longest);
    }

    #[test]
    fn there_is_a_slot_for_each_label_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let labels = vec![("liver".to_owned(), vec![-0.2, 0.1, 0.4])];
        let name = "volume difference (ml)".to_owned();
        BoxPlot { title: "a".into(), y_name: name, labels, is_fraction: false }.draw(folder.path(), "one").unwrap();
        let svg = std::fs::read_to_string(folder.path().join("one.svg")).unwrap();
        assert!(svg.contains("volume difference (ml)") && !svg.contains("-0.0"), "{svg}");
        // The only box is in the middle of the plot.
        let at = svg.find("liver (n = 3)").unwrap();
        let x: f64 = svg[..at].rsplit("x=\"").next().unwrap().split('"').next().unwrap().parse().unwrap();
        assert!((x - 322.0).abs() < 12.0, "{x}");
    }
}
