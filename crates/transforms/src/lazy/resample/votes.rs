//! Interpolation of labels: a voxel takes the label with the largest interpolation weight.
//!
//! As in nnU-Net, weights are compared in half precision after multiplication by 1000, and the nearest voxel decides between
//! equal ones if its label is one of them; otherwise the smallest label wins. [`winner`] decides one voxel, and a
//! [`VoteQueue`] several voxels together, by the same operations.

use simd::vectorized;

use super::source::LabelSource;
use crate::lazy::background::BACKGROUND;
use crate::lazy::fixed_point::{HALF, ONE, split};
use volume::Label;

/// The label of the background and of voxels outside a map, while labels are compared.
pub(super) const OUTSIDE: i32 = -1;

/// The largest number of voxels that are decided together.
const LANES: usize = 64;

/// Voxels that are decided together when there are enough of them.
pub(super) struct VoteQueue<'a> {
    source: LabelSource<'a>,
    count: usize,
    /// Where the labels are written.
    positions: [usize; LANES],
    /// The labels of the eight voxels around each point.
    corners: [[Label; LANES]; 8],
    /// The fractional digits of each point.
    digits: [[u32; LANES]; 3],
    /// The label of the voxel nearest to each point.
    nearest: [Label; LANES],
}

impl<'a> VoteQueue<'a> {
    /// Returns an empty queue of voxels whose labels come from `source`.
    pub(super) fn new(source: LabelSource<'a>) -> Self {
        Self {
            source,
            count: 0,
            positions: [0; LANES],
            corners: [[0; LANES]; 8],
            digits: [[0; LANES]; 3],
            nearest: [0; LANES],
        }
    }

    /// Writes the label of a point to `out[position]`: now if the eight `labels` around the point are equal, else as
    /// [`push`](Self::push).
    #[inline]
    pub(super) fn vote(&mut self, out: &mut [Label], position: usize, labels: [Label; 8], point: [i64; 3]) {
        if labels.iter().fold(0, |bits, label| bits | (label ^ labels[0])) == 0 {
            out[position] = labels[0];
        } else {
            self.push(out, position, labels, point);
        }
    }

    /// Writes the label of a point, given those around it, to `out[position]`: when there are enough such points, or at
    /// [`finish`](Self::finish).
    #[inline]
    pub(super) fn push(&mut self, out: &mut [Label], position: usize, labels: [Label; 8], point: [i64; 3]) {
        let lane = self.count;
        self.positions[lane] = position;
        for (corner, label) in self.corners.iter_mut().zip(labels) {
            corner[lane] = label;
        }
        for (digits, coordinate) in self.digits.iter_mut().zip(point) {
            digits[lane] = coordinate as u32;
        }
        self.nearest[lane] = self.corners[nearest_corner(point)][lane];
        self.count += 1;
        if self.count == LANES {
            self.finish(out);
        }
    }

    /// Writes the labels of all points that were added.
    pub(super) fn finish(&mut self, out: &mut [Label]) {
        if self.count == 0 {
            return;
        }
        let marks_background = self.source.outside == BACKGROUND;
        let mut labels = [OUTSIDE; LANES];
        // A multiple of the lanes of any vector register; the last ones are not used.
        let count = self.count.next_multiple_of(16);
        decide(&self.corners, &self.digits, &self.nearest, marks_background, &mut labels[..count]);
        for (position, label) in self.positions[..self.count].iter().zip(labels) {
            out[*position] = self.source.winning(label);
        }
        self.count = 0;
    }
}

vectorized! {
    /// Computes the [`winner`] of each lane, of which there may be less than the arrays have.
    fn decide(
        corners: &[[Label; LANES]; 8],
        digits: &[[u32; LANES]; 3],
        nearest: &[Label; LANES],
        marks_background: bool,
        best: &mut [i32],
    ) {
        let count = best.len();
        let mut candidates = [[0i32; LANES]; 9];
        for (candidates, labels) in candidates.iter_mut().zip(corners.iter().chain([nearest])) {
            for (candidate, label) in candidates[..count].iter_mut().zip(labels) {
                let is_background = marks_background & (*label == BACKGROUND);
                *candidate = if is_background { OUTSIDE } else { i32::from(*label) };
            }
        }
        let [corners @ .., nearest] = &candidates;
        let weights = corner_weights(digits, count);
        let mut best_scores = [-1.0f32; LANES];
        // A label that was counted already has a smaller weight and does not win.
        for (first, labels) in corners.iter().enumerate() {
            let mut sums = [0.0f32; LANES];
            for (others, weights) in corners[first..].iter().zip(&weights[first..]) {
                add_equal(&mut sums[..count], labels, others, weights);
            }
            replace_smaller(best, &mut best_scores, labels, &sums, nearest);
        }
    }
}

/// Adds the weights of the labels that are equal to others.
#[inline(always)]
fn add_equal(sums: &mut [f32], labels: &[i32], others: &[i32], weights: &[f32]) {
    for (((sum, label), other), weight) in sums.iter_mut().zip(labels).zip(others).zip(weights) {
        // Without branches, so that it is vectorized.
        let mask = u32::from(label == other).wrapping_neg();
        *sum += f32::from_bits(weight.to_bits() & mask);
    }
}

/// Replaces each label that wins less than another one, given the score of the former and the weight of the latter.
#[inline(always)]
fn replace_smaller(best: &mut [i32], best_scores: &mut [f32], labels: &[i32], weights: &[f32], nearest: &[i32]) {
    let bests = best.iter_mut().zip(best_scores);
    for ((((best, best_score), label), weight), nearest) in bests.zip(labels).zip(weights).zip(nearest) {
        let score = half_precision(weight * 1000.0);
        let wins_tie = (label == nearest) | ((*best != *nearest) & (*label < *best));
        let wins = (score > *best_score) | ((score == *best_score) & wins_tie);
        *best = if wins { *label } else { *best };
        *best_score = if wins { score } else { *best_score };
    }
}

/// Returns the interpolation weights of the eight voxels around each of `count` points.
#[inline(always)]
fn corner_weights(digits: &[[u32; LANES]; 3], count: usize) -> [[f32; LANES]; 8] {
    let mut along = [[[0.0f32; LANES]; 2]; 3];
    for ([before, after], digits) in along.iter_mut().zip(digits) {
        for ((before, after), digits) in before[..count].iter_mut().zip(after).zip(digits) {
            // Via i32, because processors have vector conversions from it.
            *after = (digits >> 8) as i32 as f32 * (1.0 / (1u32 << 24) as f32);
            *before = 1.0 - *after;
        }
    }
    let mut weights = [[0.0f32; LANES]; 8];
    for (corner, weights) in weights.iter_mut().enumerate() {
        let [x, y, z] = [&along[0][corner >> 2], &along[1][corner >> 1 & 1], &along[2][corner & 1]];
        for (((weight, x), y), z) in weights[..count].iter_mut().zip(x).zip(y).zip(z) {
            *weight = x * y * z;
        }
    }
    weights
}

/// Returns the label with the largest interpolation weight, given those of the eight voxels around a point.
#[inline(never)]
pub(super) fn winner(labels: [i32; 8], point: [i64; 3]) -> i32 {
    let [[x0, x1], [y0, y1], [z0, z1]] = point.map(|coordinate| {
        let weight = split(coordinate).1;
        [1.0 - weight, weight]
    });
    let weights = [
        x0 * y0 * z0,
        x0 * y0 * z1,
        x0 * y1 * z0,
        x0 * y1 * z1,
        x1 * y0 * z0,
        x1 * y0 * z1,
        x1 * y1 * z0,
        x1 * y1 * z1,
    ];
    let nearest = labels[nearest_corner(point)];
    let (mut best, mut best_score) = (OUTSIDE, -1.0);
    let mut counted = 0u8;
    for (first, label) in labels.iter().enumerate() {
        if counted >> first & 1 == 1 {
            continue;
        }
        let mut weight = 0.0;
        for other in first..8 {
            let is_same = labels[other] == *label;
            weight += if is_same { weights[other] } else { 0.0 };
            counted |= u8::from(is_same) << other;
        }
        let score = half_precision(weight * 1000.0);
        let wins_tie = *label == nearest || (best != nearest && *label < best);
        if score > best_score || (score == best_score && wins_tie) {
            (best, best_score) = (*label, score);
        }
    }
    best
}

/// Returns which of the eight voxels around a point is nearest to it, ties to the even index along each axis.
#[inline]
fn nearest_corner(point: [i64; 3]) -> usize {
    let is_next = point.map(|coordinate| {
        let (low, fraction) = (coordinate >> 32, coordinate & (ONE - 1));
        usize::from(fraction > HALF - (low & 1))
    });
    is_next[0] << 2 | is_next[1] << 1 | is_next[2]
}

/// Rounds a normal number of at least 0 to half precision.
#[inline(always)]
fn half_precision(number: f32) -> f32 {
    let bits = number.to_bits();
    f32::from_bits(bits.wrapping_add(0xfff + (bits >> 13 & 1)) & !0x1fff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use random::{Purpose, Seed};

    #[test]
    fn numbers_are_rounded_to_half_precision() {
        for (number, expected) in [(0.0, 0.0), (500.1, 500.0), (500.2, 500.25), (999.9, 1000.0), (333.3333, 333.25)] {
            assert_eq!(half_precision(number), expected);
        }
    }

    #[test]
    fn the_nearest_voxel_has_the_even_index_half_way() {
        let at = |index: i64, fraction: i64| nearest_corner([0, 0, index * ONE + fraction]);
        assert_eq!([at(4, HALF), at(5, HALF), at(-3, HALF), at(-4, HALF)], [0, 1, 1, 0]);
        assert_eq!([at(4, HALF + 1), at(5, HALF - 1), at(-3, HALF - 1), at(-3, 0)], [1, 0, 0, 0]);
    }

    #[test]
    fn voxels_decided_together_have_the_labels_of_each_one_alone() {
        let mut rng = Seed(3).stream(Purpose::Phantom, 0, "votes", 0);
        let mut ties = 0;
        for outside in [0, BACKGROUND] {
            let source = LabelSource { outside, ..LabelSource::whole(&[], [0; 3]) };
            let mut queue = VoteQueue::new(source);
            let mut expected: Vec<Label> = Vec::new();
            let mut out = vec![77; 30_011];
            for position in 0..out.len() {
                // Few labels and coarse fractions, for equal weights; all labels, and any fraction.
                let (few, coarse) = (rng.below(7) + 1, rng.bernoulli(0.5));
                let labels: [Label; 8] = std::array::from_fn(|_| match rng.below(few) {
                    0 => BACKGROUND,
                    label => label as Label,
                });
                let point: [i64; 3] = std::array::from_fn(|_| {
                    let index = rng.below(5) as i64;
                    let fraction = if coarse { rng.below(4) as i64 * HALF / 2 } else { (rng.bits() >> 32) as i64 };
                    index * ONE + fraction
                });
                queue.vote(&mut out, position, labels, point);
                let alone = source.winning(winner(labels.map(|label| source.candidate(label)), point));
                ties += usize::from(coarse && alone != labels[nearest_corner(point)]);
                expected.push(alone);
            }
            queue.finish(&mut out);
            assert_eq!(out, expected);
        }
        assert!(ties > 1000, "{ties}");
    }
}
