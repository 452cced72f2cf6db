//! The levels of a U-Net for a patch of given size and spacing: which axes are halved at each level, and which axes a
//! convolution extends over.

/// The smallest feature map along an axis that is halved, in voxels.
const MIN_FEATURE_MAP: f64 = 4.0;
/// Axes whose voxels are less than this many times as large as the smallest ones count as equally resolved.
const SIMILAR_SPACING: f64 = 2.0;

/// The levels of a U-Net and the patch that they divide evenly. Arrays have one entry per axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Topology<const D: usize> {
    /// Voxels of the patch: the given size, rounded up to multiples of `divisible_by`.
    pub patch: [i64; D],
    /// The stride with which each level begins; that of the first level is 1.
    pub strides: Vec<[usize; D]>,
    /// The kernel size of each level's convolutions.
    pub kernels: Vec<[usize; D]>,
    /// The product of the strides along each axis.
    pub divisible_by: [i64; D],
}

/// Returns the levels for a patch with this spacing (mm) and size (voxels), by the rules of nnU-Net's
/// `get_pool_and_conv_props`:
///
/// - An axis is halved while it has at least 8 voxels and its voxels are less than twice as large as the smallest ones of the
///   axes that can be halved; one axis alone is halved while it has at least 12.
/// - Convolutions extend over an axis (3 instead of 1) from the first level at which its voxels are less than twice as large
///   as the smallest ones, and over all axes at the last level.
pub(crate) fn topology<const D: usize>(spacing: [f64; D], size: [f64; D]) -> Topology<D> {
    let (mut spacing, mut current) = (spacing, size);
    let (mut strides, mut kernels) = (vec![[1; D]], Vec::new());
    let mut kernel = [1; D];
    let mut divisible_by = [1; D];
    loop {
        let can_halve = |axis: &usize| current[*axis] >= 2.0 * MIN_FEATURE_MAP;
        let candidates: Vec<usize> = (0..D).filter(can_halve).collect();
        let smallest = smallest(candidates.iter().map(|axis| spacing[*axis]));
        let is_similar = |axis: &usize| spacing[*axis] / smallest < SIMILAR_SPACING;
        let halved: Vec<usize> = candidates.into_iter().filter(is_similar).collect();
        match halved[..] {
            [] => break,
            [axis] if current[axis] < 3.0 * MIN_FEATURE_MAP => break,
            _ => {}
        }
        let smallest_of_all = self::smallest(spacing.into_iter());
        for axis in 0..D {
            if spacing[axis] / smallest_of_all < SIMILAR_SPACING {
                kernel[axis] = 3;
            }
        }
        let mut stride = [1; D];
        for axis in halved {
            stride[axis] = 2;
            divisible_by[axis] *= 2;
            spacing[axis] *= 2.0;
            current[axis] = (current[axis] / 2.0).ceil();
        }
        strides.push(stride);
        kernels.push(kernel);
    }
    kernels.push([3; D]);
    let multiple = |axis: usize| (size[axis] / divisible_by[axis] as f64).ceil() as i64 * divisible_by[axis];
    Topology { patch: std::array::from_fn(multiple), strides, kernels, divisible_by }
}

fn smallest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isotropic_patches_are_halved_along_all_axes() {
        let levels = topology([1.0; 3], [128.0; 3]);
        assert_eq!(levels.strides, [[1; 3], [2; 3], [2; 3], [2; 3], [2; 3], [2; 3]]);
        assert_eq!((levels.kernels, levels.patch, levels.divisible_by), (vec![[3; 3]; 6], [128; 3], [32; 3]));
    }

    #[test]
    fn thick_slices_are_neither_halved_nor_convolved_across_before_the_plane_is_as_coarse() {
        let levels = topology([5.0, 1.0, 1.0], [20.0, 256.0, 256.0]);
        assert_eq!(levels.strides[..4], [[1, 1, 1], [1, 2, 2], [1, 2, 2], [2, 2, 2]]);
        assert_eq!(levels.kernels[..4], [[1, 3, 3], [1, 3, 3], [3, 3, 3], [3, 3, 3]]);
    }

    #[test]
    fn sizes_are_rounded_up_to_multiples_of_the_strides() {
        assert_eq!(topology([1.0; 3], [35.5, 50.0, 35.0]).patch, [40, 56, 40]);
        // An axis that is never halved keeps a whole number of voxels.
        assert_eq!(topology([9.0, 1.0], [5.5, 64.0]).patch, [6, 64]);
    }

    #[test]
    fn one_axis_alone_is_halved_from_twelve_voxels_on() {
        assert_eq!(topology([1.0, 1.0], [11.0, 4.0]).strides.len(), 1);
        assert_eq!(topology([1.0, 1.0], [12.0, 4.0]).strides, [[1, 1], [2, 1]]);
    }
}
