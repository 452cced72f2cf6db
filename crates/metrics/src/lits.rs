//! The scores of the Liver Tumour Segmentation benchmark.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::comparison::Comparison;
use super::overlap::Overlap;
use super::{CaseScores, Empty, Tally, mean};
use volume::Label;

mod lesions;

use lesions::Detection;

/// The scores of the LiTS benchmark by the rules of its scorer (`lits-challenge-scoring`, `program/evaluate.py`): lesions
/// found, Dice per case and over all cases, and the error of the tumour burden.
///
/// The liver is the union of the two labels. A lesion is a set of lesion voxels that touch by their faces. True lesions
/// that one predicted lesion overlaps are merged, and predicted lesions that overlap one true lesion; a merged pair is
/// detected if its intersection over union is above 0.5.
///
/// A row of a case has `lits_liver_dice` (0 where no liver voxel is predicted beside lesions), `lits_lesion_dice` (1 where
/// neither has lesions), `lits_lesion_precision` and `lits_lesion_recall` (undefined where no lesion is predicted, or
/// true), and `lits_tumour_burden_error`: the true share of lesion voxels in the liver less the predicted one, which counts as
/// 9001 where no liver voxel is predicted; undefined where the true liver is empty, for there the scorer gives an error.
///
/// A summary has the mean of either Dice over cases; `lits_lesion_precision_global` and `lits_lesion_recall_global` of all lesions
/// together, 0 where there is none; `lits_liver_dice_global` and `lits_lesion_dice_global` of all voxels together,
/// undefined where there is none; and `lits_tumour_burden_rmse`, the root of the mean squared error.
///
/// The scorer's peculiarities are kept: an undetected pair takes off as many detections as true lesions were merged in it,
/// so that a score may be below 0, and the union of a pair takes in the predictions matched to the true lesion that has
/// the predicted lesion's number. It stores numbers of true lesions in one byte; here cases with more than 255 are scored
/// as the rules say.
///
/// ```yaml
/// - lits: { liver: 1, lesion: 2 }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lits {
    /// The label of the liver without its lesions.
    #[serde(default = "default_liver")]
    pub liver: Label,
    /// The label of lesions.
    #[serde(default = "default_lesion")]
    pub lesion: Label,
}

fn default_liver() -> Label {
    1
}

fn default_lesion() -> Label {
    2
}

/// The tumour burden of a prediction without a liver.
const LARGE: f64 = 9001.0;

/// What of a case goes into the scores of all.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LitsTally {
    liver: Overlap,
    lesion: Overlap,
    lesions: Detection,
}

impl Lits {
    pub(super) const CASE_COLUMNS: [&str; 5] =
        ["liver_dice", "lesion_dice", "lesion_precision", "lesion_recall", "tumour_burden_error"];

    pub(super) const SUMMARY_COLUMNS: [&str; 7] = [
        "liver_dice",
        "lesion_dice",
        "lesion_precision_global",
        "lesion_recall_global",
        "liver_dice_global",
        "lesion_dice_global",
        "tumour_burden_rmse",
    ];

    pub(super) fn score(&self, comparison: &Comparison) -> CaseScores {
        let whole = comparison.overlap(&[self.liver, self.lesion]);
        let lesion = comparison.overlap(&[self.lesion]);
        let predicts_liver = whole.predicted > lesion.predicted;
        // Without a liver beside lesions its prediction counts as none at all.
        let liver = if predicts_liver { whole } else { Overlap { truth: whole.truth, ..Overlap::default() } };
        let lesions = lesions::detect(comparison, self.lesion);
        let burden = |lesion: u64, liver: u64| lesion as f64 / liver as f64;
        let predicted = if predicts_liver { burden(lesion.predicted, whole.predicted) } else { LARGE };
        let error = (whole.truth > 0).then(|| burden(lesion.truth, whole.truth) - predicted);
        let scores =
            vec![dice(&liver, Empty::Zero), dice(&lesion, Empty::One), lesions.precision(), lesions.recall(), error];
        CaseScores { scores, tally: Tally::Lits(LitsTally { liver, lesion, lesions }) }
    }

    pub(super) fn summarize(&self, cases: &[CaseScores]) -> Vec<Option<f64>> {
        let tallies = || {
            cases.iter().filter_map(|case| match &case.tally {
                Tally::Lits(tally) => Some(tally),
                Tally::Nothing | Tally::Overlaps(_) => None,
            })
        };
        let column = |place: usize| cases.iter().map(move |case| case.scores[place]);
        let lesions: Detection = tallies().map(|tally| tally.lesions).sum();
        vec![
            mean(column(0)),
            mean(column(1)),
            lesions.precision().or(Some(0.0)),
            lesions.recall().or(Some(0.0)),
            dice(&tallies().map(|tally| tally.liver).sum(), Empty::Nan),
            dice(&tallies().map(|tally| tally.lesion).sum(), Empty::Nan),
            mean(column(4).map(|error| error.map(|error| error * error))).map(f64::sqrt),
        ]
    }
}

fn dice(overlap: &Overlap, empty: Empty) -> Option<f64> {
    empty.share(2 * overlap.common, overlap.predicted + overlap.truth)
}

#[cfg(test)]
mod tests {
    use super::super::Pair;
    use super::*;

    fn score(prediction: &[Label], truth: &[Label]) -> CaseScores {
        let pair = Pair { prediction, truth, shape: [1, 1, truth.len()], spacing: [1.0; 3] };
        Lits { liver: 1, lesion: 2 }.score(&Comparison::new(&pair))
    }

    #[test]
    fn lesions_belong_to_the_liver() {
        let scores = score(&[1, 2, 1, 0], &[1, 1, 2, 0]).scores;
        assert_eq!(scores, [Some(1.0), Some(0.0), Some(0.0), Some(0.0), Some(0.0)]);
    }

    #[test]
    fn a_prediction_of_lesions_alone_has_no_liver() {
        let scores = score(&[2, 2, 0, 0], &[1, 2, 0, 0]).scores;
        assert_eq!((scores[0], scores[4]), (Some(0.0), Some(0.5 - LARGE)));
    }

    #[test]
    fn a_case_without_lesions_scores_one() {
        assert_eq!(score(&[1, 1, 0], &[1, 0, 0]).scores[1..4], [Some(1.0), None, None]);
    }

    #[test]
    fn a_summary_counts_all_lesions_and_voxels_together() {
        let cases = [score(&[1, 2, 2, 0], &[1, 2, 2, 0]), score(&[1, 1, 1, 1], &[1, 2, 1, 2])];
        let summary = Lits { liver: 1, lesion: 2 }.summarize(&cases);
        let expected = [1.0, 0.5, 1.0, 1.0 / 3.0, 1.0, 2.0 / 3.0, 0.125f64.sqrt()];
        assert_eq!(summary, expected.map(Some));
    }
}
