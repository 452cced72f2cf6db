//! Counts and bounding boxes of the labels of two label maps.

use std::collections::BTreeMap;
use std::iter::Sum;
use std::ops::Range;

use rayon::prelude::*;

use crate::Pair;
use volume::Label;

/// Numbers of voxels of a class in a prediction and in the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OverlapCounts {
    /// Predicted voxels.
    pub predicted: u64,
    /// True voxels.
    pub truth: u64,
    /// Voxels of the intersection.
    pub common: u64,
}

impl OverlapCounts {
    /// Returns the number of voxels of the union.
    pub fn union(&self) -> u64 {
        self.predicted + self.truth - self.common
    }

    /// Returns the numbers for [`CaseScores`](crate::CaseScores).
    pub(crate) fn into_counts(self) -> [i64; 3] {
        [self.predicted, self.truth, self.common].map(|count| count as i64)
    }

    /// Returns the numbers that [`OverlapCounts::into_counts`] stored at the start of `counts`.
    pub(crate) fn from_counts(counts: &[i64]) -> Self {
        Self { predicted: counts[0] as u64, truth: counts[1] as u64, common: counts[2] as u64 }
    }
}

/// A box of voxels along x, y and z.
pub(super) type Extent = [Range<usize>; 3];

/// The confusion matrix of two label maps, and the bounding box of each label in either.
#[derive(Debug, Default)]
pub(super) struct JointCounts {
    counts: BTreeMap<(Label, Label), u64>,
    extents: BTreeMap<Label, Extent>,
}

/// Voxels that are compared together; most chunks contain a single pair of labels.
const CHUNK: usize = 32;

impl JointCounts {
    /// Counts both label maps in one pass.
    pub fn new(pair: &Pair) -> Self {
        let [size_x, size_y, size_z] = pair.shape;
        let slab = |x: usize| {
            let mut counts = Self::default();
            for y in 0..size_y {
                let start = (x * size_y + y) * size_z;
                let row = start..start + size_z;
                counts.add_row([x, y], &pair.prediction[row.clone()], &pair.truth[row]);
            }
            counts
        };
        (0..size_x).into_par_iter().map(slab).reduce(Self::default, Self::merge)
    }

    fn add_row(&mut self, xy: [usize; 2], prediction: &[Label], truth: &[Label]) {
        let mut run = Run { labels: (prediction[0], truth[0]), start: 0 };
        let chunks = prediction.chunks(CHUNK).zip(truth.chunks(CHUNK)).enumerate();
        for (index, (predicted, truth)) in chunks {
            let (p, t) = run.labels;
            // Without a branch, so that compilers vectorize it.
            if predicted.iter().zip(truth).fold(0, |differs, (a, b)| differs | (a ^ p) | (b ^ t)) == 0 {
                continue;
            }
            for (step, labels) in predicted.iter().copied().zip(truth.iter().copied()).enumerate() {
                if labels != run.labels {
                    let z = index * CHUNK + step;
                    self.add_run(xy, &run, z);
                    run = Run { labels, start: z };
                }
            }
        }
        self.add_run(xy, &run, prediction.len());
    }

    fn add_run(&mut self, [x, y]: [usize; 2], run: &Run, end: usize) {
        *self.counts.entry(run.labels).or_insert(0) += (end - run.start) as u64;
        let extent = [x..x + 1, y..y + 1, run.start..end];
        for label in [run.labels.0, run.labels.1].into_iter().filter(|label| *label != 0) {
            self.extents.entry(label).and_modify(|old| widen(old, &extent)).or_insert_with(|| extent.clone());
        }
    }

    fn merge(mut self, other: Self) -> Self {
        for (labels, count) in other.counts {
            *self.counts.entry(labels).or_insert(0) += count;
        }
        for (label, extent) in other.extents {
            self.extents.entry(label).and_modify(|old| widen(old, &extent)).or_insert(extent);
        }
        self
    }

    /// Returns the number of predicted, true and common voxels with one of these labels.
    pub fn overlap(&self, class: &[Label]) -> OverlapCounts {
        let mut overlap = OverlapCounts::default();
        for ((predicted, truth), count) in &self.counts {
            let (predicted, truth) = (class.contains(predicted), class.contains(truth));
            overlap.predicted += u64::from(predicted) * count;
            overlap.truth += u64::from(truth) * count;
            overlap.common += u64::from(predicted && truth) * count;
        }
        overlap
    }

    /// Returns the smallest box with every voxel of these labels in either map; `None` if there is none.
    pub fn extent(&self, class: &[Label]) -> Option<Extent> {
        let mut extents = class.iter().filter_map(|label| self.extents.get(label));
        let mut extent = extents.next()?.clone();
        extents.for_each(|other| widen(&mut extent, other));
        Some(extent)
    }
}

/// Consecutive voxels along z with the same pair of labels.
struct Run {
    labels: (Label, Label),
    start: usize,
}

fn widen(extent: &mut Extent, other: &Extent) {
    for (own, other) in extent.iter_mut().zip(other) {
        *own = own.start.min(other.start)..own.end.max(other.end);
    }
}

impl Sum for OverlapCounts {
    fn sum<I: Iterator<Item = Self>>(overlaps: I) -> Self {
        overlaps.fold(Self::default(), |sum, other| Self {
            predicted: sum.predicted + other.predicted,
            truth: sum.truth + other.truth,
            common: sum.common + other.common,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rows of 40 voxels: label 1 in 30..39 of the first, predicted two voxels lower.
    fn counts() -> JointCounts {
        let mut prediction = vec![0; 80];
        let mut truth = vec![0; 80];
        prediction[28..37].fill(1);
        truth[30..39].fill(1);
        truth[79] = 7;
        JointCounts::new(&Pair { prediction: &prediction, truth: &truth, shape: [1, 2, 40], spacing: [1.0; 3] })
    }

    #[test]
    fn voxels_of_a_class_are_counted() {
        assert_eq!(counts().overlap(&[1]), OverlapCounts { predicted: 9, truth: 9, common: 7 });
        assert_eq!(counts().overlap(&[1, 7]), OverlapCounts { predicted: 9, truth: 10, common: 7 });
    }

    #[test]
    fn the_box_of_a_class_contains_it_in_both_maps() {
        assert_eq!(counts().extent(&[1]), Some([0..1, 0..1, 28..39]));
        assert_eq!(counts().extent(&[1, 7]), Some([0..1, 0..2, 28..40]));
        assert_eq!(counts().extent(&[2]), None);
    }
}
