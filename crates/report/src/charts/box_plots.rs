//! The Dice of each case, a box a setting.

use maud::{Markup, html};

use super::axis::{Axis, at, frame, line, text};
use super::{Chart, colour, cut, dice_axis, file_name};
use crate::comparison::{Group, Setting};
use crate::plots::beside;
use crate::statistics::BoxPlotStatistics;

/// The most settings that have a box.
const SHOWN: usize = 12;

/// A chart for each label.
pub(super) fn charts(group: &Group) -> Vec<Chart> {
    (0..group.labels.len()).filter_map(|label| chart(group, label)).collect()
}

fn chart(group: &Group, label: usize) -> Option<Chart> {
    let shown = &group.settings[..group.settings.len().min(SHOWN)];
    let scores: Vec<Vec<(&str, f64)>> = shown.iter().map(|setting| scores(setting, label)).collect();
    if scores.iter().all(Vec::is_empty) {
        return None;
    }
    let longest = shown.iter().map(|setting| setting.short.chars().count()).max().unwrap_or(0);
    let width = (7.0 * longest as f64 + 10.0).clamp(60.0, 150.0);
    let size = (64.0 + 24.0 + width * shown.len().max(4) as f64, 360.0);
    let x = Axis::new((-0.5, shown.len() as f64 - 0.5), (64.0, size.0 - 12.0));
    let y = dice_axis(scores.iter().flatten().map(|(_, score)| *score), (size.1 - 56.0, 12.0));
    let longest = ((x.pixels.1 - x.pixels.0) / shown.len() as f64 / 6.6) as usize;
    let body = html! {
        (frame(&x, &y, &[], "setting", "Dice of a case"))
        @for (place, scores) in scores.iter().enumerate() {
            (one_box(x.place(place as f64), &y, scores, &colour(Some(place))))
            (text(x.place(place as f64), size.1 - 36.0, "tick", "middle", &cut(&shown[place].short, longest)))
        }
    };
    let words = group.labels[label].replace('_', " ");
    let more = group.settings.len() - shown.len();
    let title = format!(
        "{words}, Dice of each case, mean over runs{}",
        if more > 0 { format!(" (best {SHOWN} settings)") } else { String::new() }
    );
    Some(Chart { name: format!("boxes_{}", file_name(&group.labels[label])), title, size, body, scales: None })
}

/// The cases of a setting with a score of that label.
fn scores(setting: &Setting, label: usize) -> Vec<(&str, f64)> {
    setting.cases.iter().filter_map(|(subject, scores)| Some((subject.as_str(), scores[label]?))).collect()
}

/// BoxPlotStatistics and median, whiskers to the farthest case within 1.5 times their distance (Tukey), and every case.
fn one_box(x: f64, y: &Axis, scores: &[(&str, f64)], class: &str) -> Markup {
    let values: Vec<f64> = scores.iter().map(|(_, score)| *score).collect();
    let Some(BoxPlotStatistics { low: first, quarter: low, median, three_quarters: high, high: last }) =
        BoxPlotStatistics::of(&values)
    else {
        return html! {};
    };
    let half = 17.0;
    html! {
        g class=(class) {
            (line((x, y.place(first)), (x, y.place(low)), "whisker"))
            (line((x, y.place(high)), (x, y.place(last)), "whisker"))
            rect class="box" x=(at(x - half)) y=(at(y.place(high))) width=(at(2.0 * half)) height=(at(y.place(low) - y.place(high))) {}
            (line((x - half, y.place(median)), (x + half, y.place(median)), "median"))
            @for (place, (subject, score)) in scores.iter().enumerate() {
                circle class="case" cx=(at(x + 24.0 * beside(place))) cy=(at(y.place(*score))) r="2.6" { title { (subject) ": " (format!("{score:.4}")) } }
            }
        }
    }
}
