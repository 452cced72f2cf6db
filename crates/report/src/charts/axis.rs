//! Axes: from values to places, with ticks at round numbers.

use maud::{Markup, html};

/// A range of values and the places of its ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    /// The values at both ends.
    pub(super) range: (f64, f64),
    /// Their places.
    pub(super) pixels: (f64, f64),
    /// Whether equal distances are equal factors.
    pub(super) logarithmic: bool,
}

impl Axis {
    /// An even axis; an empty range is widened.
    pub(super) fn new((low, high): (f64, f64), pixels: (f64, f64)) -> Self {
        let range = if high > low { (low, high) } else { (low - 0.5, low + 0.5) };
        Self { range, pixels, logarithmic: false }
    }

    /// An axis around some values with a little room, logarithmic where they span more than a factor of 20.
    pub(super) fn around(values: impl IntoIterator<Item = f64>, pixels: (f64, f64), may_be_logarithmic: bool) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            return Self::new((0.0, 1.0), pixels);
        }
        if may_be_logarithmic && low > 0.0 && high / low > 20.0 {
            let room = (high / low).powf(0.04);
            return Self { range: (low / room, high * room), pixels, logarithmic: true };
        }
        let room = if high > low { (high - low) * 0.05 } else { 0.05 * high.abs().max(1.0) };
        let low = if low >= 0.0 { (low - room).max(0.0) } else { low - room };
        Self::new((low, high + room), pixels)
    }

    /// Where a value lies.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (low, high) = (self.scaled(self.range.0), self.scaled(self.range.1));
        let share = (self.scaled(value) - low) / (high - low);
        self.pixels.0 + share * (self.pixels.1 - self.pixels.0)
    }

    fn scaled(&self, value: f64) -> f64 {
        if self.logarithmic { value.ln() } else { value }
    }

    /// Round values within the range, about so many, with as many digits as tell them apart.
    pub(super) fn ticks(&self, about: usize) -> Vec<(f64, String)> {
        if self.logarithmic {
            return self.powers();
        }
        let (low, high) = self.range;
        let raw = (high - low) / about.max(1) as f64;
        let power = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= raw * 0.999);
        let step = step.unwrap_or(10.0 * power);
        let digits = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
        let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
        (first..=last).map(|count| count as f64 * step).map(|value| (value, format!("{value:.digits$}"))).collect()
    }

    fn powers(&self) -> Vec<(f64, String)> {
        let (low, high) = self.range;
        let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
        let factors: &[f64] = if high / low > 1e3 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let values = decades.flat_map(|decade| factors.iter().map(move |factor| factor * 10f64.powi(decade)));
        let label = |value: f64| if (1e-3..1e4).contains(&value) { plain(value) } else { format!("{value:.0e}") };
        values.filter(|value| (low..=high).contains(value)).map(|value| (value, label(value))).collect()
    }

    /// What a script needs to turn a place into a value.
    pub(super) fn scale(&self) -> String {
        format!("{},{},{},{}", self.range.0, self.range.1, self.pixels.0, self.pixels.1)
    }
}

/// A number without the dust of binary fractions.
fn plain(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The frame of a chart: horizontal lines at the ticks of the vertical axis, and the names of both axes.
pub(super) fn frame(x: &Axis, y: &Axis, x_ticks: &[(f64, String)], x_name: &str, y_name: &str) -> Markup {
    let (left, right) = x.pixels;
    let (bottom, top) = y.pixels;
    html! {
        @for (value, label) in y.ticks(5) {
            (line((left, y.place(value)), (right, y.place(value)), "grid"))
            (text(left - 8.0, y.place(value) + 4.0, "tick", "end", &label))
        }
        (line((left, bottom), (right, bottom), "axis"))
        @for (value, label) in x_ticks {
            (line((x.place(*value), bottom), (x.place(*value), bottom + 4.0), "axis"))
            (text(x.place(*value), bottom + 18.0, "tick", "middle", label))
        }
        (text((left + right) / 2.0, bottom + 38.0, "name", "middle", x_name))
        text class="name" text-anchor="middle" transform={ "translate(14 " (at((top + bottom) / 2.0)) ") rotate(-90)" } { (y_name) }
    }
}

pub(super) fn line(from: (f64, f64), to: (f64, f64), class: &str) -> Markup {
    html! { line class=(class) x1=(at(from.0)) y1=(at(from.1)) x2=(at(to.0)) y2=(at(to.1)) {} }
}

pub(super) fn text(x: f64, y: f64, class: &str, anchor: &str, words: &str) -> Markup {
    html! { text class=(class) x=(at(x)) y=(at(y)) text-anchor=(anchor) { (words) } }
}

/// A place to a tenth of a pixel.
pub(super) fn at(place: f64) -> String {
    let text = format!("{place:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// A path through some places.
pub(super) fn path(points: &[(f64, f64)]) -> String {
    let mut path = String::with_capacity(points.len() * 12);
    for (place, (x, y)) in points.iter().enumerate() {
        path.push(if place == 0 { 'M' } else { 'L' });
        path.push_str(&at(*x));
        path.push(' ');
        path.push_str(&at(*y));
    }
    // A lone point is a dot.
    if points.len() == 1 {
        path.push_str("h0");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis, about: usize) -> Vec<String> {
        axis.ticks(about).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(labels(Axis::new((0.0, 1.0), (0.0, 1.0)), 5), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(Axis::new((1.0, 24.0), (0.0, 1.0)), 5), ["5", "10", "15", "20"]);
        assert_eq!(labels(Axis::new((0.812, 0.829), (0.0, 1.0)), 4), ["0.815", "0.820", "0.825"]);
    }

    #[test]
    fn factors_of_more_than_twenty_are_logarithmic() {
        let axis = Axis::around([1e-4, 1e-2], (0.0, 100.0), true);
        assert!(axis.logarithmic);
        assert_eq!(labels(axis, 5), ["1e-4", "2e-4", "5e-4", "0.001", "0.002", "0.005", "0.01"]);
        assert!((axis.place(1e-3) - 50.0).abs() < 1e-9);
        assert!(!Axis::around([0.5, 0.9], (0.0, 1.0), true).logarithmic);
    }

    #[test]
    fn a_range_of_one_value_lies_in_the_middle() {
        assert_eq!(Axis::new((3.0, 3.0), (0.0, 10.0)).place(3.0), 5.0);
        assert_eq!(path(&[(1.0, 2.25)]), "M1 2.2h0");
    }
}
