//! The mean score of each setting with its confidence interval, and the mean scores of its runs.

use maud::html;

use super::axis::{Axis, at, line, text};
use super::{Chart, colour};
use crate::comparison::Group;
use crate::format::truncate;

/// The maximum number of settings in the chart.
const MAX_SETTINGS: usize = 20;

/// Returns the chart, with a line per setting; `None` without settings.
pub(super) fn chart(group: &Group) -> Option<Chart> {
    let shown = &group.settings[..group.settings.len().min(MAX_SETTINGS)];
    if shown.is_empty() {
        return None;
    }
    let size = (900.0, 58.0 + 30.0 * shown.len() as f64);
    let bottom = size.1 - 48.0;
    let runs = |setting: usize| {
        let runs = shown[setting].runs.iter();
        runs.filter_map(|run| group.runs[*run].mean())
    };
    let bounds = shown.iter().flat_map(|setting| {
        let interval = setting.mean.interval;
        [setting.mean.mean, interval.map(|i| i.low), interval.map(|i| i.high)].into_iter().flatten()
    });
    let values = bounds.chain((0..shown.len()).flat_map(runs));
    let x = Axis::around(values, (300.0, size.0 - 70.0), false);
    let y = |setting: usize| 24.0 + 30.0 * setting as f64;
    let dots = if group.runs.len() > group.settings.len() { "; dots: single runs" } else { "" };
    let x_name = format!("{} with 95 % confidence interval over cases{dots}", group.metric.mean_axis_name());
    let body = html! {
        @for (value, label) in x.ticks(6) {
            (line((x.pixel(value), 6.0), (x.pixel(value), bottom), "grid"))
            (text(x.pixel(value), bottom + 18.0, "tick", "middle", &label))
        }
        (text((x.pixels.0 + x.pixels.1) / 2.0, bottom + 38.0, "name", "middle", &x_name))
        @for (index, setting) in shown.iter().enumerate() {
            (text(288.0, y(index) + 4.0, "label", "end", &truncate(&setting.short_name, 42)))
            g class=(colour(Some(index))) {
                @if let Some(interval) = setting.mean.interval {
                    (line((x.pixel(interval.low), y(index)), (x.pixel(interval.high), y(index)), "interval"))
                }
                @for run in runs(index) {
                    circle class="point" cx=(at(x.pixel(run))) cy=(at(y(index))) r="3" { title { (group.metric.quantity(run)) } }
                }
                @if let Some(mean) = setting.mean.mean {
                    rect class="mean" x=(at(x.pixel(mean) - 4.5)) y=(at(y(index) - 4.5)) width="9" height="9" {}
                }
            }
            (text(size.0 - 8.0, y(index) + 4.0, "tick", "end", &setting.mean.mean.map(|mean| group.metric.quantity(mean)).unwrap_or_default()))
        }
    };
    let more = if group.settings.len() > MAX_SETTINGS { format!(" (best {MAX_SETTINGS})") } else { String::new() };
    let title = format!("Mean {} of each {}{more}", group.metric.title, group.setting_noun());
    Some(Chart { name: "settings".to_owned(), title, size, body, axes: None, decimals: group.metric.unit.decimals() })
}
