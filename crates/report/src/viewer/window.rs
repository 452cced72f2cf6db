//! Which intensities are black and which are white.

use std::fmt;
use std::str::FromStr;

/// Where values are cut before they become grey, in percent.
const PERCENTILES: [f64; 2] = [0.5, 99.5];
/// So many values stand for all of them where percentiles are looked for.
const SAMPLE: usize = 1 << 20;
/// What soft tissue is looked at with, in Hounsfield units.
const SOFT_TISSUE: Window = Window { low: -160.0, high: 240.0 };

/// The intensities that become black and white.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// What is black, as is all below.
    pub low: f32,
    /// What is white, as is all above.
    pub high: f32,
}

impl Window {
    /// The window that suits these values: soft tissue where they look like Hounsfield units, else percentiles.
    pub fn automatic(values: &[f32]) -> Self {
        if look_like_hounsfield(values) { SOFT_TISSUE } else { Self::from_percentiles(values) }
    }

    /// From the 0.5th to the 99.5th percentile of the values that are numbers.
    pub fn from_percentiles(values: &[f32]) -> Self {
        let [low, high] = percentiles(values, PERCENTILES).unwrap_or([0.0, 1.0]);
        Self { low, high }
    }

    /// The grey of a value, from 0, black, to 255, white. What is no number is black, and so is all of a window without width.
    pub fn grey(self, value: f32) -> f32 {
        let grey = (value - self.low) / (self.high - self.low);
        if grey.is_nan() || self.high <= self.low { 0.0 } else { 255.0 * grey.clamp(0.0, 1.0) }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{} to {}", short(self.low), short(self.high))
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected LOW,HIGH such as -160,240 with the lower number first, got {text}");
        let (low, high) = text.split_once(',').ok_or_else(expected)?;
        let number = |text: &str| text.trim().parse::<f32>().ok().filter(|value| value.is_finite());
        match (number(low), number(high)) {
            (Some(low), Some(high)) if low < high => Ok(Self { low, high }),
            _ => Err(expected()),
        }
    }
}

/// Whether values can be Hounsfield units: some far below water, none below what scanners write, most between air and bone.
pub fn look_like_hounsfield(values: &[f32]) -> bool {
    let [lowest, middle, highest] = match percentiles(values, [0.0, 50.0, 100.0]) {
        Some(found) => found,
        None => return false,
    };
    (-8192.0..=-100.0).contains(&lowest) && (-1100.0..=400.0).contains(&middle) && (100.0..=32767.0).contains(&highest)
}

/// The values at some percentiles, of the values that are numbers; `None` where there are none.
fn percentiles<const COUNT: usize>(values: &[f32], percents: [f64; COUNT]) -> Option<[f32; COUNT]> {
    // An odd step walks through all residues of the sizes that volumes have.
    let step = (values.len() / SAMPLE) | 1;
    let mut sample: Vec<f32> = values.iter().step_by(step).copied().filter(|value| value.is_finite()).collect();
    let last = sample.len().checked_sub(1)?;
    Some(percents.map(|percent| {
        let place = (percent / 100.0 * last as f64).round() as usize;
        *sample.select_nth_unstable_by(place, f32::total_cmp).1
    }))
}

/// A number with no more digits than help.
pub(super) fn short(value: f32) -> String {
    if value == 0.0 || (1e-3..1e6).contains(&value.abs()) {
        let digits = (3.0 - f64::from(value.abs()).max(1e-9).log10().floor()).clamp(0.0, 6.0) as i32;
        let scale = 10f64.powi(digits);
        format!("{}", (f64::from(value) * scale).round() / scale)
    } else {
        format!("{value:.3e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_runs_from_black_to_white_and_stays_there() {
        let window = Window { low: -100.0, high: 100.0 };
        assert_eq!(
            [-500.0, -100.0, 0.0, 100.0, 500.0].map(|value| window.grey(value)),
            [0.0, 0.0, 127.5, 255.0, 255.0]
        );
        assert_eq!([f32::NAN, f32::INFINITY, f32::NEG_INFINITY].map(|value| window.grey(value)), [0.0, 255.0, 0.0]);
    }

    #[test]
    fn one_value_alone_and_no_numbers_at_all_are_black() {
        for values in [[7.0; 4], [f32::NAN; 4]] {
            let window = Window::automatic(&values);
            assert!(values.iter().all(|value| window.grey(*value) == 0.0));
        }
    }

    #[test]
    fn a_scan_with_air_is_in_hounsfield_units_and_a_magnetic_resonance_image_is_not() {
        let scan: Vec<f32> = (0..1000).map(|place| if place < 400 { -1000.0 } else { place as f32 - 400.0 }).collect();
        assert_eq!(Window::automatic(&scan), SOFT_TISSUE);
        let image: Vec<f32> = (0..=1000).map(|place| place as f32).collect();
        assert_eq!(Window::automatic(&image), Window { low: 5.0, high: 995.0 });
        let normalised: Vec<f32> = image.iter().map(|value| value / 500.0 - 1.0).collect();
        assert!(!look_like_hounsfield(&normalised));
    }

    #[test]
    fn a_window_is_written_as_two_numbers_the_lower_first() {
        assert_eq!("-160, 240".parse(), Ok(SOFT_TISSUE));
        for text in ["240,-160", "1", "1,1", "a,b", "0,inf"] {
            assert!(text.parse::<Window>().unwrap_err().contains("LOW,HIGH"), "{text}");
        }
    }

    #[test]
    fn numbers_are_told_with_the_digits_that_help() {
        assert_eq!(
            [0.0, -160.0, 0.12345, 1234.56, 1.7e6, 1e-7].map(short),
            ["0", "-160", "0.1235", "1235", "1.700e6", "1.000e-7"]
        );
    }
}
