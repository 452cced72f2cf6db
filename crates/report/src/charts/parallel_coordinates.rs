//! Parallel coordinates: a line per run through its values of the varying keys to its mean score.

use maud::html;

use super::axis::{Axis, line, path, text};
use super::{Chart, colour};
use crate::comparison::{ComparedRun, Group, VaryingKey};
use crate::format::truncate;

/// The maximum number of keys with an axis.
const MAX_KEYS: usize = 10;

/// The axis of a key: the coordinate of each run, and the ticks.
struct KeyAxis {
    runs: Vec<Option<f64>>,
    ticks: Vec<(f64, String)>,
}

/// Returns the chart; `None` if no key varies or fewer than two runs have scores.
pub(super) fn chart(group: &Group, keys: &[&VaryingKey]) -> Option<Chart> {
    let keys = &keys[..keys.len().min(MAX_KEYS)];
    let scores: Vec<Option<f64>> = group.runs.iter().map(ComparedRun::mean).collect();
    if keys.is_empty() || scores.iter().flatten().count() < 2 {
        return None;
    }
    let size = (900.0, 380.0);
    let pixels = (size.1 - 30.0, 46.0);
    let score_axis = Axis::around(scores.iter().flatten().copied(), pixels, false);
    let mut axes: Vec<KeyAxis> = keys.iter().map(|key| key_axis(key, pixels)).collect();
    axes.push(KeyAxis {
        runs: scores.iter().map(|score| score.map(|score| score_axis.pixel(score))).collect(),
        ticks: score_axis.ticks(6).into_iter().map(|(value, label)| (score_axis.pixel(value), label)).collect(),
    });
    let across = Axis::new((0.0, keys.len() as f64), (130.0, size.0 - 64.0));
    let mean_name = group.metric.mean_axis_name();
    let names = keys.iter().map(|key| key.short()).chain([mean_name.as_str()]);
    let line_of = |run: usize| -> Option<Vec<(f64, f64)>> {
        axes.iter().enumerate().map(|(index, axis)| Some((across.pixel(index as f64), axis.runs[run]?))).collect()
    };
    let body = html! {
        @for run in (0..group.runs.len()).rev() {
            @if let Some(points) = line_of(run) {
                path class={ "curve " (colour(group.runs[run].setting)) } data-run=(run) d=(path(&points)) {}
            }
        }
        @for (index, (axis, name)) in axes.iter().zip(names).enumerate() {
            (line((across.pixel(index as f64), pixels.0), (across.pixel(index as f64), pixels.1), "axis"))
            (text(across.pixel(index as f64), 24.0, "name", "middle", &truncate(name, 24)))
            @for (y, label) in &axis.ticks {
                // The labels of the last axis are outside, where no line passes.
                @if index == keys.len() { (text(across.pixel(index as f64) + 7.0, y + 4.0, "tick", "start", label)) }
                @else { (text(across.pixel(index as f64) - 7.0, y + 4.0, "tick halo", "end", &truncate(label, 18))) }
            }
        }
    };
    let title = format!("Values of each run, and its mean {}", group.metric.title);
    Some(Chart { name: "parallel".to_owned(), title, size, body, axes: None, decimals: group.metric.unit.decimals() })
}

/// Returns an axis with evenly spaced values, or a numeric axis for more than six numbers.
fn key_axis(key: &VaryingKey, pixels: (f64, f64)) -> KeyAxis {
    let levels = key.levels();
    if let Some(numbers) = key.numbers().filter(|_| levels.len() > 6) {
        let axis = Axis::around(numbers.iter().flatten().copied(), pixels, true);
        return KeyAxis {
            runs: numbers.iter().map(|number| number.map(|number| axis.pixel(number))).collect(),
            ticks: axis.ticks(6).into_iter().map(|(value, label)| (axis.pixel(value), label)).collect(),
        };
    }
    let is_missing_somewhere = key.values.iter().any(Option::is_none);
    let mut labels = levels;
    if is_missing_somewhere {
        labels.insert(0, "–".to_owned());
    }
    let axis = Axis::new((-0.5, labels.len() as f64 - 0.5), pixels);
    let pixel = |value: &Option<String>| {
        let label = value.as_deref().unwrap_or("–");
        labels.iter().position(|other| other == label).map(|level| axis.pixel(level as f64))
    };
    KeyAxis {
        runs: key.values.iter().map(pixel).collect(),
        ticks: labels.iter().enumerate().map(|(level, label)| (axis.pixel(level as f64), label.clone())).collect(),
    }
}
