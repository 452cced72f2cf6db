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
    ($is_label:ident: $($number:ty)*) => {$(
        impl Number for $number {
            fn to_f64(self) -> f64 {
                self as f64
            }

            fn to_label(self) -> (Label, bool) {
                let label = self as Label;
                (label, $is_label(self, label))
            }
        }
    )*};
}
numbers! { is_in_range: u8 i8 u16 i16 u32 i32 u64 i64 }
numbers! { is_equal: f32 f64 }

fn is_in_range(number: impl TryInto<Label>, _: Label) -> bool {
    number.try_into().is_ok()
}

fn is_equal(number: impl Into<f64>, label: Label) -> bool {
    number.into() == f64::from(label)
}

/// A type into which voxels are read.
pub(in crate::io) trait Voxel: Pod + Send + Sync {
    /// Converts a stored number; returns an arbitrary value and false if it cannot be converted.
    fn from_number(number: impl Number) -> (Self, bool);
}

impl Voxel for f32 {
    fn from_number(number: impl Number) -> (Self, bool) {
        (number.to_f64() as f32, true)
    }
}

impl Voxel for Label {
    fn from_number(number: impl Number) -> (Self, bool) {
        number.to_label()
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
            Label::from_number(0.5f32),
            Label::from_number(-0.0f64),
            Label::from_number(65_536f64),
            Label::from_number(f64::NAN),
        ]
        .into_iter()
        .map(|(label, is_label)| is_label.then_some(label))
        .collect();
        let [none, zero, max] = [None, Some(0), Some(65_535)];
        assert_eq!(labels, [Some(255), Some(127), none, max, none, max, none, none, none, max, none, zero, none, none]);
    }
}
