//! Learning curves of a run: the loss and each metric over the epochs.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::legend::Legend;
use super::{Drawable, PlotError, write};
use crate::appearance::palette::COLOURS;
use crate::format::decimals;
use metrics::{Better, Metric, ScoreColumn, Unit, with_unit};
use run_folder::table::Table;

/// Width without the legend, and height, in pixels.
const SIZE: (u32, u32) = (990, 750);

/// Up to this many points of a curve are marked with dots.
const MAX_MARKED_POINTS: usize = 60;

/// A curve of a plot.
struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
    colour: RGBColor,
    width: u32,
}

/// A metric over the epochs.
struct LearningCurves {
    title: String,
    /// The name of the y axis.
    y_name: String,
    /// Returns the range of the y axis for the given values.
    range: fn(&[f64]) -> (f64, f64),
    curves: Vec<Curve>,
}

/// Draws `plots/loss` and `plots/METRIC` for each metric of the run at `root` from its `metrics.csv`, each as PNG and SVG.
///
/// Scores of a metric that are better in another direction than its first ones, such as errors beside Dice, have a scale of
/// their own and therefore a plot of their own, `plots/METRIC_SCORE`.
///
/// # Errors
/// If the table cannot be read or a plot cannot be written.
pub fn draw_learning_curves(root: &Path, title: &str, metrics: &[Metric]) -> Result<(), PlotError> {
    let path = root.join("metrics.csv");
    let table = Table::read(&path).map_err(|source| PlotError::Read { path: path.display().to_string(), source })?;
    let plots = root.join("plots");
    loss(&table, title).write(&plots, "loss")?;
    for metric in metrics {
        for (name, curves) in scores(&table, title, metric) {
            curves.write(&plots, &name)?;
        }
    }
    Ok(())
}

fn loss(table: &Table, title: &str) -> LearningCurves {
    let curve = |name: &str, column: &str, colour| Curve {
        name: name.to_owned(),
        points: table.points("epoch", column),
        colour,
        width: 3,
    };
    let curves = vec![curve("training", "train_loss", COLOURS[0]), curve("validation", "val_loss", COLOURS[1])];
    LearningCurves { title: format!("{title}: loss"), y_name: "loss".to_owned(), range: with_margin, curves }
}

/// Returns the plots of a metric by their names: one for each direction in which scores are better.
fn scores(table: &Table, title: &str, metric: &Metric) -> Vec<(String, LearningCurves)> {
    let declared = std::slice::from_ref(metric);
    let columns = table.names.iter().filter(|name| name.starts_with("val_"));
    let columns = columns.filter_map(|name| Some((name.as_str(), ScoreColumn::of(name, declared)?)));
    let mut by_direction: Vec<Vec<(&str, ScoreColumn)>> = Vec::new();
    for (name, column) in columns.filter(|(_, column)| column.metric == metric.name()) {
        match by_direction.iter_mut().find(|columns| columns[0].1.better == column.better) {
            Some(columns) => columns.push((name, column)),
            None => by_direction.push(vec![(name, column)]),
        }
    }
    if by_direction.is_empty() {
        return vec![(metric.name().to_owned(), scores_of_one_scale(table, title, (metric.name(), ""), &[]))];
    }
    let plot = |(index, columns): (usize, &Vec<(&str, ScoreColumn)>)| {
        let first = columns[0].1;
        let score = if index == 0 { "" } else { first.score };
        let name = if index == 0 { metric.name().to_owned() } else { format!("{}_{score}", metric.name()) };
        (name, scores_of_one_scale(table, title, (first.title, score), columns))
    };
    by_direction.iter().enumerate().map(plot).collect()
}

/// Returns the plot of some columns; `score` is the score that names the plot beside the metric, or empty.
fn scores_of_one_scale(
    table: &Table,
    title: &str,
    (metric, score): (&str, &str),
    columns: &[(&str, ScoreColumn)],
) -> LearningCurves {
    let curve = |(index, (name, column)): (usize, &(&str, ScoreColumn))| {
        let is_mean = column.score == "mean";
        Curve {
            name: if is_mean { "mean of labels".to_owned() } else { column.score.replace('_', " ") },
            points: table.points("epoch", name),
            colour: if is_mean { BLACK } else { COLOURS[index % COLOURS.len()] },
            width: if is_mean { 2 } else { 3 },
        }
    };
    let curves: Vec<Curve> = columns.iter().enumerate().map(curve).collect();
    let name = if score.is_empty() { metric.to_owned() } else { format!("{metric} {}", score.replace('_', " ")) };
    let unit = columns.first().map_or(Unit::Ratio, |(_, column)| column.unit);
    let is_fraction = columns.iter().all(|(_, column)| column.better == Better::Higher)
        && curves.iter().flat_map(|curve| &curve.points).all(|(_, value)| (0.0..=1.0).contains(value));
    let range = if is_fraction { up_to_one } else { with_margin };
    let y_name = with_unit(&name, unit);
    LearningCurves { title: format!("{title}: {name} of whole validation volumes"), y_name, range, curves }
}

impl Drawable for LearningCurves {
    fn draw_on<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let points = || self.curves.iter().flat_map(|curve| curve.points.iter().copied());
        let last_epoch = points().map(|(epoch, _)| epoch).fold(1.0, f64::max);
        let (low, high) = (self.range)(&points().map(|(_, value)| value).collect::<Vec<_>>());
        // The legend is right of the data, so that it covers none.
        let (canvas, legend) = area.split_horizontally(SIZE.0);
        let mut chart = ChartBuilder::on(&canvas)
            .caption(&self.title, ("sans-serif", 26))
            .margin(18)
            .x_label_area_size(56)
            .y_label_area_size(84)
            .build_cartesian_2d(first_epoch(last_epoch)..last_epoch.max(2.0), low..high)?;
        chart
            .configure_mesh()
            .x_desc("epoch")
            .y_desc(&self.y_name)
            .x_labels(10)
            .y_labels(8)
            .x_label_formatter(&|epoch| if epoch.fract() == 0.0 { format!("{epoch}") } else { String::new() })
            .y_label_formatter(&|value| tick_label(*value, high - low))
            .label_style(("sans-serif", 20))
            .axis_desc_style(("sans-serif", 22))
            .bold_line_style(RGBColor(215, 215, 215))
            .light_line_style(WHITE)
            .draw()?;
        // The mean of the other curves is drawn below them.
        for curve in self.curves.iter().rev() {
            let style = curve.colour.stroke_width(curve.width);
            chart.draw_series(LineSeries::new(curve.points.iter().copied(), style))?;
            if curve.points.len() <= MAX_MARKED_POINTS {
                let marks = curve.points.iter().map(|point| Circle::new(*point, 4, curve.colour.filled()));
                chart.draw_series(marks)?;
            }
        }
        self.legend().draw(&legend)
    }
}

impl LearningCurves {
    /// Returns the legend of the curves that have points.
    fn legend(&self) -> Legend<'_> {
        let shown = self.curves.iter().filter(|curve| !curve.points.is_empty());
        Legend::new(shown.map(|curve| (curve.name.as_str(), curve.colour.stroke_width(curve.width + 1))))
    }

    /// Writes the plot as PNG and SVG, as wide as its legend needs.
    fn write(&self, folder: &Path, name: &str) -> Result<(), PlotError> {
        write(self, folder, name, (SIZE.0 + self.legend().width(), SIZE.1))
    }
}

/// Returns the start of the x axis. A single epoch is drawn in the middle rather than on the y axis.
fn first_epoch(last_epoch: f64) -> f64 {
    if last_epoch <= 1.0 { 0.0 } else { 1.0 }
}

/// Returns the range of the values with a margin on both sides.
pub(super) fn with_margin(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if low > high {
        return (0.0, 1.0);
    }
    // Equal values are in the middle of a range in which they can be read.
    let margin = if high > low { ((high - low) * 0.06).max(high.abs() * 1e-3) } else { 0.05 * high.abs().max(0.1) };
    (if low >= 0.0 { (low - margin).max(0.0) } else { low - margin }, high + margin)
}

/// Returns the range from the tenth below the smallest score to 1, which makes late epochs distinguishable.
fn up_to_one(values: &[f64]) -> (f64, f64) {
    let lowest = values.iter().copied().fold(1.0, f64::min);
    let start = if values.is_empty() { 0.0 } else { ((lowest - 0.02) * 10.0).floor() / 10.0 };
    (start.clamp(0.0, 0.9), 1.0)
}

/// Formats a tick label with as many decimals as the range of the axis needs.
pub(super) fn tick_label(value: f64, range: f64) -> String {
    decimals(value, (1.0 - range.log10().floor()).clamp(0.0, 6.0) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws the plots of a run with the given metrics; returns its folder and the Dice plot as SVG.
    fn draw(metrics: &str) -> (tempfile::TempDir, String) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("plots")).unwrap();
        std::fs::write(root.path().join("metrics.csv"), metrics).unwrap();
        let metrics = ["!dice {}", "!hd95 {}"].map(|metric| serde_yaml::from_str(metric).unwrap());
        draw_learning_curves(root.path(), "quickstart", &metrics).unwrap();
        let svg = std::fs::read_to_string(root.path().join("plots/dice.svg")).unwrap();
        (root, svg)
    }

    const HEADER: &str = "epoch,step,learning_rate,train_loss,val_loss,val_dice_liver,val_dice_tumour,val_dice_mean";

    #[test]
    fn every_label_has_a_curve_and_a_name() {
        let (root, svg) = draw(&format!("{HEADER}\n1,9,0.1,1.5,1.2,,,\n2,18,0.1,1.0,0.9,0.8,0.3,0.55\n"));
        for text in ["liver", "tumour", "mean of labels", "quickstart", "epoch"] {
            assert!(svg.contains(text), "{text} is missing");
        }
        let png = std::fs::read(root.path().join("plots/loss.png")).unwrap();
        assert_eq!(png[..4], *b"\x89PNG");
    }

    #[test]
    fn every_metric_has_a_plot_with_its_unit_and_no_negative_zero() {
        let header = "epoch,step,learning_rate,train_loss,val_loss,val_dice_liver,val_hd95_liver,val_hd95_mean";
        let (root, _) = draw(&format!("{header}\n1,9,0.1,1.5,1.2,0.5,7.5,7.5\n2,18,0.1,-1.0,0.9,0.8,3.5,3.5\n"));
        let svg = |name: &str| std::fs::read_to_string(root.path().join(format!("plots/{name}.svg"))).unwrap();
        assert!(svg("hd95").contains("HD95 (mm)") && svg("hd95").contains("HD95 of whole validation volumes"));
        assert!(!svg("loss").contains("-0.0"), "{}", svg("loss"));
        assert_eq!([tick_label(-1e-17, 2.5), tick_label(-0.5, 2.5)], ["0.0", "-0.5"]);
    }

    #[test]
    fn an_error_is_not_drawn_on_the_scale_of_dice() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("plots")).unwrap();
        let header = "epoch,val_lits_liver_dice,val_lits_lesion_dice,val_lits_tumour_burden_rmse";
        std::fs::write(root.path().join("metrics.csv"), format!("{header}\n1,0.9,0.5,98.5\n")).unwrap();
        let metrics = [serde_yaml::from_str("!lits { liver: 1, lesion: 2 }").unwrap()];
        draw_learning_curves(root.path(), "liver", &metrics).unwrap();
        let svg = |name: &str| std::fs::read_to_string(root.path().join(format!("plots/{name}.svg"))).unwrap();
        assert!(svg("lits").contains("lesion dice") && !svg("lits").contains("rmse"));
        let error = svg("lits_tumour_burden_rmse");
        assert!(error.contains("LiTS tumour burden rmse") && !error.contains("lesion dice"), "{error}");
    }

    /// Returns the size of an SVG, and the place where a text starts.
    fn place(svg: &str, text: &str) -> (f64, f64) {
        let number = |text: &str, key: &str| -> f64 {
            let start = text.rfind(key).unwrap() + key.len();
            text[start..].split('"').next().unwrap().parse().unwrap()
        };
        let at = svg.find(text).unwrap_or_else(|| panic!("{text} is missing"));
        (number(&svg[..svg.find('>').unwrap()], "width=\""), number(&svg[..at], " x=\""))
    }

    #[test]
    fn long_names_fit_into_the_legend() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("plots")).unwrap();
        let header = "epoch,val_lits_liver_dice,val_lits_lesion_precision_global";
        std::fs::write(root.path().join("metrics.csv"), format!("{header}\n1,0.9,0.5\n")).unwrap();
        let metrics = [serde_yaml::from_str("!lits { liver: 1, lesion: 2 }").unwrap()];
        draw_learning_curves(root.path(), "liver", &metrics).unwrap();
        let svg = std::fs::read_to_string(root.path().join("plots/lits.svg")).unwrap();
        let name = "lesion precision global";
        let (width, start) = place(&svg, name);
        assert!(start + f64::from(super::super::text::width(name, 20)) < width, "{start} of {width}");
    }

    #[test]
    fn more_curves_than_fit_are_counted() {
        let labels: Vec<String> = (0..40).map(|label| format!("val_dice_organ_{label}")).collect();
        let scores = vec!["0.5"; 40].join(",");
        let (_, svg) = draw(&format!("epoch,train_loss,val_loss,{}\n1,1,1,{scores}\n", labels.join(",")));
        let shown = labels.iter().filter(|label| svg.contains(&format!("{}\n", &label[9..].replace('_', " ")))).count();
        assert!((15..40).contains(&shown) && svg.contains(&format!("and {} more", 40 - shown)), "{shown}");
    }

    #[test]
    fn equal_values_have_a_range_with_readable_ticks() {
        assert_eq!(with_margin(&[8.0, 8.0]), (7.6, 8.4));
        let (low, high) = with_margin(&[0.0]);
        assert!(low == 0.0 && (0.004..0.006).contains(&high), "{low} to {high}");
        assert_eq!(with_margin(&[]), (0.0, 1.0));
    }

    #[test]
    fn a_single_epoch_and_undefined_scores_can_be_drawn() {
        draw(&format!("{HEADER}\n1,9,0.1,1.5,,,,\n"));
        draw(&format!("{HEADER}\n1,9,0.1,NaN,inf,0.5,,0.5\n"));
        draw(&format!("{HEADER}\n"));
    }
}
