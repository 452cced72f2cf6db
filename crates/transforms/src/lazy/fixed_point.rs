//! Fixed-point coordinates: voxel indices with 32 fractional binary digits.
//!
//! Sums of integers are exact. So the source coordinate of a voxel does not depend on the window that is computed, on
//! the number of voxels per vector register, or on the processor.

/// One voxel.
pub(super) const ONE: i64 = 1 << 32;
/// Half a voxel.
pub(super) const HALF: i64 = ONE / 2;

/// Coordinates are clamped to this magnitude: beyond any volume, and small enough that sums of a few do not overflow.
pub(super) const MAX_COORDINATE: f64 = (1u64 << 18) as f64;

/// Adding this to a number below 2^51 leaves its integer part in the lower mantissa bits: faster than a call to round.
pub(super) const ROUNDING_SHIFT: f64 = (3u64 << 51) as f64;

/// Returns the fixed-point coordinate nearest to a number of voxels, ties to even.
#[inline(always)]
pub(super) fn fixed(voxels: f64) -> i64 {
    let scaled = voxels.clamp(-MAX_COORDINATE, MAX_COORDINATE) * ONE as f64;
    (scaled + ROUNDING_SHIFT).to_bits() as i64 - ROUNDING_SHIFT.to_bits() as i64
}

/// Splits a coordinate into the voxel index below it and the interpolation weight of the next voxel.
#[inline]
pub(super) fn split(coordinate: i64) -> (i64, f32) {
    (coordinate >> 32, weight(coordinate as u32))
}

/// Returns the first 24 fractional digits as a number, which single precision represents exactly.
#[inline]
fn weight(digits: u32) -> f32 {
    (digits >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
}

/// Returns the index of the voxel nearest to a coordinate, ties up.
#[inline(always)]
pub(super) fn nearest_index(coordinate: i64) -> i64 {
    (coordinate + HALF) >> 32
}

/// Returns the smallest and the largest coordinate inside an axis of `size` voxels.
///
/// As in ITK, voxels extend half a voxel from their centres and the upper end is excluded: these are the coordinates
/// whose [nearest index](nearest_index) is on the axis.
pub(super) fn bounds(size: usize) -> (i64, i64) {
    (-HALF, size as i64 * ONE - HALF - 1)
}

/// Returns the smallest and the largest point inside a grid.
pub(super) fn grid_bounds(shape: [usize; 3]) -> ([i64; 3], [i64; 3]) {
    (shape.map(|size| bounds(size).0), shape.map(|size| bounds(size).1))
}

/// Returns the smallest and the largest point of which an interpolation neighbour with a weight above 0 is on a grid.
pub(super) fn grid_sample_bounds(shape: [usize; 3]) -> ([i64; 3], [i64; 3]) {
    ([1 - ONE; 3], shape.map(|size| size as i64 * ONE - 1))
}

/// Returns whether a point is inside a grid.
pub(super) fn is_inside(point: [i64; 3], shape: [usize; 3]) -> bool {
    (0..3).all(|axis| {
        let (low, high) = bounds(shape[axis]);
        (low..=high).contains(&point[axis])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_the_nearest_coordinate() {
        for number in [0.0, 1.0, -1.0, 0.3, -7.123_456, 511.5, -65_535.25, 3e-10, -3e-10] {
            assert_eq!(fixed(number), (number * ONE as f64).round_ties_even() as i64, "{number}");
        }
        assert_eq!(fixed(1e30), (1 << 18) * ONE);
    }

    #[test]
    fn a_coordinate_splits_into_an_index_and_a_weight() {
        assert_eq!(split(fixed(2.25)), (2, 0.25));
        assert_eq!(split(fixed(-0.25)), (-1, 0.75));
    }

    #[test]
    fn the_lower_end_is_inside_and_the_upper_one_is_not() {
        assert!(is_inside([fixed(-0.5), 0, 0], [4, 1, 1]));
        assert!(!is_inside([fixed(3.5), 0, 0], [4, 1, 1]));
    }
}
