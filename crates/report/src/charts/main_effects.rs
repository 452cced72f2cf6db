//! The main effect of a key: the mean score of all runs with the same value, whatever their other values.

use std::collections::BTreeMap;

use maud::html;

use super::axis::{Axis, at, frame, line, path, text};
use super::{Chart, colour, file_name};
use crate::comparison::{Group, VaryingKey};
use crate::format::truncate;
use crate::statistics::mean;

/// If a key has more numbers, they are binned into four groups of equal size.
const MAX_LEVELS: usize = 8;

/// A value or a range of values, and the runs with it.
struct Level {
    x: f64,
    label: String,
    runs: Vec<Point>,
}

/// A run in the chart.
struct Point {
    x: f64,
    run: usize,
    score: f64,
}

/// Returns the chart of a key; `None` if the runs of settings have fewer than two values.
pub(super) fn chart(group: &Group, key: &VaryingKey) -> Option<Chart> {
    let size = (430.0, 300.0);
    let (levels, x, ticks) = levels(group, key, (64.0, size.0 - 16.0));
    if levels.len() < 2 {
        return None;
    }
    let y = Axis::around(
        levels.iter().flat_map(|level| level.runs.iter().map(|point| point.score)),
        (size.1 - 56.0, 22.0),
        false,
    );
    let means: Vec<(f64, f64)> = levels
        .iter()
        .filter_map(|level| Some((level.x, y.pixel(mean(level.runs.iter().map(|point| point.score))?))))
        .collect();
    let longest = (330.0 / levels.len() as f64 / 6.6) as usize;
    let body = html! {
        (frame(&x, &y, &ticks, &truncate(&key.path, 44), &group.metric.mean_axis_name()))
        path class="trend" d=(path(&means)) {}
        @for level in &levels {
            @for Point { x, run, score } in &level.runs {
                circle class={ "point " (colour(group.runs[*run].setting)) } data-run=(run) cx=(at(*x)) cy=(at(y.pixel(*score))) r="3.2" {
                    title { (group.runs[*run].run.name) ": " (group.metric.quantity(*score)) }
                }
            }
            (text(level.x, size.1 - 38.0, "tick", "middle", &truncate(&level.label, longest.max(5))))
        }
        @for ((x, y), level) in means.iter().zip(&levels) {
            (line((x - 14.0, *y), (x + 14.0, *y), "centre-line"))
            @if let Some(mean) = mean(level.runs.iter().map(|point| point.score)) {
                (text(*x + 17.0, y - 5.0, "tick halo", "start", &group.metric.number(mean)))
            }
        }
    };
    let bins = if ticks.is_empty() { "" } else { ", in four bins of equal size" };
    let title = format!("Main effect of {}{bins}", key.path);
    Some(Chart {
        name: format!("effect_{}", file_name(&key.path)),
        title,
        size,
        body,
        axes: None,
        decimals: group.metric.unit.decimals(),
    })
}

/// Returns the levels of a key, the x axis, and its ticks if it is numeric.
fn levels(group: &Group, key: &VaryingKey, pixels: (f64, f64)) -> (Vec<Level>, Axis, Vec<(f64, String)>) {
    let scored: Vec<(usize, f64)> = (0..group.runs.len())
        .filter(|run| group.runs[*run].setting.is_some())
        .filter_map(|run| Some((run, group.runs[run].mean()?)))
        .collect();
    let names = key.levels();
    if let Some(numbers) = key.numbers().filter(|_| names.len() > MAX_LEVELS) {
        return quartile_bins(&scored, &numbers, pixels);
    }
    let mut by_value: BTreeMap<usize, Vec<(usize, f64)>> = BTreeMap::new();
    for (run, score) in scored {
        // Runs without the key, which have another component, come first.
        let level = key.values[run].as_ref().and_then(|value| names.iter().position(|name| name == value));
        by_value.entry(level.map_or(0, |level| level + 1)).or_default().push((run, score));
    }
    let axis = Axis::new((-0.5, by_value.len() as f64 - 0.5), pixels);
    let level = |(order, (name, runs)): (usize, (usize, Vec<(usize, f64)>))| {
        let x = axis.pixel(order as f64);
        let label = name.checked_sub(1).map_or_else(|| "–".to_owned(), |name| names[name].clone());
        Level { x, label, runs: runs.into_iter().map(|(run, score)| Point { x, run, score }).collect() }
    };
    (by_value.into_iter().enumerate().map(level).collect(), axis, Vec::new())
}

/// Bins runs by the number into four groups of equal size.
fn quartile_bins(
    scored: &[(usize, f64)],
    numbers: &[Option<f64>],
    pixels: (f64, f64),
) -> (Vec<Level>, Axis, Vec<(f64, String)>) {
    let mut sorted: Vec<(f64, usize, f64)> =
        scored.iter().filter_map(|(run, score)| Some((numbers[*run]?, *run, *score))).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let axis = Axis::around(sorted.iter().map(|run| run.0), pixels, true);
    let size = sorted.len().div_ceil(4).max(1);
    let level = |runs: &[(f64, usize, f64)]| {
        let point =
            |(number, run, score): &(f64, usize, f64)| Point { x: axis.pixel(*number), run: *run, score: *score };
        let runs: Vec<Point> = runs.iter().map(point).collect();
        let x = mean(runs.iter().map(|point| point.x)).unwrap_or_default();
        Level { x, label: String::new(), runs }
    };
    (sorted.chunks(size).map(level).collect(), axis, axis.ticks(4))
}
