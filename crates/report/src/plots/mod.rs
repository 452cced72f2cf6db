//! Pictures of one run: loss and Dice over the epochs.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::appearance::palette::COLOURS;
use crate::appearance::use_own_font;
use crate::viewer::picture::Picture as Bitmap;
use run_folder::folder::write_atomically;
use run_folder::table::Table;

mod box_plots;

pub use box_plots::BoxPlot;

/// Width and height in pixels.
const SIZE: (u32, u32) = (1200, 750);

/// A plot that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The table could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: csv::Error,
    },
    /// The picture could not be drawn or written.
    #[error("cannot draw {path}: {reason}")]
    Draw {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
}

/// A curve of a plot.
struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
    colour: RGBColor,
    width: u32,
}

/// What a plot shows.
struct Plot {
    title: String,
    vertical: &'static str,
    /// The vertical axis, for the values that are shown.
    range: fn(&[f64]) -> (f64, f64),
    curves: Vec<Curve>,
}

/// Draws `loss.png`, `loss.svg`, `dice.png` and `dice.svg` of the run at `root` from its `metrics.csv`.
///
/// # Errors
/// When the table cannot be read or a picture cannot be written.
pub fn draw(root: &Path, title: &str) -> Result<(), PlotError> {
    let path = root.join("metrics.csv");
    let table = Table::read(&path).map_err(|source| PlotError::Read { path: path.display().to_string(), source })?;
    for (name, plot) in [("loss", loss(&table, title)), ("dice", dice(&table, title))] {
        write(&plot, &root.join("plots"), name, SIZE)?;
    }
    Ok(())
}

fn loss(table: &Table, title: &str) -> Plot {
    let curve = |name: &str, column: &str, colour| Curve {
        name: name.to_owned(),
        points: table.points("epoch", column),
        colour,
        width: 3,
    };
    let curves = vec![curve("training", "train_loss", COLOURS[0]), curve("validation", "val_loss", COLOURS[1])];
    Plot { title: format!("{title}: loss"), vertical: "loss", range: padded, curves }
}

fn dice(table: &Table, title: &str) -> Plot {
    let columns = table.names.iter().filter_map(|name| name.strip_prefix("val_dice_"));
    let curves = columns.enumerate().map(|(place, label)| {
        let is_mean = label == "mean";
        Curve {
            name: if is_mean { "mean of labels".to_owned() } else { label.replace('_', " ") },
            points: table.points("epoch", &format!("val_dice_{label}")),
            colour: if is_mean { BLACK } else { COLOURS[place % COLOURS.len()] },
            width: if is_mean { 2 } else { 3 },
        }
    });
    let title = format!("{title}: Dice of whole validation volumes");
    Plot { title, vertical: "Dice", range: up_to_one, curves: curves.collect() }
}

/// Something that any of plotters' backends can draw.
pub(crate) trait Picture {
    /// Draws it.
    fn draw_on<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>>;
}

/// Writes a picture as PNG and SVG of so many pixels; each appears whole or not at all.
pub(crate) fn write(picture: &impl Picture, folder: &Path, name: &str, size: (u32, u32)) -> Result<(), PlotError> {
    use_own_font();
    let path = |ending: &str| folder.join(format!("{name}.{ending}"));
    let failed = |ending: &str, reason: String| PlotError::Draw { path: path(ending).display().to_string(), reason };
    let mut pixels = vec![0; 3 * size.0 as usize * size.1 as usize];
    let drawn = draw_on_backend(picture, &BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area());
    drawn.map_err(|reason| failed("png", reason))?;
    let bitmap = Bitmap { size: [size.0 as usize, size.1 as usize], pixels };
    bitmap.write(&path("png")).map_err(|error| failed("png", error.to_string()))?;
    let mut text = String::new();
    let drawn = draw_on_backend(picture, &SVGBackend::with_string(&mut text, size).into_drawing_area());
    drawn.map_err(|reason| failed("svg", reason))?;
    write_atomically(&path("svg"), text.as_bytes()).map_err(|error| failed("svg", error.to_string()))
}

fn draw_on_backend<B: DrawingBackend>(picture: &impl Picture, area: &DrawingArea<B, Shift>) -> Result<(), String> {
    let drawn = area.fill(&WHITE).and_then(|()| picture.draw_on(area)).and_then(|()| area.present());
    drawn.map_err(|error| error.to_string())
}

impl Picture for Plot {
    fn draw_on<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let points = || self.curves.iter().flat_map(|curve| curve.points.iter().copied());
        let last_epoch = points().map(|(epoch, _)| epoch).fold(1.0, f64::max);
        let (low, high) = (self.range)(&points().map(|(_, value)| value).collect::<Vec<_>>());
        // The legend stands to the right of the data, so it covers none.
        let (canvas, legend) = area.split_horizontally(SIZE.0 - 210);
        let mut chart = ChartBuilder::on(&canvas)
            .caption(&self.title, ("sans-serif", 26))
            .margin(18)
            .x_label_area_size(56)
            .y_label_area_size(84)
            .build_cartesian_2d(first_epoch(last_epoch)..last_epoch.max(2.0), low..high)?;
        chart
            .configure_mesh()
            .x_desc("epoch")
            .y_desc(self.vertical)
            .x_labels(10)
            .y_labels(8)
            .x_label_formatter(&|epoch| if epoch.fract() == 0.0 { format!("{epoch}") } else { String::new() })
            .y_label_formatter(&|value| short(*value, high - low))
            .label_style(("sans-serif", 20))
            .axis_desc_style(("sans-serif", 22))
            .bold_line_style(RGBColor(215, 215, 215))
            .light_line_style(WHITE)
            .draw()?;
        // The last curve is a mean of the others; it lies below them.
        for curve in self.curves.iter().rev() {
            let style = curve.colour.stroke_width(curve.width);
            chart.draw_series(LineSeries::new(curve.points.iter().copied(), style))?;
            if curve.points.len() <= 60 {
                let marks = curve.points.iter().map(|point| Circle::new(*point, 4, curve.colour.filled()));
                chart.draw_series(marks)?;
            }
        }
        self.draw_legend(&legend)
    }
}

impl Plot {
    fn draw_legend<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let shown = self.curves.iter().filter(|curve| !curve.points.is_empty());
        for (row, curve) in shown.enumerate() {
            let y = 80 + 34 * row as i32;
            let style = curve.colour.stroke_width(curve.width + 1);
            area.draw(&PathElement::new([(0, y), (32, y)], style))?;
            area.draw(&Text::new(curve.name.clone(), (42, y - 10), ("sans-serif", 20)))?;
        }
        Ok(())
    }
}

/// A single epoch is drawn in the middle rather than on the axis.
fn first_epoch(last_epoch: f64) -> f64 {
    if last_epoch <= 1.0 { 0.0 } else { 1.0 }
}

/// The range of some values with a little room on both sides.
fn padded(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if low > high {
        return (0.0, 1.0);
    }
    let room = ((high - low) * 0.06).max(high.abs() * 1e-3).max(1e-6);
    (if low >= 0.0 { (low - room).max(0.0) } else { low - room }, high + room)
}

/// From the tenth below the smallest score to 1, so that late epochs can be told apart.
fn up_to_one(values: &[f64]) -> (f64, f64) {
    let lowest = values.iter().copied().fold(1.0, f64::min);
    let start = if values.is_empty() { 0.0 } else { ((lowest - 0.02) * 10.0).floor() / 10.0 };
    (start.clamp(0.0, 0.9), 1.0)
}

/// As many digits as tell the labels of an axis apart.
fn short(value: f64, range: f64) -> String {
    let digits = (1.0 - range.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.digits$}")
}

/// Where the dot of a case stands beside the middle of its box, between -0.5 and 0.5, so that equal scores are seen.
pub(crate) fn beside(case: usize) -> f64 {
    // Multiples of the golden ratio fill a line evenly, however many there are.
    (case as f64 * 0.618_034).fract() - 0.5
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(metrics: &str) -> (tempfile::TempDir, String) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("plots")).unwrap();
        std::fs::write(root.path().join("metrics.csv"), metrics).unwrap();
        draw(root.path(), "quickstart").unwrap();
        let svg = std::fs::read_to_string(root.path().join("plots/dice.svg")).unwrap();
        (root, svg)
    }

    const HEADER: &str = "epoch,step,learning_rate,train_loss,val_loss,val_dice_liver,val_dice_tumour,val_dice_mean";

    #[test]
    fn every_label_has_its_line_and_its_name() {
        let (root, svg) = drawn(&format!("{HEADER}\n1,9,0.1,1.5,1.2,,,\n2,18,0.1,1.0,0.9,0.8,0.3,0.55\n"));
        for text in ["liver", "tumour", "mean of labels", "quickstart", "epoch"] {
            assert!(svg.contains(text), "{text} is missing");
        }
        let png = std::fs::read(root.path().join("plots/loss.png")).unwrap();
        assert_eq!(png[..4], *b"\x89PNG");
    }

    #[test]
    fn one_epoch_and_undefined_scores_are_drawn() {
        drawn(&format!("{HEADER}\n1,9,0.1,1.5,,,,\n"));
        drawn(&format!("{HEADER}\n1,9,0.1,NaN,inf,0.5,,0.5\n"));
        drawn(&format!("{HEADER}\n"));
    }
}
