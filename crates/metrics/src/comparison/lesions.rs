//! Lesion detection by the rules of LiTS.
//!
//! Predicted and true lesions are numbered in the order of their first voxels, and matched in three steps: true lesions with
//! the same best-overlapping predicted lesion are merged; each predicted lesion is matched to the true one that it overlaps
//! most; predicted lesions matched to the same true lesion are merged. A merged lesion has the number of its first part.

use std::collections::BTreeMap;
use std::iter::Sum;

use super::LabelComparison;
use volume::Label;
use volume::connected_components::{ConnectedComponents, connected_components};

/// The intersection over union above which a lesion is detected.
const DETECTION_THRESHOLD: f64 = 0.5;

/// The numbers of predicted, true and detected lesions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Detection {
    predicted: usize,
    truth: usize,
    /// May be negative: an undetected merged lesion is subtracted several times.
    detected: i64,
}

/// True lesions merged into one, and how many the last merge joined.
struct Merged {
    ids: Vec<u32>,
    count: i64,
}

/// The number of common voxels for each pair of a predicted and a true lesion.
struct Common(BTreeMap<(u32, u32), u64>);

impl Detection {
    /// Returns the fraction of predicted lesions that detect a true one.
    pub fn precision(&self) -> Option<f64> {
        (self.predicted > 0).then(|| self.detected as f64 / self.predicted as f64)
    }

    /// Returns the fraction of true lesions that are detected.
    pub fn recall(&self) -> Option<f64> {
        (self.truth > 0).then(|| self.detected as f64 / self.truth as f64)
    }
}

impl Detection {
    /// Returns the numbers for [`CaseScores`](crate::CaseScores).
    pub(crate) fn into_counts(self) -> [i64; 3] {
        [self.predicted as i64, self.truth as i64, self.detected]
    }

    /// Returns the numbers that [`Detection::into_counts`] stored at the start of `counts`.
    pub(crate) fn from_counts(counts: &[i64]) -> Self {
        Self { predicted: counts[0] as usize, truth: counts[1] as usize, detected: counts[2] }
    }
}

impl Sum for Detection {
    fn sum<I: Iterator<Item = Self>>(cases: I) -> Self {
        cases.fold(Self::default(), |sum, case| Self {
            predicted: sum.predicted + case.predicted,
            truth: sum.truth + case.truth,
            detected: sum.detected + case.detected,
        })
    }
}

/// Finds the lesions of a label in both label maps and counts the detected ones.
pub(crate) fn detect(comparison: &LabelComparison, lesion: Label) -> Detection {
    let Some([x, y, z]) = comparison.extent(&[lesion]) else { return Detection::default() };
    let pair = comparison.pair();
    let [_, size_y, size_z] = pair.shape;
    let shape = [x.len(), y.len(), z.len()];
    let cut = |labels: &[Label]| -> Vec<bool> {
        let rows = x.clone().flat_map(|x| y.clone().map(move |y| (x * size_y + y) * size_z));
        rows.flat_map(|row| labels[row + z.start..row + z.end].iter().map(|label| *label == lesion)).collect()
    };
    let find = |mask: Vec<bool>| connected_components(shape, |voxel| mask[voxel]);
    let (predicted, truth) = (find(cut(pair.prediction)), find(cut(pair.truth)));
    Detection { predicted: predicted.sizes.len(), truth: truth.sizes.len(), detected: num_detected(&predicted, &truth) }
}

fn num_detected(predicted: &ConnectedComponents, truth: &ConnectedComponents) -> i64 {
    let common = Common::new(predicted, truth);
    let overlapping = common.predicted();
    let merged = merge_true(&common, &overlapping, truth.sizes.len());
    let mut matched = match_predicted(&common, &overlapping, &merged);
    let mut detected = matched.iter().filter(|ids| !ids.is_empty()).count() as i64;
    let mut pairs: Vec<usize> = (0..merged.len()).filter(|index| !matched[*index].is_empty()).collect();
    pairs.sort_by_key(|index| matched[*index][0]);
    for index in pairs {
        let (own, pair) = (matched[index].clone(), &merged[index]);
        // The evaluation program looks up the predicted lesion among those that it has renumbered after true lesions.
        let namesake = merged.iter().position(|other| other.ids[0] == own[0]);
        let united = namesake.map_or(&[][..], |namesake| &matched[namesake]);
        let sizes = |lesions: &ConnectedComponents, ids: &[u32]| {
            ids.iter().map(|id| lesions.sizes[*id as usize - 1] as u64).sum::<u64>()
        };
        let union = sizes(predicted, united) + sizes(truth, &pair.ids) - common.between(united, &pair.ids);
        if common.between(&own, &pair.ids) as f64 / union as f64 <= DETECTION_THRESHOLD {
            matched[index].clear();
            detected -= pair.count;
        }
    }
    detected
}

/// Merges true lesions with the same best-overlapping predicted lesion.
fn merge_true(common: &Common, overlapping: &[u32], num_true: usize) -> Vec<Merged> {
    let ids = 1..=u32::try_from(num_true).expect("components are counted in 32 bits");
    let mut merged: Vec<Merged> = ids.map(|id| Merged { ids: vec![id], count: 1 }).collect();
    for own in overlapping {
        let most = |ids: &[u32]| first_largest(overlapping.iter().map(|other| common.between(&[*other], ids)));
        let is_shared = |lesion: &Merged| {
            common.between(&[*own], &lesion.ids) > 0
                && most(&lesion.ids).is_some_and(|index| overlapping[index] == *own)
        };
        let shared: Vec<usize> = (0..merged.len()).filter(|index| is_shared(&merged[*index])).collect();
        let Some((first, rest)) = shared.split_first() else { continue };
        for index in rest.iter().rev() {
            let mut other = merged.remove(*index);
            merged[*first].ids.append(&mut other.ids);
        }
        merged[*first].count = shared.len() as i64;
    }
    merged
}

/// Returns for each true lesion the predicted lesions matched to it: those that overlap no other one more.
fn match_predicted(common: &Common, overlapping: &[u32], merged: &[Merged]) -> Vec<Vec<u32>> {
    let mut matched = vec![Vec::new(); merged.len()];
    for own in overlapping {
        let most = first_largest(merged.iter().map(|lesion| common.between(&[*own], &lesion.ids)));
        matched[most.expect("merging keeps every true lesion")].push(*own);
    }
    matched
}

/// Returns the index of the largest number, the first of equal ones.
fn first_largest(numbers: impl Iterator<Item = u64>) -> Option<usize> {
    let better = |best: (usize, u64), new: (usize, u64)| if new.1 > best.1 { new } else { best };
    numbers.enumerate().reduce(better).map(|(index, _)| index)
}

impl Common {
    fn new(predicted: &ConnectedComponents, truth: &ConnectedComponents) -> Self {
        let mut common = BTreeMap::new();
        for pair in predicted.ids.iter().copied().zip(truth.ids.iter().copied()) {
            if pair.0 != 0 && pair.1 != 0 {
                *common.entry(pair).or_insert(0) += 1;
            }
        }
        Self(common)
    }

    /// Returns the predicted lesions that overlap a true one, in order.
    fn predicted(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.0.keys().map(|(predicted, _)| *predicted).collect();
        ids.dedup();
        ids
    }

    /// Returns the number of common voxels of predicted and true lesions.
    fn between(&self, predicted: &[u32], truth: &[u32]) -> u64 {
        let pairs = predicted.iter().flat_map(|p| truth.iter().map(move |t| (*p, *t)));
        pairs.filter_map(|pair| self.0.get(&pair)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pair;

    /// Detects lesions in rows of `.` and `#`.
    fn detection(prediction: &str, truth: &str) -> (usize, usize, i64) {
        let labels = |row: &str| row.chars().map(|voxel| Label::from(voxel == '#')).collect::<Vec<_>>();
        let (prediction, truth) = (labels(prediction), labels(truth));
        let pair = Pair { prediction: &prediction, truth: &truth, shape: [1, 1, truth.len()], spacing: [1.0; 3] };
        let Detection { predicted, truth, detected } = detect(&LabelComparison::new(&pair), 1);
        (predicted, truth, detected)
    }

    #[test]
    fn more_than_half_must_overlap() {
        assert_eq!(detection("##.", "#.."), (1, 1, 0));
        assert_eq!(detection("###.", "##.."), (1, 1, 1));
    }

    #[test]
    fn a_lesion_that_is_split_is_detected_once() {
        assert_eq!(detection("###.###", "#######"), (2, 1, 1));
    }

    #[test]
    fn lesions_predicted_as_one_are_detected_once() {
        assert_eq!(detection("#######", "###.###"), (1, 2, 1));
    }

    #[test]
    fn undetected_merged_lesions_subtract_a_detection_each() {
        assert_eq!(detection("##########", "#...#...#."), (1, 3, -2));
    }

    #[test]
    fn lesions_without_overlap_are_not_detected() {
        assert_eq!(detection("##...", "...##"), (1, 1, 0));
        assert_eq!(detection(".....", "....."), (0, 0, 0));
    }
}
