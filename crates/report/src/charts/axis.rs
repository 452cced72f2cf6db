//! Axes, which map values to pixels, and the parts of charts that use them.

use maud::{Markup, html};

use crate::format::{decimals, number};

/// A linear or logarithmic axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    /// The values at its ends.
    pub(super) range: (f64, f64),
    /// The coordinates of its ends in pixels.
    pub(super) pixels: (f64, f64),
    /// Whether it is logarithmic.
    pub(super) is_logarithmic: bool,
}

impl Axis {
    /// Returns a linear axis. An empty range is widened.
    pub(super) fn new((low, high): (f64, f64), pixels: (f64, f64)) -> Self {
        let range = if high > low { (low, high) } else { (low - 0.5, low + 0.5) };
        Self { range, pixels, is_logarithmic: false }
    }

    /// Returns an axis with a margin around values; logarithmic, if allowed, if they span more than a factor of 20.
    pub(super) fn around(values: impl IntoIterator<Item = f64>, pixels: (f64, f64), may_be_logarithmic: bool) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            return Self::new((0.0, 1.0), pixels);
        }
        if may_be_logarithmic && low > 0.0 && high / low > 20.0 {
            let margin = (high / low).powf(0.04);
            return Self { range: (low / margin, high * margin), pixels, is_logarithmic: true };
        }
        let margin = if high > low { (high - low) * 0.05 } else { 0.05 * high.abs().max(1.0) };
        let low = if low >= 0.0 { (low - margin).max(0.0) } else { low - margin };
        Self::new((low, high + margin), pixels)
    }

    /// Returns the coordinate of a value in pixels.
    pub(super) fn pixel(&self, value: f64) -> f64 {
        let (low, high) = (self.scaled(self.range.0), self.scaled(self.range.1));
        let fraction = (self.scaled(value) - low) / (high - low);
        self.pixels.0 + fraction * (self.pixels.1 - self.pixels.0)
    }

    fn scaled(&self, value: f64) -> f64 {
        if self.is_logarithmic { value.ln() } else { value }
    }

    /// Returns about the given number of round values within the range, with labels.
    pub(super) fn ticks(&self, target: usize) -> Vec<(f64, String)> {
        if self.is_logarithmic {
            return self.logarithmic_ticks();
        }
        let (low, high) = self.range;
        let raw = (high - low) / target.max(1) as f64;
        let power = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= raw * 0.999);
        let step = step.unwrap_or(10.0 * power);
        let digits = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
        let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
        (first..=last).map(|count| count as f64 * step).map(|value| (value, decimals(value, digits))).collect()
    }

    fn logarithmic_ticks(&self) -> Vec<(f64, String)> {
        let (low, high) = self.range;
        let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
        let factors: &[f64] = if high / low > 1e3 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let values = decades.flat_map(|decade| factors.iter().map(move |factor| factor * 10f64.powi(decade)));
        // Products such as 2 x 1e-5 are not exactly the nearest numbers to their decimal notation.
        let label = |value: f64| number(format!("{value:.0e}").parse().unwrap_or(value));
        values.filter(|value| (low..=high).contains(value)).map(|value| (value, label(value))).collect()
    }

    /// Returns the range and pixels as text, from which a script can compute values.
    pub(super) fn to_text(self) -> String {
        format!("{},{},{},{}", self.range.0, self.range.1, self.pixels.0, self.pixels.1)
    }
}

/// Draws both axes with their names, and grid lines at the ticks of the y axis.
pub(super) fn frame(x: &Axis, y: &Axis, x_ticks: &[(f64, String)], x_name: &str, y_name: &str) -> Markup {
    let (left, right) = x.pixels;
    let (bottom, top) = y.pixels;
    html! {
        @for (value, label) in y.ticks(5) {
            (line((left, y.pixel(value)), (right, y.pixel(value)), "grid"))
            (text(left - 8.0, y.pixel(value) + 4.0, "tick", "end", &label))
        }
        (line((left, bottom), (right, bottom), "axis"))
        @for (value, label) in x_ticks {
            (line((x.pixel(*value), bottom), (x.pixel(*value), bottom + 4.0), "axis"))
            (text(x.pixel(*value), bottom + 18.0, "tick", "middle", label))
        }
        (text((left + right) / 2.0, bottom + 38.0, "name", "middle", x_name))
        text class="name" text-anchor="middle" transform={ "translate(14 " (at((top + bottom) / 2.0)) ") rotate(-90)" } { (y_name) }
    }
}

pub(super) fn line(from: (f64, f64), to: (f64, f64), class: &str) -> Markup {
    html! { line class=(class) x1=(at(from.0)) y1=(at(from.1)) x2=(at(to.0)) y2=(at(to.1)) {} }
}

pub(super) fn text(x: f64, y: f64, class: &str, anchor: &str, content: &str) -> Markup {
    html! { text class=(class) x=(at(x)) y=(at(y)) text-anchor=(anchor) { (content) } }
}

/// Formats a coordinate with a precision of a tenth of a pixel.
pub(super) fn at(pixel: f64) -> String {
    let text = format!("{pixel:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// Returns the data of an SVG path through points.
pub(super) fn path(points: &[(f64, f64)]) -> String {
    let mut path = String::with_capacity(points.len() * 12);
    for (index, (x, y)) in points.iter().enumerate() {
        path.push(if index == 0 { 'M' } else { 'L' });
        path.push_str(&at(*x));
        path.push(' ');
        path.push_str(&at(*y));
    }
    // A zero-length line draws a single point as a dot.
    if points.len() == 1 {
        path.push_str("h0");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis, target: usize) -> Vec<String> {
        axis.ticks(target).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_values_within_the_range() {
        assert_eq!(labels(Axis::new((0.0, 1.0), (0.0, 1.0)), 5), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(Axis::new((1.0, 24.0), (0.0, 1.0)), 5), ["5", "10", "15", "20"]);
        assert_eq!(labels(Axis::new((0.812, 0.829), (0.0, 1.0)), 4), ["0.815", "0.820", "0.825"]);
        assert_eq!(labels(Axis::new((-0.2, 0.4), (0.0, 1.0)), 3), ["-0.2", "0.0", "0.2", "0.4"]);
    }

    #[test]
    fn values_that_span_more_than_a_factor_of_twenty_have_a_logarithmic_axis() {
        let axis = Axis::around([1e-4, 1e-2], (0.0, 100.0), true);
        assert!(axis.is_logarithmic);
        assert_eq!(labels(axis, 5), ["0.0001", "0.0002", "0.0005", "0.001", "0.002", "0.005", "0.01"]);
        assert!((axis.pixel(1e-3) - 50.0).abs() < 1e-9);
        assert!(!Axis::around([0.5, 0.9], (0.0, 1.0), true).is_logarithmic);
    }

    #[test]
    fn a_single_value_is_in_the_middle() {
        assert_eq!(Axis::new((3.0, 3.0), (0.0, 10.0)).pixel(3.0), 5.0);
        assert_eq!(path(&[(1.0, 2.25)]), "M1 2.2h0");
    }
}
