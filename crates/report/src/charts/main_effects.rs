//! The main effect of a key: the mean Dice of all runs with a value, whatever their other values.

use std::collections::BTreeMap;

use maud::html;

use super::axis::{Axis, at, frame, line, path, text};
use super::{Chart, colour, cut, file_name};
use crate::comparison::Group;
use crate::comparison::plan_differences::VaryingKey;
use crate::statistics::mean;

/// More numbers than this are taken together in quarters.
const LEVELS: usize = 8;

/// A value or a range of values, and the runs that have it.
struct Level {
    place: f64,
    label: String,
    runs: Vec<(f64, usize, f64)>,
}

/// The chart of a key, from the runs that are in some mean.
pub(super) fn chart(group: &Group, key: &VaryingKey) -> Option<Chart> {
    let size = (430.0, 300.0);
    let (levels, x, ticks) = levels(group, key, (64.0, size.0 - 16.0));
    if levels.len() < 2 {
        return None;
    }
    let y =
        Axis::around(levels.iter().flat_map(|level| level.runs.iter().map(|run| run.2)), (size.1 - 56.0, 22.0), false);
    let means: Vec<(f64, f64)> = levels
        .iter()
        .filter_map(|level| Some((level.place, y.place(mean(level.runs.iter().map(|run| run.2))?))))
        .collect();
    let longest = (330.0 / levels.len() as f64 / 6.6) as usize;
    let body = html! {
        (frame(&x, &y, &ticks, &cut(&key.path, 44), "mean Dice"))
        path class="trend" d=(path(&means)) {}
        @for level in &levels {
            @for (place, row, score) in &level.runs {
                circle class={ "case " (colour(group.rows[*row].setting)) } data-row=(row) cx=(at(*place)) cy=(at(y.place(*score))) r="3.2" {
                    title { (group.rows[*row].run.name) ": " (format!("{score:.4}")) }
                }
            }
            (text(level.place, size.1 - 38.0, "tick", "middle", &cut(&level.label, longest.max(5))))
        }
        @for ((place, height), level) in means.iter().zip(&levels) {
            (line((place - 14.0, *height), (place + 14.0, *height), "median"))
            @if let Some(mean) = mean(level.runs.iter().map(|run| run.2)) {
                (text(*place + 17.0, height - 5.0, "tick halo", "start", &format!("{mean:.3}")))
            }
        }
    };
    let parts = if ticks.is_empty() { "" } else { ", in four parts of equal size" };
    let title = format!("Main effect of {}{parts}", key.path);
    Some(Chart { name: format!("effect_{}", file_name(&key.path)), title, size, body, scales: None })
}

/// The levels, the axis that they stand on, and its ticks where it is one of numbers.
fn levels(group: &Group, key: &VaryingKey, pixels: (f64, f64)) -> (Vec<Level>, Axis, Vec<(f64, String)>) {
    let counted: Vec<(usize, f64)> = (0..group.rows.len())
        .filter(|row| group.rows[*row].setting.is_some())
        .filter_map(|row| Some((row, group.rows[row].chosen.as_ref()?.mean.mean?)))
        .collect();
    let names = key.levels();
    if let Some(numbers) = key.numbers().filter(|_| names.len() > LEVELS) {
        return quarters(&counted, &numbers, pixels);
    }
    let mut by_value: BTreeMap<usize, Vec<(usize, f64)>> = BTreeMap::new();
    for (row, score) in counted {
        // A run without the key chose something else; it stands first.
        let level = key.values[row].as_ref().and_then(|value| names.iter().position(|name| name == value));
        by_value.entry(level.map_or(0, |level| level + 1)).or_default().push((row, score));
    }
    let axis = Axis::new((-0.5, by_value.len() as f64 - 0.5), pixels);
    let level = |(order, (name, runs)): (usize, (usize, Vec<(usize, f64)>))| {
        let place = axis.place(order as f64);
        let label = name.checked_sub(1).map_or_else(|| "–".to_owned(), |name| names[name].clone());
        Level { place, label, runs: runs.into_iter().map(|(row, score)| (place, row, score)).collect() }
    };
    (by_value.into_iter().enumerate().map(level).collect(), axis, Vec::new())
}

/// Runs by size of the number, in four equal parts.
fn quarters(
    counted: &[(usize, f64)],
    numbers: &[Option<f64>],
    pixels: (f64, f64),
) -> (Vec<Level>, Axis, Vec<(f64, String)>) {
    let mut sorted: Vec<(f64, usize, f64)> =
        counted.iter().filter_map(|(row, score)| Some((numbers[*row]?, *row, *score))).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let axis = Axis::around(sorted.iter().map(|run| run.0), pixels, true);
    let size = sorted.len().div_ceil(4).max(1);
    let level = |runs: &[(f64, usize, f64)]| {
        let places: Vec<(f64, usize, f64)> =
            runs.iter().map(|(number, row, score)| (axis.place(*number), *row, *score)).collect();
        let place = mean(places.iter().map(|run| run.0)).unwrap_or_default();
        Level { place, label: String::new(), runs: places }
    };
    (sorted.chunks(size).map(level).collect(), axis, axis.ticks(4))
}
