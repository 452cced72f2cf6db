//! From the numbers of a file to the values of voxels.

use bytemuck::Pod;

use crate::Label;

/// A type that voxels are stored in.
pub(super) trait Number: Copy {
    /// The number itself.
    fn real(self) -> f64;

    /// The number as a label, and whether it is one: no branch, so that many are converted at once.
    fn label(self) -> (Label, bool);
}

macro_rules! numbers {
    ($is_label:ident: $($number:ty)*) => {$(
        impl Number for $number {
            fn real(self) -> f64 {
                self as f64
            }

            fn label(self) -> (Label, bool) {
                let label = self as Label;
                (label, $is_label(self, label))
            }
        }
    )*};
}
numbers! { is_in_range: u8 i8 u16 i16 u32 i32 u64 i64 }
numbers! { is_the_same: f32 f64 }

fn is_in_range(number: impl TryInto<Label>, _: Label) -> bool {
    number.try_into().is_ok()
}

fn is_the_same(number: impl Into<f64>, label: Label) -> bool {
    number.into() == f64::from(label)
}

/// A type that voxels are read as.
pub(super) trait Voxel: Pod + Send + Sync {
    /// The value of a stored number, and whether it has one.
    fn of(number: impl Number) -> (Self, bool);
}

impl Voxel for f32 {
    fn of(number: impl Number) -> (Self, bool) {
        (number.real() as f32, true)
    }
}

impl Voxel for Label {
    fn of(number: impl Number) -> (Self, bool) {
        number.label()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_from_0_to_65535_are_labels_in_every_type() {
        let labels = |numbers: Vec<(Label, bool)>| numbers.into_iter().map(|(label, is)| is.then_some(label)).collect();
        let found: Vec<Option<Label>> = labels(vec![
            Label::of(255u8),
            Label::of(127i8),
            Label::of(-1i8),
            Label::of(65_535u16),
            Label::of(-1i16),
            Label::of(65_535u32),
            Label::of(65_536u32),
            Label::of(-65_535i64),
            Label::of(u64::MAX),
            Label::of(65_535f32),
            Label::of(0.5f32),
            Label::of(-0.0f64),
            Label::of(65_536f64),
            Label::of(f64::NAN),
        ]);
        let [no, zero] = [None, Some(0)];
        let most = Some(65_535);
        assert_eq!(found, [Some(255), Some(127), no, most, no, most, no, no, no, most, no, zero, no, no]);
    }
}
