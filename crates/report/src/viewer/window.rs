//! The intensity window.

use std::fmt;
use std::str::FromStr;

/// The percentiles that are black and white.
const PERCENTILES: [f64; 2] = [0.5, 99.5];
/// Percentiles are estimated from about this many values.
const SAMPLE_SIZE: usize = 1 << 20;
/// The window for soft tissue in Hounsfield units.
const SOFT_TISSUE: IntensityWindow = IntensityWindow { low: -160.0, high: 240.0 };

/// An intensity window: the range of intensities that is mapped to grey values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntensityWindow {
    /// This and lower intensities are black.
    pub low: f32,
    /// This and higher intensities are white.
    pub high: f32,
}

impl IntensityWindow {
    /// Returns the window for soft tissue if the values look like Hounsfield units, otherwise a window by percentiles.
    pub fn automatic(values: &[f32]) -> Self {
        if look_like_hounsfield(values) { SOFT_TISSUE } else { Self::from_percentiles(values) }
    }

    /// Returns the window from the 0.5th to the 99.5th percentile of the finite values.
    pub fn from_percentiles(values: &[f32]) -> Self {
        let [low, high] = percentiles(values, PERCENTILES).unwrap_or([0.0, 1.0]);
        Self { low, high }
    }

    /// Returns the grey value of an intensity, from 0 (black) to 255 (white). NaN is black, and so is everything in an empty
    /// window.
    pub fn grey(self, value: f32) -> f32 {
        let grey = (value - self.low) / (self.high - self.low);
        if grey.is_nan() || self.high <= self.low { 0.0 } else { 255.0 * grey.clamp(0.0, 1.0) }
    }
}

impl fmt::Display for IntensityWindow {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{} to {}", short(self.low), short(self.high))
    }
}

impl FromStr for IntensityWindow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected LOW,HIGH with LOW < HIGH, such as -160,240, got {text}");
        let (low, high) = text.split_once(',').ok_or_else(expected)?;
        let number = |text: &str| text.trim().parse::<f32>().ok().filter(|value| value.is_finite());
        match (number(low), number(high)) {
            (Some(low), Some(high)) if low < high => Ok(Self { low, high }),
            _ => Err(expected()),
        }
    }
}

/// Returns whether values look like Hounsfield units: the minimum is far below water but not below what scanners write,
/// and the median between air and bone.
pub fn look_like_hounsfield(values: &[f32]) -> bool {
    let Some([lowest, median, highest]) = percentiles(values, [0.0, 50.0, 100.0]) else { return false };
    (-8192.0..=-100.0).contains(&lowest) && (-1100.0..=400.0).contains(&median) && (100.0..=32767.0).contains(&highest)
}

/// Estimates percentiles of the finite values; `None` if there are none.
fn percentiles<const COUNT: usize>(values: &[f32], percents: [f64; COUNT]) -> Option<[f32; COUNT]> {
    // Volume sizes are often even, and an odd step visits all their residues.
    let step = (values.len() / SAMPLE_SIZE) | 1;
    let mut sample: Vec<f32> = values.iter().step_by(step).copied().filter(|value| value.is_finite()).collect();
    let last = sample.len().checked_sub(1)?;
    Some(percents.map(|percent| {
        let index = (percent / 100.0 * last as f64).round() as usize;
        *sample.select_nth_unstable_by(index, f32::total_cmp).1
    }))
}

/// Formats a number with about four significant digits.
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
    fn grey_values_increase_within_the_window_and_are_clamped_outside() {
        let window = IntensityWindow { low: -100.0, high: 100.0 };
        assert_eq!(
            [-500.0, -100.0, 0.0, 100.0, 500.0].map(|value| window.grey(value)),
            [0.0, 0.0, 127.5, 255.0, 255.0]
        );
        assert_eq!([f32::NAN, f32::INFINITY, f32::NEG_INFINITY].map(|value| window.grey(value)), [0.0, 255.0, 0.0]);
    }

    #[test]
    fn a_constant_image_and_an_image_of_nan_are_black() {
        for values in [[7.0; 4], [f32::NAN; 4]] {
            let window = IntensityWindow::automatic(&values);
            assert!(values.iter().all(|value| window.grey(*value) == 0.0));
        }
    }

    #[test]
    fn a_ct_with_air_has_hounsfield_units_and_an_mr_image_has_not() {
        let ct: Vec<f32> = (0..1000).map(|i| if i < 400 { -1000.0 } else { i as f32 - 400.0 }).collect();
        assert_eq!(IntensityWindow::automatic(&ct), SOFT_TISSUE);
        let mr: Vec<f32> = (0..=1000).map(|i| i as f32).collect();
        assert_eq!(IntensityWindow::automatic(&mr), IntensityWindow { low: 5.0, high: 995.0 });
        let normalized: Vec<f32> = mr.iter().map(|value| value / 500.0 - 1.0).collect();
        assert!(!look_like_hounsfield(&normalized));
    }

    #[test]
    fn a_window_is_parsed_from_two_numbers_the_lower_first() {
        assert_eq!("-160, 240".parse(), Ok(SOFT_TISSUE));
        for text in ["240,-160", "1", "1,1", "a,b", "0,inf"] {
            assert!(text.parse::<IntensityWindow>().unwrap_err().contains("LOW,HIGH"), "{text}");
        }
    }

    #[test]
    fn numbers_have_about_four_significant_digits() {
        assert_eq!(
            [0.0, -160.0, 0.12345, 1234.56, 1.7e6, 1e-7].map(short),
            ["0", "-160", "0.1235", "1235", "1.700e6", "1.000e-7"]
        );
    }
}
