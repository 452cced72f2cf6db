//! Fixed-point source coordinates of a row of voxels under an affine map.

use std::ops::Range;

use super::fixed_point::fixed;
use volume::Affine;

/// The source points of a row of outgoing voxels along z: equidistant points on a straight line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// The point of voxel 0.
    pub(super) base: [i64; 3],
    /// The difference between the points of neighbouring voxels.
    pub(super) step: [i64; 3],
    may_overflow: bool,
}

/// With steps up to this one, of 4096 voxels, coordinates fit 64 bits for rows of 2^18 voxels.
const MAX_STEP: u64 = 1 << 44;

impl Line {
    /// Returns the line of the row at x and y under a map.
    #[inline(always)]
    pub(super) fn new(map: &Affine, x: f64, y: f64) -> Self {
        let base = map.0.map(|[a, b, _, shift]| fixed(a * x + b * y + shift));
        Self::from_parts(base, map.0.map(|[_, _, c, _]| fixed(c)))
    }

    /// Returns the line through `base` with a step per voxel.
    #[inline(always)]
    pub(super) fn from_parts(base: [i64; 3], step: [i64; 3]) -> Self {
        Self { base, step, may_overflow: step.into_iter().any(|step| step.unsigned_abs() > MAX_STEP) }
    }

    /// Returns whether the steps are so long that points far along the row overflow 64 bits.
    pub(super) fn may_overflow(&self) -> bool {
        self.may_overflow
    }

    /// Returns the point of a voxel.
    #[inline]
    pub(super) fn at(&self, z: usize) -> [i64; 3] {
        std::array::from_fn(|axis| self.base[axis].wrapping_add(self.step[axis].wrapping_mul(z as i64)))
    }

    /// Returns the range of those of `length` voxels from `start` on whose points are between `low` and `high`, both
    /// included, along every axis; counted from `start`.
    #[inline(always)]
    pub(super) fn range_within(&self, low: [i64; 3], high: [i64; 3], start: usize, length: usize) -> Range<usize> {
        let is_within = |point: [i64; 3]| (0..3).all(|axis| low[axis] <= point[axis] && point[axis] <= high[axis]);
        if self.may_overflow {
            return self.range_one_by_one(low, high, start, length);
        }
        let ends = [self.at(start), self.at(start + length - 1)];
        if ends.into_iter().all(is_within) {
            // Every point of a line is between its ends.
            return 0..length;
        }
        self.clipped_range(low, high, ends, length)
    }

    /// Returns the same for a row that is partly outside. Not inlined, so that the common case can be.
    #[inline(never)]
    fn clipped_range(&self, low: [i64; 3], high: [i64; 3], ends: [[i64; 3]; 2], length: usize) -> Range<usize> {
        let (mut first, mut last) = (0, length as i64 - 1);
        for axis in 0..3 {
            // Along the row, as distances from its first point: outside before `near` and beyond `far`.
            let [begin, end] = [ends[0][axis], ends[1][axis]];
            let (near, far) = if self.step[axis] < 0 {
                (begin - high[axis], begin - low[axis])
            } else {
                (low[axis] - begin, high[axis] - begin)
            };
            let (step, end) = (self.step[axis].abs(), (end - begin).abs());
            if step == 0 && (near > 0 || far < 0) {
                return 0..0;
            }
            // The smallest z with step * z >= near and the largest with step * z <= far. Divisions are slow, and most
            // clipped rows need only one of the six.
            if near > 0 {
                first = first.max(-(-near).div_euclid(step));
            }
            if far < end {
                last = last.min(far.div_euclid(step));
            }
        }
        if first > last { 0..0 } else { first as usize..last as usize + 1 }
    }

    /// Returns the same for points that may overflow 64 bits; [`Line::at`] is exact for the voxels in the range only.
    #[cold]
    fn range_one_by_one(&self, low: [i64; 3], high: [i64; 3], start: usize, length: usize) -> Range<usize> {
        let coordinate = |axis: usize, z: usize| i128::from(self.base[axis]) + i128::from(self.step[axis]) * z as i128;
        let is_within = |z: &usize| {
            (0..3).all(|axis| (i128::from(low[axis])..=i128::from(high[axis])).contains(&coordinate(axis, start + z)))
        };
        match (0..length).find(is_within) {
            // The voxels of a line inside a box are consecutive.
            Some(first) => first..(first..length).take_while(is_within).last().map_or(first, |last| last + 1),
            None => 0..0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixed_point::{MAX_COORDINATE, bounds, is_inside};
    use super::*;
    use random::{Purpose, Seed};

    #[test]
    fn the_range_within_bounds_is_that_of_testing_voxels_one_by_one() {
        let mut rng = Seed(2).stream(Purpose::Phantom, 0, "fixed", 0);
        let mut num_inside = 0;
        for _ in 0..2000 {
            let mut number = |scale: f64| scale * (rng.unit() - 0.5);
            let line = Line::from_parts(
                std::array::from_fn(|_| fixed(number(40.0))),
                std::array::from_fn(|axis| if axis == 1 { 0 } else { fixed(number(3.0)) }),
            );
            let (low, high) = bounds(12);
            let range = line.range_within([low; 3], [high; 3], 3, 20);
            for z in 0..20 {
                let inside = is_inside(line.at(3 + z), [12; 3]);
                assert_eq!(range.contains(&z), inside, "{line:?} at {z}");
                num_inside += usize::from(inside);
            }
        }
        assert!(num_inside > 500, "{num_inside}");
    }

    #[test]
    fn points_that_overflow_are_outside() {
        let (low, high) = bounds(12);
        for step in [MAX_COORDINATE, -MAX_COORDINATE, f64::NAN, f64::INFINITY] {
            let line = Line::from_parts([0; 3], [fixed(step), 0, 0]);
            let range = line.range_within([low; 3], [high; 3], 0, 65_535);
            // The second voxel is already far outside.
            assert_eq!(range, 0..1, "{step}");
        }
    }
}
