//! Places along an axis in fixed point, so that a row's places are the same from wherever it is begun.
//!
//! A place is a voxel index with 32 binary digits after the point. Sums of integers are exact: the place of a voxel
//! does not depend on the window that asks for it, on the number of voxels that are taken at once, or on the processor.

use std::ops::Range;

use volume::Affine;

/// One voxel.
pub(super) const ONE: i64 = 1 << 32;
/// Half a voxel.
pub(super) const HALF: i64 = ONE / 2;

/// The fixed-point place nearest to a number of voxels, halves to the even one.
#[inline(always)]
pub(super) fn fixed(place: f64) -> i64 {
    // Places far outside saturate, and are outside all the same.
    let scaled = place.clamp(-MAX_COORDINATE, MAX_COORDINATE) * ONE as f64;
    (scaled + ROUNDING_SHIFT).to_bits() as i64 - ROUNDING_SHIFT.to_bits() as i64
}

/// Added to a number below 2^51 this one leaves its whole part in the lower digits: faster than a call to round.
pub(super) const ROUNDING_SHIFT: f64 = (3u64 << 51) as f64;

/// No volume is so long, and sums of a few such places do not overflow.
pub(super) const MAX_COORDINATE: f64 = (1u64 << 18) as f64;

/// The voxel that a place lies in or behind, and the share of the way to the next one.
pub(super) fn split(coordinate: i64) -> (i64, f32) {
    (coordinate >> 32, share(coordinate as u32))
}

/// The first 24 binary digits after the point, which a float holds exactly.
fn share(digits: u32) -> f32 {
    (digits >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
}

/// The places of a row of outgoing voxels along z.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) base: [i64; 3],
    pub(super) step: [i64; 3],
    is_steep: bool,
}

/// Steps up to this one, of 4096 voxels, stay within 64 bits for 2^18 voxels of a row.
const MAX_STEP: u64 = 1 << 44;

impl Line {
    /// Of the row at x and y under a map.
    #[inline(always)]
    pub(super) fn new(map: &Affine, x: f64, y: f64) -> Self {
        let base = map.0.map(|[a, b, _, shift]| fixed(a * x + b * y + shift));
        Self::of(base, map.0.map(|[_, _, c, _]| fixed(c)))
    }

    /// From the place of voxel 0 on, in steps.
    #[inline(always)]
    pub(super) fn of(base: [i64; 3], step: [i64; 3]) -> Self {
        Self { base, step, is_steep: step.into_iter().any(|step| step.unsigned_abs() > MAX_STEP) }
    }

    /// Whether steps are so long that places far along the row are beyond all numbers.
    pub(super) fn is_steep(&self) -> bool {
        self.is_steep
    }

    /// The place of a voxel.
    #[inline]
    pub(super) fn at(&self, z: usize) -> [i64; 3] {
        std::array::from_fn(|axis| self.base[axis].wrapping_add(self.step[axis].wrapping_mul(z as i64)))
    }

    /// Which voxels of a row have places between `low` and `high`, both included, along every axis; counted from `start`.
    #[inline(always)]
    pub(super) fn between(&self, low: [i64; 3], high: [i64; 3], start: usize, length: usize) -> Range<usize> {
        let is_within = |point: [i64; 3]| (0..3).all(|axis| low[axis] <= point[axis] && point[axis] <= high[axis]);
        if self.is_steep {
            return self.between_one_by_one(low, high, start, length);
        }
        let ends = [self.at(start), self.at(start + length - 1)];
        if ends.into_iter().all(is_within) {
            // The row is straight, so all of it lies between its ends.
            return 0..length;
        }
        self.between_ends(low, high, ends, length)
    }

    /// The same for a row that sticks out; apart from the others, which are most and find a place in their caller.
    #[inline(never)]
    fn between_ends(&self, low: [i64; 3], high: [i64; 3], ends: [[i64; 3]; 2], length: usize) -> Range<usize> {
        let (mut first, mut last) = (0, length as i64 - 1);
        for axis in 0..3 {
            // In the direction of the row, from its first place: a place is outside before `near` or beyond `far`.
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
            // The smallest z with step * z >= near, and the largest with step * z <= far. Most rows stick out at one end
            // of one axis, and divisions are slow.
            if near > 0 {
                first = first.max(-(-near).div_euclid(step));
            }
            if far < end {
                last = last.min(far.div_euclid(step));
            }
        }
        if first > last { 0..0 } else { first as usize..last as usize + 1 }
    }
}

impl Line {
    /// As [`Line::between`], for rows whose places may be beyond all numbers of 64 bits; only those are exact that are
    /// between.
    #[cold]
    fn between_one_by_one(&self, low: [i64; 3], high: [i64; 3], start: usize, length: usize) -> Range<usize> {
        let place = |axis: usize, z: usize| i128::from(self.base[axis]) + i128::from(self.step[axis]) * z as i128;
        let is_within = |z: &usize| {
            (0..3).all(|axis| (i128::from(low[axis])..=i128::from(high[axis])).contains(&place(axis, start + z)))
        };
        match (0..length).find(is_within) {
            // The row is straight, so those that lie between follow one another.
            Some(first) => first..(first..length).take_while(is_within).last().map_or(first, |last| last + 1),
            None => 0..0,
        }
    }
}

/// The smallest and the largest place inside an axis of so many voxels: within half a voxel, the upper end left out, as
/// in ITK. Those are the places whose nearest voxel, halves rounded up, is one of the axis.
pub(super) fn bounds(size: usize) -> (i64, i64) {
    (-HALF, size as i64 * ONE - HALF - 1)
}

/// Whether a point lies inside a grid.
pub(super) fn is_inside(point: [i64; 3], shape: [usize; 3]) -> bool {
    (0..3).all(|axis| {
        let (low, high) = bounds(shape[axis]);
        (low..=high).contains(&point[axis])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use random::{Purpose, Seed};

    #[test]
    fn the_voxels_between_two_planes_are_those_that_one_by_one_lie_there() {
        let mut rng = Seed(2).stream(Purpose::Phantom, 0, "fixed", 0);
        let mut found = 0;
        for _ in 0..2000 {
            let mut number = |scale: f64| scale * (rng.unit() - 0.5);
            let line = Line::of(
                std::array::from_fn(|_| fixed(number(40.0))),
                std::array::from_fn(|axis| if axis == 1 { 0 } else { fixed(number(3.0)) }),
            );
            let (low, high) = bounds(12);
            let range = line.between([low; 3], [high; 3], 3, 20);
            for z in 0..20 {
                let inside = is_inside(line.at(3 + z), [12; 3]);
                assert_eq!(range.contains(&z), inside, "{line:?} at {z}");
                found += usize::from(inside);
            }
        }
        assert!(found > 500, "{found}");
    }

    #[test]
    fn a_row_that_leaves_all_numbers_behind_lies_outside() {
        let (low, high) = bounds(12);
        for step in [MAX_COORDINATE, -MAX_COORDINATE, f64::NAN, f64::INFINITY] {
            let line = Line::of([0; 3], [fixed(step), 0, 0]);
            let range = line.between([low; 3], [high; 3], 0, 65_535);
            // The second voxel is far outside already.
            assert_eq!(range, 0..1, "{step}");
        }
    }

    #[test]
    fn numbers_go_to_the_nearest_place() {
        for number in [0.0, 1.0, -1.0, 0.3, -7.123_456, 511.5, -65_535.25, 3e-10, -3e-10] {
            assert_eq!(fixed(number), (number * ONE as f64).round_ties_even() as i64, "{number}");
        }
        assert_eq!(fixed(1e30), (1 << 18) * ONE);
    }

    #[test]
    fn a_place_splits_into_a_voxel_and_a_share() {
        assert_eq!(split(fixed(2.25)), (2, 0.25));
        assert_eq!(split(fixed(-0.25)), (-1, 0.75));
    }

    #[test]
    fn the_lower_end_is_inside_and_the_upper_one_is_not() {
        assert!(is_inside([fixed(-0.5), 0, 0], [4, 1, 1]));
        assert!(!is_inside([fixed(3.5), 0, 0], [4, 1, 1]));
    }
}
