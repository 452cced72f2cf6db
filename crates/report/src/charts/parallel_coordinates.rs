//! Parallel coordinates: a line a run through the values of the keys that differ, to the mean Dice.

use maud::html;

use super::axis::{Axis, line, path, text};
use super::{Chart, colour, cut};
use crate::comparison::Group;
use crate::comparison::plan_differences::VaryingKey;

/// The most keys that have an axis.
const SHOWN: usize = 10;

/// Where the values of a key stand on its axis, and what is written there.
struct Scale {
    places: Vec<Option<f64>>,
    ticks: Vec<(f64, String)>,
}

/// The chart, where at least one key differs.
pub(super) fn chart(group: &Group, keys: &[&VaryingKey]) -> Option<Chart> {
    let keys = &keys[..keys.len().min(SHOWN)];
    let scored: Vec<Option<f64>> =
        group.rows.iter().map(|row| row.chosen.as_ref().and_then(|chosen| chosen.mean.mean)).collect();
    if keys.is_empty() || scored.iter().flatten().count() < 2 {
        return None;
    }
    let size = (900.0, 380.0);
    let pixels = (size.1 - 30.0, 46.0);
    let dice = Axis::around(scored.iter().flatten().copied(), pixels, false);
    let mut scales: Vec<Scale> = keys.iter().map(|key| scale(key, pixels)).collect();
    scales.push(Scale {
        places: scored.iter().map(|score| score.map(|score| dice.place(score))).collect(),
        ticks: dice.ticks(6).into_iter().map(|(value, label)| (dice.place(value), label)).collect(),
    });
    let across = Axis::new((0.0, keys.len() as f64), (130.0, size.0 - 64.0));
    let names = keys.iter().map(|key| key.short()).chain(["mean Dice"]);
    let route = |row: usize| -> Option<Vec<(f64, f64)>> {
        scales.iter().enumerate().map(|(axis, scale)| Some((across.place(axis as f64), scale.places[row]?))).collect()
    };
    let body = html! {
        @for row in (0..group.rows.len()).rev() {
            @if let Some(route) = route(row) {
                path class={ "curve " (colour(group.rows[row].setting)) } data-row=(row) d=(path(&route)) {}
            }
        }
        @for (axis, (scale, name)) in scales.iter().zip(names).enumerate() {
            (line((across.place(axis as f64), pixels.0), (across.place(axis as f64), pixels.1), "axis"))
            (text(across.place(axis as f64), 24.0, "name", "middle", &cut(name, 24)))
            @for (place, label) in &scale.ticks {
                // Labels of the last axis stand outside, where no line passes.
                @if axis == keys.len() { (text(across.place(axis as f64) + 7.0, place + 4.0, "tick", "start", label)) }
                @else { (text(across.place(axis as f64) - 7.0, place + 4.0, "tick halo", "end", &cut(label, 18))) }
            }
        }
    };
    let title = "Every run, from its values to its mean Dice".to_owned();
    Some(Chart { name: "parallel".to_owned(), title, size, body, scales: None })
}

/// Few levels stand at even distances; many numbers on an axis of their own.
fn scale(key: &VaryingKey, pixels: (f64, f64)) -> Scale {
    let levels = key.levels();
    if let Some(numbers) = key.numbers().filter(|_| levels.len() > 6) {
        let axis = Axis::around(numbers.iter().flatten().copied(), pixels, true);
        return Scale {
            places: numbers.iter().map(|number| number.map(|number| axis.place(number))).collect(),
            ticks: axis.ticks(6).into_iter().map(|(value, label)| (axis.place(value), label)).collect(),
        };
    }
    let has_gap = key.values.iter().any(Option::is_none);
    let mut words = levels;
    if has_gap {
        words.insert(0, "–".to_owned());
    }
    let axis = Axis::new((-0.5, words.len() as f64 - 0.5), pixels);
    let place = |value: &Option<String>| {
        let word = value.as_deref().unwrap_or("–");
        words.iter().position(|other| other == word).map(|level| axis.place(level as f64))
    };
    Scale {
        places: key.values.iter().map(place).collect(),
        ticks: words.iter().enumerate().map(|(level, word)| (axis.place(level as f64), word.clone())).collect(),
    }
}
