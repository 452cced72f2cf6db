//! Pictures of the scores of cases: a box for each label.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::{COLOURS, Picture, PlotError, beside, write};
use crate::statistics::BoxPlotStatistics;

/// One score over the cases, label by label.
#[derive(Clone, Debug, PartialEq)]
pub struct BoxPlot {
    /// What stands above.
    pub title: String,
    /// What the vertical axis says.
    pub vertical: String,
    /// The labels, and the finite scores of their cases.
    pub labels: Vec<(String, Vec<f64>)>,
    /// Whether scores lie between 0 and 1.
    pub is_fraction: bool,
}

/// Pixels of a box and the room beside it.
const COLUMN: u32 = 170;
/// Pixels beside the columns, and the height.
const BESIDE: u32 = 150;
const HEIGHT: u32 = 640;

impl BoxPlot {
    /// Draws `NAME.png` and `NAME.svg` into a folder.
    ///
    /// # Errors
    /// When a picture cannot be written.
    pub fn draw(&self, folder: &Path, name: &str) -> Result<(), PlotError> {
        write(self, folder, name, (BESIDE + COLUMN * self.labels.len().max(3) as u32, HEIGHT))
    }

    fn range(&self) -> (f64, f64) {
        let all = || self.labels.iter().flat_map(|(_, scores)| scores.iter().copied());
        let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
        match (self.is_fraction, low <= high) {
            (true, true) => (((low - 0.02) * 10.0).floor().max(0.0) / 10.0, 1.0),
            (false, true) => {
                let room = ((high - low) * 0.06).max(1e-6);
                (if low >= 0.0 { (low - room).max(0.0) } else { low - room }, high + room)
            }
            (_, false) => (0.0, 1.0),
        }
    }
}

impl Picture for BoxPlot {
    fn draw_on<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let (low, high) = self.range();
        let name = |place: &f64| {
            let label = (place.fract() == 0.0).then(|| self.labels.get(*place as usize)).flatten();
            label.map_or(String::new(), |(name, scores)| format!("{name} (n = {})", scores.len()))
        };
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, ("sans-serif", 24))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(84)
            .build_cartesian_2d(-0.5..self.labels.len().max(3) as f64 - 0.5, low..high)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(2 * self.labels.len().max(3) + 1)
            .x_label_formatter(&name)
            .y_desc(&self.vertical)
            .y_labels(8)
            .label_style(("sans-serif", 18))
            .axis_desc_style(("sans-serif", 20))
            .bold_line_style(RGBColor(215, 215, 215))
            .light_line_style(WHITE)
            .draw()?;
        for (place, (_, scores)) in self.labels.iter().enumerate() {
            let Some(summary) = BoxPlotStatistics::of(scores) else { continue };
            let (middle, colour) = (place as f64, COLOURS[place % COLOURS.len()]);
            let (left, right) = (middle - 0.22, middle + 0.22);
            let corners = [(left, summary.quarter), (right, summary.three_quarters)];
            chart.draw_series([Rectangle::new(corners, colour.mix(0.18).filled())])?;
            chart.draw_series([Rectangle::new(corners, colour.stroke_width(2))])?;
            let line = |from, to, width| PathElement::new([from, to], colour.stroke_width(width));
            chart.draw_series([
                line((middle, summary.low), (middle, summary.quarter), 2),
                line((middle, summary.three_quarters), (middle, summary.high), 2),
                line((left, summary.median), (right, summary.median), 4),
            ])?;
            let dot =
                |(case, score): (usize, &f64)| Circle::new((middle + 0.36 * beside(case), *score), 3, colour.filled());
            chart.draw_series(scores.iter().enumerate().map(dot))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_pictures_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let labels = vec![("liver".to_owned(), vec![0.9, 0.92, 0.95]), ("tumour".to_owned(), vec![])];
        let boxes = BoxPlot { title: "Dice".into(), vertical: "Dice".into(), labels, is_fraction: true };
        boxes.draw(folder.path(), "dice").unwrap();
        let svg = std::fs::read_to_string(folder.path().join("dice.svg")).unwrap();
        assert!(svg.contains("liver (n = 3)") && svg.contains("tumour (n = 0)"), "{svg}");
        assert!(folder.path().join("dice.png").metadata().unwrap().len() > 1000);
    }
}
