//! The axis whose slices nnU-Net resamples one by one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether slices across the axis with the longest voxels are resampled one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeparateAxis {
    /// If voxels are more than three times as long along it as along another axis, before resampling or else after, and no
    /// other axis has voxels as long.
    #[default]
    Auto,
    /// All axes are resampled together.
    Never,
    /// Always, if no other axis has voxels as long before resampling.
    Always,
}

/// The ratio of spacings above which slices are resampled one by one: nnU-Net's `ANISO_THRESHOLD`.
const ANISOTROPY: f64 = 3.0;

/// Spacings that differ by less, relatively, are the same.
const SAME_SPACING: f64 = 1e-6;

impl SeparateAxis {
    /// Returns the axis whose slices are resampled one by one from a spacing to another.
    pub(crate) fn of(self, old: [f64; 3], new: [f64; 3]) -> Option<usize> {
        let is_anisotropic =
            |spacing: &[f64; 3]| longest(*spacing) / spacing.iter().copied().fold(f64::MAX, f64::min) > ANISOTROPY;
        let spacing = match self {
            Self::Never => None,
            Self::Always => Some(old),
            Self::Auto => [old, new].into_iter().find(is_anisotropic),
        }?;
        let is_longest = |axis: &usize| spacing[*axis] >= longest(spacing) * (1.0 - SAME_SPACING);
        let mut axes = (0..3).filter(is_longest);
        axes.next().filter(|_| axes.next().is_none())
    }
}

fn longest(spacing: [f64; 3]) -> f64 {
    spacing.into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_one_with_by_far_the_longest_voxels_before_or_after() {
        let auto = |old, new| SeparateAxis::Auto.of(old, new);
        assert_eq!(auto([0.8, 0.8, 5.0], [1.0; 3]), Some(2));
        assert_eq!(auto([1.0; 3], [1.0, 4.0, 1.0]), Some(1));
        // The axis before resampling counts first.
        assert_eq!(auto([4.0, 1.0, 1.0], [1.0, 4.0, 1.0]), Some(0));
        // Three times is not more than three times.
        assert_eq!(auto([1.0, 1.0, 3.0], [1.0; 3]), None);
        // Of two axes with the longest voxels, up to rounding, none is separate.
        assert_eq!(auto([0.25, 1.25, 1.25], [1.0, 4.0, 1.0]), None);
        assert_eq!(auto([0.25, 1.25, 1.25 + 1e-9], [1.0; 3]), None);
    }

    #[test]
    fn it_can_be_forced() {
        let (old, new) = ([1.0, 1.0, 1.2], [1.0, 9.0, 1.0]);
        assert_eq!([SeparateAxis::Never.of(old, new), SeparateAxis::Always.of(old, new)], [None, Some(2)]);
        assert_eq!(SeparateAxis::Always.of([1.0; 3], new), None);
    }
}
