//! The spacing to which volumes are resampled.

use crate::axes::coarsest_axis;
use crate::fingerprint::DatasetFingerprint;
use crate::quantile::percentile;

/// How many times as thick as a voxel's other edges a slice must be for a dataset to count as anisotropic.
pub(crate) const ANISOTROPY: f64 = 3.0;
/// In an anisotropic dataset, the percentile of the slice thicknesses that becomes the target.
pub(crate) const THIN_SLICE_PERCENTILE: f64 = 10.0;

/// The spacing to which volumes are resampled, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TargetSpacing {
    /// Millimetres per voxel along x, y and z.
    pub spacing_mm: [f64; 3],
    /// The medians of the spacings.
    pub median_mm: [f64; 3],
    /// The axis whose spacing is not the median but the tenth percentile, since the dataset is anisotropic along it.
    pub anisotropic_axis: Option<usize>,
}

impl TargetSpacing {
    /// Returns the median spacing of a dataset. If the median slice is more than three times as thick as its pixels are
    /// large, and has more than three times as many pixels along each axis as there are slices, thicker slices are
    /// resampled to the tenth percentile of the thicknesses, but not below the size of pixels.
    pub(crate) fn of(fingerprint: &DatasetFingerprint) -> Self {
        let along =
            |axis: usize| -> Vec<f64> { fingerprint.subjects.iter().map(|subject| subject.spacing_mm[axis]).collect() };
        let sizes = |axis: usize| -> Vec<f64> {
            fingerprint.subjects.iter().map(|subject| subject.shape_after_crop[axis] as f64).collect()
        };
        let middle: [f64; 3] = std::array::from_fn(|axis| percentile(&along(axis), 50.0));
        let size: [f64; 3] = std::array::from_fn(|axis| percentile(&sizes(axis), 50.0));
        let coarsest = coarsest_axis(middle);
        let others = (0..3).filter(|axis| *axis != coarsest);
        let largest_other = others.clone().map(|axis| middle[axis]).fold(f64::NEG_INFINITY, f64::max);
        let smallest_size = others.map(|axis| size[axis]).fold(f64::INFINITY, f64::min);
        let has_thick_slices = middle[coarsest] > ANISOTROPY * largest_other;
        let has_few_slices = size[coarsest] * ANISOTROPY < smallest_size;
        let mut spacing_mm = middle;
        let is_anisotropic = has_thick_slices && has_few_slices;
        if is_anisotropic {
            let thin = percentile(&along(coarsest), THIN_SLICE_PERCENTILE);
            // Slices stay the coarsest axis.
            spacing_mm[coarsest] = if thin < largest_other { largest_other + 1e-5 } else { thin };
        }
        Self { spacing_mm, median_mm: middle, anisotropic_axis: is_anisotropic.then_some(coarsest) }
    }
}

/// Returns the shape of a volume after resampling: numbers of voxels rounded to the nearest, ties to even.
pub(crate) fn resampled_shape(shape: [usize; 3], spacing: [f64; 3], target: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|axis| (spacing[axis] / target[axis] * shape[axis] as f64).round_ties_even())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(subjects: &[([f64; 3], [usize; 3])]) -> TargetSpacing {
        TargetSpacing::of(&DatasetFingerprint::of_grids(subjects))
    }

    #[test]
    fn the_median_is_the_target() {
        let target = target(&[([1.0, 1.0, 2.0], [90, 90, 50]), ([0.5, 1.0, 3.0], [90, 90, 50]), ([0.8; 3], [9; 3])]);
        assert_eq!((target.spacing_mm, target.anisotropic_axis), ([0.8, 1.0, 2.0], None));
    }

    #[test]
    fn thick_slices_are_resampled_to_thin_ones() {
        let subject = |thickness| ([1.5, 1.5, thickness], [256, 216, 10]);
        let thick = target(&[subject(10.0), subject(5.0), subject(10.0)]);
        assert_eq!((thick.spacing_mm, thick.anisotropic_axis), ([1.5, 1.5, 6.0], Some(2)));
        // Thick slices that cover as much as the plane are no reason.
        let many = target(&[([1.5, 1.5, 5.0], [256, 216, 80])]);
        assert_eq!(many.anisotropic_axis, None);
    }

    #[test]
    fn the_target_of_slices_is_not_below_the_pixels() {
        let mut subjects = vec![([1.0, 1.0, 5.0], [256, 256, 20]); 6];
        subjects.extend([([1.0, 1.0, 0.5], [256, 256, 20]); 3]);
        assert_eq!(target(&subjects).spacing_mm, [1.0, 1.0, 1.00001]);
    }

    #[test]
    fn half_voxels_are_rounded_to_even() {
        assert_eq!(resampled_shape([5, 7, 10], [1.0; 3], [2.0, 2.0, 0.5]), [2.0, 4.0, 20.0]);
    }
}
