//! How the voxels of classes lie in two label maps.

use std::collections::BTreeMap;
use std::iter::Sum;

use crate::data::volume::Label;

/// How the voxels of a class lie in a prediction and in the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Overlap {
    pub predicted: u64,
    pub truth: u64,
    pub common: u64,
}

/// How often each pair of a predicted and a true label occurs.
#[derive(Debug)]
pub(super) struct JointCounts(BTreeMap<(Label, Label), u64>);

impl JointCounts {
    pub fn of(prediction: &[Label], truth: &[Label]) -> Self {
        let mut counts = BTreeMap::new();
        // Neighbours mostly share their pair, so the map is asked once a run.
        let pairs: Vec<(Label, Label)> = prediction.iter().copied().zip(truth.iter().copied()).collect();
        for run in pairs.chunk_by(|a, b| a == b) {
            *counts.entry(run[0]).or_insert(0) += run.len() as u64;
        }
        Self(counts)
    }

    /// How the voxels with one of these labels lie.
    pub fn overlap(&self, class: &[Label]) -> Overlap {
        let mut overlap = Overlap::default();
        for ((predicted, truth), count) in &self.0 {
            let (predicted, truth) = (class.contains(predicted), class.contains(truth));
            overlap.predicted += u64::from(predicted) * count;
            overlap.truth += u64::from(truth) * count;
            overlap.common += u64::from(predicted && truth) * count;
        }
        overlap
    }
}

impl Sum for Overlap {
    fn sum<I: Iterator<Item = Self>>(overlaps: I) -> Self {
        overlaps.fold(Self::default(), |sum, other| Self {
            predicted: sum.predicted + other.predicted,
            truth: sum.truth + other.truth,
            common: sum.common + other.common,
        })
    }
}
