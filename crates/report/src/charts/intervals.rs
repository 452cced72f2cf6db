//! The mean Dice of each setting with its interval over cases, and that of each of its runs.

use maud::html;

use super::axis::{Axis, at, line, text};
use super::{Chart, colour, cut};
use crate::comparison::Group;
use crate::verdict::three;

/// The most settings that are shown.
const SHOWN: usize = 20;

/// A line a setting.
pub(super) fn chart(group: &Group) -> Option<Chart> {
    let shown = &group.settings[..group.settings.len().min(SHOWN)];
    if shown.is_empty() {
        return None;
    }
    let size = (900.0, 58.0 + 30.0 * shown.len() as f64);
    let bottom = size.1 - 48.0;
    let runs = |place: usize| {
        let rows = shown[place].rows.iter();
        rows.filter_map(|row| group.rows[*row].chosen.as_ref()?.mean.mean)
    };
    let bounds = shown.iter().flat_map(|setting| {
        let interval = setting.mean.interval;
        [setting.mean.mean, interval.map(|i| i.low), interval.map(|i| i.high)].into_iter().flatten()
    });
    let values = bounds.chain((0..shown.len()).flat_map(runs));
    let x = Axis::around(values, (300.0, size.0 - 70.0), false);
    let y = |place: usize| 24.0 + 30.0 * place as f64;
    let body = html! {
        @for (value, label) in x.ticks(6) {
            (line((x.place(value), 6.0), (x.place(value), bottom), "grid"))
            (text(x.place(value), bottom + 18.0, "tick", "middle", &label))
        }
        (text((x.pixels.0 + x.pixels.1) / 2.0, bottom + 38.0, "name", "middle", "mean Dice, 95 % interval over cases, and each run"))
        @for (place, setting) in shown.iter().enumerate() {
            (text(288.0, y(place) + 4.0, "label", "end", &cut(&setting.short, 42)))
            g class=(colour(Some(place))) {
                @if let Some(interval) = setting.mean.interval {
                    (line((x.place(interval.low), y(place)), (x.place(interval.high), y(place)), "interval"))
                }
                @for run in runs(place) {
                    circle class="case" cx=(at(x.place(run))) cy=(at(y(place))) r="3" { title { (format!("{run:.4}")) } }
                }
                @if let Some(mean) = setting.mean.mean {
                    rect class="mean" x=(at(x.place(mean) - 4.5)) y=(at(y(place) - 4.5)) width="9" height="9" {}
                }
            }
            (text(size.0 - 8.0, y(place) + 4.0, "tick", "end", &setting.mean.mean.map(three).unwrap_or_default()))
        }
    };
    let more = if group.settings.len() > SHOWN { format!(" (best {SHOWN})") } else { String::new() };
    let title = format!("Mean Dice of each setting{more}");
    Some(Chart { name: "settings".to_owned(), title, size, body, scales: None })
}
