//! Box plots of the scores of cases, a box per setting.

use maud::{Markup, html};

use super::axis::{Axis, at, frame, line, text};
use super::{Chart, colour, file_name, score_axis};
use crate::appearance::jitter;
use crate::comparison::{Group, Setting};
use crate::format::truncate;
use crate::statistics::BoxPlotStatistics;

/// The maximum number of settings with a box.
const MAX_SETTINGS: usize = 12;

/// Returns a chart per label.
pub(super) fn charts(group: &Group) -> Vec<Chart> {
    (0..group.labels.len()).filter_map(|label| chart(group, label)).collect()
}

fn chart(group: &Group, label: usize) -> Option<Chart> {
    let shown = &group.settings[..group.settings.len().min(MAX_SETTINGS)];
    let scores: Vec<Vec<(&str, f64)>> = shown.iter().map(|setting| scores(setting, label)).collect();
    if scores.iter().all(Vec::is_empty) {
        return None;
    }
    let longest = shown.iter().map(|setting| setting.short_name.chars().count()).max().unwrap_or(0);
    let width = (7.0 * longest as f64 + 10.0).clamp(60.0, 150.0);
    let size = (64.0 + 24.0 + width * shown.len().max(4) as f64, 360.0);
    let x = Axis::new((-0.5, shown.len() as f64 - 0.5), (64.0, size.0 - 12.0));
    let y = score_axis(&group.metric, scores.iter().flatten().map(|(_, score)| *score), (size.1 - 56.0, 12.0));
    let longest = ((x.pixels.1 - x.pixels.0) / shown.len() as f64 / 6.6) as usize;
    let body = html! {
        (frame(&x, &y, &[], group.setting_noun(), &group.metric.axis_name()))
        @for (index, scores) in scores.iter().enumerate() {
            (one_box(group, x.pixel(index as f64), &y, scores, &colour(Some(index))))
            (text(x.pixel(index as f64), size.1 - 36.0, "tick", "middle", &truncate(&shown[index].short_name, longest)))
        }
    };
    let label_text = group.labels[label].replace('_', " ");
    let more = group.settings.len() - shown.len();
    let title = format!(
        "{label_text}: {} of each case{}{}",
        group.metric.title,
        if group.runs.len() > group.settings.len() { ", mean over runs" } else { "" },
        if more > 0 { format!(" (best {MAX_SETTINGS} settings)") } else { String::new() }
    );
    Some(Chart {
        name: format!("boxes_{}", file_name(&group.labels[label])),
        title,
        size,
        body,
        axes: None,
        decimals: group.metric.unit.decimals(),
    })
}

/// Returns the subjects and scores of the cases with a defined score of the label.
fn scores(setting: &Setting, label: usize) -> Vec<(&str, f64)> {
    setting.cases.iter().filter_map(|(subject, scores)| Some((subject.as_str(), scores[label]?))).collect()
}

/// Draws a Tukey box plot with all cases as points.
fn one_box(group: &Group, x: f64, y: &Axis, scores: &[(&str, f64)], class: &str) -> Markup {
    let values: Vec<f64> = scores.iter().map(|(_, score)| *score).collect();
    let Some(statistics) = BoxPlotStatistics::of(&values) else { return html! {} };
    let BoxPlotStatistics { lower_whisker, first_quartile, median, third_quartile, upper_whisker } = statistics;
    let half_width = 17.0;
    html! {
        g class=(class) {
            (line((x, y.pixel(lower_whisker)), (x, y.pixel(first_quartile)), "whisker"))
            (line((x, y.pixel(third_quartile)), (x, y.pixel(upper_whisker)), "whisker"))
            rect class="box" x=(at(x - half_width)) y=(at(y.pixel(third_quartile))) width=(at(2.0 * half_width)) height=(at(y.pixel(first_quartile) - y.pixel(third_quartile))) {}
            (line((x - half_width, y.pixel(median)), (x + half_width, y.pixel(median)), "centre-line"))
            @for (index, (subject, score)) in scores.iter().enumerate() {
                circle class="point" cx=(at(x + 24.0 * jitter(index))) cy=(at(y.pixel(*score))) r="2.6" { title { (subject) ": " (group.metric.quantity(*score)) } }
            }
        }
    }
}
