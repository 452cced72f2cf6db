//! Learning curves: a metric over the epochs, a curve per run.

use maud::{Markup, html};

use super::axis::{Axis, at, frame, line, path, text};
use super::{Chart, NUM_COLOURS, colour, dice_axis, file_name};
use crate::comparison::Group;
use crate::format::truncate;

const SIZE: (f64, f64) = (900.0, 420.0);

/// Returns a chart for the mean Dice, the Dice of each label, and the losses. Charts without values are left out.
pub(super) fn charts(group: &Group) -> Vec<Chart> {
    let dice = std::iter::once("mean").chain(group.labels.iter().map(String::as_str));
    let dice = dice.map(|label| (format!("val_dice_{label}"), format!("Dice, {}", label.replace('_', " "))));
    let losses = [("val_loss", "validation loss"), ("train_loss", "training loss")];
    let losses = losses.map(|(column, title)| (column.to_owned(), title.to_owned()));
    dice.chain(losses).filter_map(|(column, title)| chart(group, &column, title)).collect()
}

fn chart(group: &Group, column: &str, title: String) -> Option<Chart> {
    let curves: Vec<Vec<(f64, f64)>> = group.runs.iter().map(|run| run.run.metrics.points("epoch", column)).collect();
    let points = || curves.iter().flatten().copied();
    let last = points().map(|(epoch, _)| epoch).reduce(f64::max)?;
    let x = Axis::new((if last > 1.0 { 1.0 } else { 0.0 }, last.max(2.0)), (64.0, 640.0));
    let pixels = (SIZE.1 - 56.0, 12.0);
    let values = points().map(|(_, value)| value);
    let is_dice = column.starts_with("val_dice");
    let y = if is_dice { dice_axis(values, pixels) } else { Axis::around(values, pixels, false) };
    let ticks = x.ticks(8).into_iter().filter(|(epoch, _)| epoch.fract() == 0.0);
    let ticks: Vec<_> = ticks.map(|(epoch, _)| (epoch, epoch.to_string())).collect();
    let name = title.split(',').next().unwrap_or(column);
    let body = html! {
        (frame(&x, &y, &ticks, "epoch", name))
        // The best runs are drawn last, on top.
        @for (run, points) in curves.iter().enumerate().rev() {
            @if !points.is_empty() {
                path class={ "curve " (colour(group.runs[run].setting)) } data-run=(run)
                    d=(path(&points.iter().map(|(epoch, value)| (x.pixel(*epoch), y.pixel(*value))).collect::<Vec<_>>())) {}
            }
        }
        (legend(group))
    };
    let axes = Some(format!("{} {}", x.to_text(), y.to_text()));
    Some(Chart { name: format!("curves_{}", file_name(column)), title, size: SIZE, body, axes })
}

/// Draws the legend: the settings with a colour, and one entry for all others.
fn legend(group: &Group) -> Markup {
    let shown = group.settings.len().min(NUM_COLOURS);
    let has_others = group.runs.iter().any(|run| {
        let is_coloured = run.setting.is_some_and(|setting| setting < NUM_COLOURS);
        !is_coloured && !run.run.metrics.rows.is_empty()
    });
    let y = |row: usize| 30.0 + 22.0 * row as f64;
    html! {
        @for (row, setting) in group.settings.iter().take(shown).enumerate() {
            (line((660.0, y(row) - 4.0), (684.0, y(row) - 4.0), &format!("legend-line {}", colour(Some(row)))))
            (text(692.0, y(row), "label", "start", &truncate(&setting.short_name, 32)))
        }
        @if has_others {
            (line((660.0, y(shown) - 4.0), (684.0, y(shown) - 4.0), "legend-line other"))
            text class="label" x="692" y=(at(y(shown))) { @if shown == 0 { "runs" } @else { "others" } }
        }
    }
}
