//! Learning curves: a metric over the epochs, a curve per run.

use maud::{Markup, html};
use metrics::ScoreColumn;

use super::axis::{Axis, at, frame, line, path, text};
use super::{Chart, NUM_COLOURS, colour, file_name, score_axis};
use crate::comparison::{Group, Subject};
use crate::format::truncate;
use crate::runs::ComparedMetric;

const SIZE: (f64, f64) = (900.0, 420.0);

/// Up to this many points of a curve have a marker, without which a single one would be hard to see.
const MAX_MARKERS: usize = 40;

/// The decimals of a loss in a tooltip.
const LOSS_DECIMALS: usize = 4;

/// A column of `metrics.csv` to draw.
struct Column {
    name: String,
    title: String,
    /// The metric; `None` for losses.
    metric: Option<ComparedMetric>,
}

/// Returns charts of the compared metric for the mean and each label, of the other metrics, and of the losses. Charts
/// without values are left out; only runs have epochs.
pub(super) fn charts(group: &Group) -> Vec<Chart> {
    if group.subject != Subject::Runs {
        return Vec::new();
    }
    let losses = [("val_loss", "validation loss"), ("train_loss", "training loss")];
    let losses = losses.map(|(name, title)| Column { name: name.to_owned(), title: title.to_owned(), metric: None });
    let columns = scores(group).into_iter().chain(losses);
    columns.filter_map(|column| chart(group, &column)).collect()
}

/// Returns the columns of scores: of the compared metric all, of the others the means, or all if there is no mean.
fn scores(group: &Group) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for run in group.runs.iter().map(|run| &run.run) {
        let described = run.metrics.names.iter().filter(|name| name.starts_with("val_"));
        let described: Vec<ScoreColumn> = described.filter_map(|name| ScoreColumn::of(name, &run.declared)).collect();
        for column in &described {
            let name = format!("val_{}_{}", column.metric, column.score);
            let has_mean = described.iter().any(|other| other.metric == column.metric && other.score == "mean");
            let is_compared = column.metric == group.metric.name;
            let is_shown = is_compared || !has_mean || column.score == "mean";
            if is_shown && !columns.iter().any(|known| known.name == name) {
                let title = format!("{}, {}", column.title, column.score.replace('_', " "));
                let metric = ComparedMetric {
                    name: column.metric.to_owned(),
                    title: column.title.to_owned(),
                    unit: column.unit,
                    better: column.better,
                };
                columns.push(Column { name, title, metric: Some(metric) });
            }
        }
    }
    // The compared metric is first, and its mean before its labels.
    let order = |column: &Column| {
        let is_compared = column.metric.as_ref().is_some_and(|metric| metric.name == group.metric.name);
        (!is_compared, is_compared && !column.name.ends_with("_mean"))
    };
    columns.sort_by_key(order);
    columns
}

fn chart(group: &Group, Column { name, title, metric }: &Column) -> Option<Chart> {
    let curves: Vec<Vec<(f64, f64)>> = group.runs.iter().map(|run| run.run.metrics.points("epoch", name)).collect();
    let points = || curves.iter().flatten().copied();
    let last = points().map(|(epoch, _)| epoch).reduce(f64::max)?;
    let x = Axis::new((if last > 1.0 { 1.0 } else { 0.0 }, last.max(2.0)), (64.0, 640.0));
    let pixels = (SIZE.1 - 56.0, 12.0);
    let values = points().map(|(_, value)| value);
    let y = match metric {
        Some(metric) => score_axis(metric, values, pixels),
        None => Axis::around(values, pixels, false),
    };
    let ticks = x.ticks(8).into_iter().filter(|(epoch, _)| epoch.fract() == 0.0);
    let ticks: Vec<_> = ticks.map(|(epoch, _)| (epoch, epoch.to_string())).collect();
    let y_name = metric.as_ref().map_or_else(|| title.clone(), ComparedMetric::axis_name);
    let body = html! {
        (frame(&x, &y, &ticks, "epoch", &y_name))
        // The best runs are drawn last, on top.
        @for (run, points) in curves.iter().enumerate().rev() {
            @if !points.is_empty() { (curve(group, run, &points.iter().map(|(epoch, value)| (x.pixel(*epoch), y.pixel(*value))).collect::<Vec<_>>())) }
        }
        (legend(group, &curves))
    };
    let axes = Some(format!("{} {}", x.to_text(), y.to_text()));
    let decimals = metric.as_ref().map_or(LOSS_DECIMALS, |metric| metric.unit.decimals());
    Some(Chart { name: format!("curves_{}", file_name(name)), title: title.clone(), size: SIZE, body, axes, decimals })
}

/// Draws a curve through points in pixels, with markers if they are few.
fn curve(group: &Group, run: usize, points: &[(f64, f64)]) -> Markup {
    let class = colour(group.runs[run].setting);
    html! {
        path class={ "curve " (class) } data-run=(run) d=(path(points)) {}
        @if points.len() <= MAX_MARKERS {
            @for (x, y) in points { circle class={ "marker " (class) } data-run=(run) cx=(at(*x)) cy=(at(*y)) r="3.5" {} }
        }
    }
}

/// Draws the legend: the settings with a colour, and one entry for all other curves.
fn legend(group: &Group, curves: &[Vec<(f64, f64)>]) -> Markup {
    let shown = group.settings.len().min(NUM_COLOURS);
    let y = |row: usize| 30.0 + 22.0 * row as f64;
    html! {
        @for (row, setting) in group.settings.iter().take(shown).enumerate() {
            (line((660.0, y(row) - 4.0), (684.0, y(row) - 4.0), &format!("legend-line {}", colour(Some(row)))))
            (text(692.0, y(row), "label", "start", &truncate(&setting.short_name, 32)))
        }
        @if let Some(name) = others(group, curves) {
            (line((660.0, y(shown) - 4.0), (684.0, y(shown) - 4.0), "legend-line other"))
            (text(692.0, y(shown), "label", "start", name))
        }
    }
}

/// Returns what the grey curves of a chart are; `None` if there are none.
fn others(group: &Group, curves: &[Vec<(f64, f64)>]) -> Option<&'static str> {
    let drawn = || group.runs.iter().zip(curves).filter(|(_, curve)| !curve.is_empty()).map(|(run, _)| run.setting);
    let has_more_settings = drawn().flatten().any(|setting| setting >= NUM_COLOURS);
    let has_excluded = drawn().any(|setting| setting.is_none());
    match (has_more_settings, has_excluded) {
        (true, true) => Some("other settings, excluded runs"),
        (true, false) => Some("other settings"),
        (false, true) if group.settings.is_empty() => Some("runs"),
        (false, true) => Some("excluded runs"),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::test_runs::run;
    use crate::comparison::{ComparedEpoch, compare};
    use crate::runs::Run;
    use run_folder::manifest::Status;

    fn body(runs: Vec<Run>, name: &str) -> String {
        let group = compare(runs, ComparedEpoch::Best).remove(0);
        let chart = charts(&group).into_iter().find(|chart| chart.name == name).unwrap();
        chart.body.into_string()
    }

    #[test]
    fn a_single_epoch_has_a_marker_and_no_legend_of_others() {
        let body = body(vec![run("a", "lr: 1", &[0.5]), run("b", "lr: 2", &[0.6])], "curves_val_dice_mean");
        assert_eq!(body.matches("class=\"marker").count(), 2, "{body}");
        assert!(body.contains("lr 1") && body.contains("lr 2") && !body.contains("other"), "{body}");
    }

    #[test]
    fn excluded_runs_are_in_the_legend_of_charts_that_show_them() {
        let mut failed = run("b", "lr: 2", &[0.6]);
        failed.status = Some(Status::Failed);
        assert!(
            body(vec![run("a", "lr: 1", &[0.5]), failed.clone()], "curves_val_dice_mean").contains("excluded runs")
        );
        failed.metrics.rows[0][2] = None;
        let without = body(vec![run("a", "lr: 1", &[0.5]), failed], "curves_val_dice_mean");
        assert!(!without.contains("excluded"), "{without}");
    }

    #[test]
    fn every_metric_has_a_chart_with_its_unit() {
        let mut both = run("a", "metrics: [{dice: {}}, {hd95: {}}]", &[0.5]);
        both.metrics.names.extend(["val_hd95_liver", "val_hd95_mean"].map(str::to_owned));
        both.metrics.rows[0].extend([Some(4.0), Some(4.0)]);
        assert!(body(vec![both.clone()], "curves_val_hd95_mean").contains("HD95 (mm)"));
        let group = compare(vec![both], ComparedEpoch::Best).remove(0);
        let names: Vec<String> = charts(&group).into_iter().map(|chart| chart.name).collect();
        assert_eq!(names, ["curves_val_dice_mean", "curves_val_dice_liver", "curves_val_hd95_mean"]);
    }
}
