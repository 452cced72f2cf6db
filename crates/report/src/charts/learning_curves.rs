//! Quantities over the epochs, a curve a run.

use maud::{Markup, html};

use super::axis::{Axis, at, frame, line, path, text};
use super::{COLOURS, Chart, colour, cut, dice_axis, file_name};
use crate::comparison::Group;

const SIZE: (f64, f64) = (900.0, 420.0);

/// A chart for the mean Dice, each label's Dice, and the losses; those without a value are left out.
pub(super) fn charts(group: &Group) -> Vec<Chart> {
    let dice = std::iter::once("mean").chain(group.labels.iter().map(String::as_str));
    let dice = dice.map(|label| (format!("val_dice_{label}"), format!("Dice, {}", label.replace('_', " "))));
    let losses = [("val_loss", "validation loss"), ("train_loss", "training loss")];
    let losses = losses.map(|(column, title)| (column.to_owned(), title.to_owned()));
    dice.chain(losses).filter_map(|(column, title)| chart(group, &column, title)).collect()
}

fn chart(group: &Group, column: &str, title: String) -> Option<Chart> {
    let curves: Vec<Vec<(f64, f64)>> = group.rows.iter().map(|row| row.run.metrics.points("epoch", column)).collect();
    let points = || curves.iter().flatten().copied();
    let last = points().map(|(epoch, _)| epoch).reduce(f64::max)?;
    let x = Axis::new((if last > 1.0 { 1.0 } else { 0.0 }, last.max(2.0)), (64.0, 640.0));
    let pixels = (SIZE.1 - 56.0, 12.0);
    let values = points().map(|(_, value)| value);
    let is_dice = column.starts_with("val_dice");
    let y = if is_dice { dice_axis(values, pixels) } else { Axis::around(values, pixels, false) };
    let whole = x.ticks(8).into_iter().filter(|(epoch, _)| epoch.fract() == 0.0);
    let ticks: Vec<_> = whole.map(|(epoch, _)| (epoch, epoch.to_string())).collect();
    let name = title.split(',').next().unwrap_or(column);
    let body = html! {
        (frame(&x, &y, &ticks, "epoch", name))
        // The best lie on top.
        @for (row, points) in curves.iter().enumerate().rev() {
            @if !points.is_empty() {
                path class={ "curve " (colour(group.rows[row].setting)) } data-row=(row)
                    d=(path(&points.iter().map(|(epoch, value)| (x.place(*epoch), y.place(*value))).collect::<Vec<_>>())) {}
            }
        }
        (legend(group))
    };
    let scales = Some(format!("{} {}", x.scale(), y.scale()));
    Some(Chart { name: format!("curves_{}", file_name(column)), title, size: SIZE, body, scales })
}

/// The settings that have a colour, and grey for the others.
fn legend(group: &Group) -> Markup {
    let shown = group.settings.len().min(COLOURS);
    let has_rest = group.rows.iter().any(|row| {
        let is_coloured = row.setting.is_some_and(|setting| setting < COLOURS);
        !is_coloured && !row.run.metrics.rows.is_empty()
    });
    let place = |row: usize| 30.0 + 22.0 * row as f64;
    html! {
        @for (row, setting) in group.settings.iter().take(shown).enumerate() {
            (line((660.0, place(row) - 4.0), (684.0, place(row) - 4.0), &format!("key {}", colour(Some(row)))))
            (text(692.0, place(row), "label", "start", &cut(&setting.short, 32)))
        }
        @if has_rest {
            (line((660.0, place(shown) - 4.0), (684.0, place(shown) - 4.0), "key rest"))
            text class="label" x="692" y=(at(place(shown))) { @if shown == 0 { "runs" } @else { "others" } }
        }
    }
}
