//! Conversion of stored numbers to voxel values.

use bytemuck::Pod;

use crate::Label;

/// A type in which voxels are stored.
pub(in crate::io) trait Number: Copy {
    /// Returns the number as a real number.
    fn to_f64(self) -> f64;

    /// Returns the number as a label, and whether it is a valid one. Without a branch, so that compilers vectorize it.
    fn to_label(self) -> (Label, bool);
}

macro_rules! numbers {
    ($to_label:ident: $($number:ty)*) => {$(
        impl Number for $number {
            fn to_f64(self) -> f64 {
                self as f64
            }

            fn to_label(self) -> (Label, bool) {
                $to_label!(self)
            }
        }
    )*};
}
macro_rules! integer_to_label {
    ($number:ident) => {
        ($number as Label, Label::try_from($number).is_ok())
    };
}
macro_rules! real_to_label {
    ($number:ident) => {{
        let value = f64::from($number);
        round_to_label(value, label_tolerance(false, None, value))
    }};
}
numbers! { integer_to_label: u8 i8 u16 i16 u32 i32 u64 i64 }
numbers! { real_to_label: f32 f64 }

/// Rounding of numbers that were computed in float32, relative to the numbers: of slope, intercept, product and sum.
const FLOAT32_ROUNDING: f64 = 4.0 * f32::EPSILON as f64;

/// Returns how far a value may be from a whole number that was stored as it.
///
/// A writer that scales labels to integers, as nibabel does with floating-point data, rounds to the nearest stored number:
/// up to half a slope away. It also rounds slope and intercept to float32.
pub(in crate::io) fn label_tolerance(is_integer: bool, scaling: Option<(f64, f64)>, value: f64) -> f64 {
    let rounding = |magnitude: f64| (FLOAT32_ROUNDING * magnitude.max(1.0)).min(0.25);
    match scaling {
        None if is_integer => 0.0,
        None => rounding(value.abs()),
        Some((slope, intercept)) => {
            // From a slope of 1 on, several labels would have been stored as the same number.
            let half_step = if is_integer && slope.abs() < 1.0 { slope.abs() / 2.0 } else { 0.0 };
            half_step + rounding(value.abs() + 2.0 * intercept.abs())
        }
    }
}

/// Returns the label nearest to a value, and whether the value is within `tolerance` of it. Without a branch, so that
/// compilers vectorize it.
pub(in crate::io) fn round_to_label(value: f64, tolerance: f64) -> (Label, bool) {
    let label = (value + 0.5) as Label;
    (label, (value - f64::from(label)).abs() <= tolerance)
}

/// A type into which voxels are read.
pub(in crate::io) trait Voxel: Pod + Send + Sync {
    /// Converts a stored number; returns an arbitrary value and false if it cannot be converted.
    fn from_number(number: impl Number) -> (Self, bool);

    /// Converts a value that was computed from a stored number; `tolerance` is how far a value may be from a whole number.
    fn from_scaled(value: f64, tolerance: impl Fn(f64) -> f64) -> (Self, bool);
}

impl Voxel for f32 {
    fn from_number(number: impl Number) -> (Self, bool) {
        (number.to_f64() as f32, true)
    }

    fn from_scaled(value: f64, _: impl Fn(f64) -> f64) -> (Self, bool) {
        (value as f32, true)
    }
}

impl Voxel for Label {
    fn from_number(number: impl Number) -> (Self, bool) {
        number.to_label()
    }

    fn from_scaled(value: f64, tolerance: impl Fn(f64) -> f64) -> (Self, bool) {
        round_to_label(value, tolerance(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_from_0_to_65535_are_labels_in_every_type() {
        let labels: Vec<Option<Label>> = [
            Label::from_number(255u8),
            Label::from_number(127i8),
            Label::from_number(-1i8),
            Label::from_number(65_535u16),
            Label::from_number(-1i16),
            Label::from_number(65_535u32),
            Label::from_number(65_536u32),
            Label::from_number(-65_535i64),
            Label::from_number(u64::MAX),
            Label::from_number(65_535f32),
            Label::from_number(1.0f32.next_up()),
            Label::from_number(0.999f32),
            Label::from_number(0.5f32),
            Label::from_number(-0.0f64),
            Label::from_number(65_536f64),
            Label::from_number(f64::NAN),
        ]
        .into_iter()
        .map(|(label, is_label)| is_label.then_some(label))
        .collect();
        let [none, zero, max] = [None, Some(0), Some(65_535)];
        assert_eq!(
            labels,
            [Some(255), Some(127), none, max, none, max, none, none, none, max, Some(1), none, none, zero, none, none]
        );
    }

    #[test]
    fn a_scaled_value_is_the_label_that_a_writer_rounded_to_it() {
        // The slopes with which nibabel stores the labels 0 and 1, 0 to 3, and 0, 1, 2 and 4 as uint8, rounded to float32.
        for (labels, max) in [(vec![0, 1], 1.0), (vec![0, 1, 2, 3], 3.0), (vec![0, 1, 2, 4], 4.0)] {
            let slope = f64::from(max as f32 / 255.0);
            let tolerance = |value| label_tolerance(true, Some((slope, 0.0)), value);
            for label in labels {
                let value = (f64::from(label) / slope).round() * slope;
                assert_eq!(Label::from_scaled(value, tolerance), (label, true), "{value}");
            }
            // The neighbouring stored number is no label.
            assert!(!Label::from_scaled(255.0 * slope - slope, tolerance).1);
        }
        let is_label = |value, is_integer, scaling| {
            Label::from_scaled(value, |value| label_tolerance(is_integer, Some(scaling), value)).1
        };
        // Scaled to int16 with an intercept, as nibabel 5 stores 0 to 3.
        let scaling = (f64::from(3.0f32 / 65_535.0), 1.5 + 2.3e-5);
        assert!(is_label(32_767.0 * scaling.0 + scaling.1, true, scaling));
        for (value, is_integer, scaling) in
            [(0.5, true, (0.5, 0.0)), (1.5, true, (1.5, 0.0)), (1.004, false, (0.01, 0.0)), (-1.0, true, (1.0, -2.0))]
        {
            assert!(!is_label(value, is_integer, scaling), "{value}");
        }
    }
}
