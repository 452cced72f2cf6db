//! Scores of the Liver Tumour Segmentation benchmark (LiTS).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Scorer;
use crate::comparison::{Detection, LabelComparison, OverlapCounts, detect};
use crate::{Better, CaseScores, Class, EmptyScore, mean};
use volume::Label;

/// Scores of the LiTS benchmark, by the rules of its evaluation program (`lits-challenge-scoring`, `program/evaluate.py`):
/// lesion detection, Dice per case and over all cases, and the error of the tumour burden.
///
/// The liver is the union of both labels. Lesions are connected components with 6-connectivity. True lesions that the same
/// predicted lesion overlaps are merged, and so are predicted lesions that overlap the same true lesion; a merged pair is
/// detected if its intersection over union is above 0.5.
///
/// The scores of a case are `lits_liver_dice` (0 if only lesions are predicted), `lits_lesion_dice` (1 if neither map has
/// lesions), `lits_lesion_precision` and `lits_lesion_recall` (undefined without predicted or true lesions), and
/// `lits_tumour_burden_error`: the true minus the predicted fraction of lesion voxels in the liver. Without predicted liver
/// voxels the predicted fraction is 9001; without true ones the error is undefined, where the program raises an error.
///
/// A summary has the mean of both Dice scores over cases; `lits_lesion_precision_global` and `lits_lesion_recall_global` of
/// the lesions of all cases, 0 if there are none; `lits_liver_dice_global` and `lits_lesion_dice_global` of the voxels of all
/// cases, undefined if there are none; and `lits_tumour_burden_rmse`, the root mean squared error.
///
/// Peculiarities of the program are reproduced: an undetected pair subtracts as many detections as true lesions were merged
/// in it, so that scores may be negative, and the union of a pair includes the predictions matched to the true lesion with
/// the predicted lesion's number. Its overflow for more than 255 true lesions is not reproduced.
///
/// ```yaml
/// - lits: { liver: 1, lesion: 2 }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LitsMetric")]
pub struct Lits {
    /// The label of the liver without lesions. Default: 1.
    #[serde(default = "default_liver")]
    pub liver: Label,
    /// The label of lesions. Default: 2.
    #[serde(default = "default_lesion")]
    pub lesion: Label,
}

fn default_liver() -> Label {
    1
}

fn default_lesion() -> Label {
    2
}

/// The tumour burden of a prediction without liver.
const MISSING_LIVER_BURDEN: f64 = 9001.0;

const CASE_SCORES: [&str; 5] =
    ["liver_dice", "lesion_dice", "lesion_precision", "lesion_recall", "tumour_burden_error"];

const SUMMARY_SCORES: [&str; 7] = [
    "liver_dice",
    "lesion_dice",
    "lesion_precision_global",
    "lesion_recall_global",
    "liver_dice_global",
    "lesion_dice_global",
    "tumour_burden_rmse",
];

impl Scorer for Lits {
    fn used_labels(&self) -> Vec<(String, Label)> {
        vec![("liver".to_owned(), self.liver), ("lesion".to_owned(), self.lesion)]
    }

    fn title() -> &'static str {
        "LiTS"
    }

    fn better(score: &str) -> Better {
        match score {
            "tumour_burden_error" => Better::NearerToZero,
            "tumour_burden_rmse" => Better::Lower,
            _ => Better::Higher,
        }
    }

    fn is_ranked(&self, score: &str) -> bool {
        CASE_SCORES[..2].contains(&score)
    }

    fn case_scores(&self, _classes: &[Class]) -> Vec<String> {
        CASE_SCORES.map(str::to_owned).to_vec()
    }

    fn summary_scores(&self, _classes: &[Class]) -> Vec<String> {
        SUMMARY_SCORES.map(str::to_owned).to_vec()
    }

    /// The Dice of the liver and that of lesions.
    fn ranking_scores(&self, _classes: &[Class]) -> Vec<usize> {
        vec![0, 1]
    }

    fn score(&self, comparison: &mut LabelComparison, _classes: &[Class]) -> CaseScores {
        let whole = comparison.overlap(&[self.liver, self.lesion]);
        let lesion = comparison.overlap(&[self.lesion]);
        let predicts_liver = whole.predicted > lesion.predicted;
        // A prediction of lesions without liver counts as empty.
        let liver =
            if predicts_liver { whole } else { OverlapCounts { truth: whole.truth, ..OverlapCounts::default() } };
        let lesions = detect(comparison, self.lesion);
        let burden = |lesion: u64, liver: u64| lesion as f64 / liver as f64;
        let predicted = if predicts_liver { burden(lesion.predicted, whole.predicted) } else { MISSING_LIVER_BURDEN };
        let error = (whole.truth > 0).then(|| burden(lesion.truth, whole.truth) - predicted);
        let scores = vec![
            dice(&liver, EmptyScore::Zero),
            dice(&lesion, EmptyScore::One),
            lesions.precision(),
            lesions.recall(),
            error,
        ];
        let counts = [liver.into_counts(), lesion.into_counts(), lesions.into_counts()].concat();
        CaseScores { scores, counts }
    }

    fn summarize(&self, cases: &[CaseScores], _classes: &[Class]) -> Vec<Option<f64>> {
        let column = |index: usize| cases.iter().map(move |case| case.scores[index]);
        let overlap = |start: usize| cases.iter().map(|case| OverlapCounts::from_counts(&case.counts[start..])).sum();
        let lesions: Detection = cases.iter().map(|case| Detection::from_counts(&case.counts[6..])).sum();
        vec![
            mean(column(0)),
            mean(column(1)),
            lesions.precision().or(Some(0.0)),
            lesions.recall().or(Some(0.0)),
            dice(&overlap(0), EmptyScore::Nan),
            dice(&overlap(3), EmptyScore::Nan),
            mean(column(4).map(|error| error.map(|error| error * error))).map(f64::sqrt),
        ]
    }
}

fn dice(overlap: &OverlapCounts, empty: EmptyScore) -> Option<f64> {
    empty.ratio(2 * overlap.common, overlap.predicted + overlap.truth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pair;

    fn score(prediction: &[Label], truth: &[Label]) -> CaseScores {
        let pair = Pair { prediction, truth, shape: [1, 1, truth.len()], spacing: [1.0; 3] };
        Lits { liver: 1, lesion: 2 }.score(&mut LabelComparison::new(&pair), &[])
    }

    #[test]
    fn lesions_are_part_of_the_liver() {
        let scores = score(&[1, 2, 1, 0], &[1, 1, 2, 0]).scores;
        assert_eq!(scores, [Some(1.0), Some(0.0), Some(0.0), Some(0.0), Some(0.0)]);
    }

    #[test]
    fn a_prediction_with_only_lesions_has_no_liver() {
        let scores = score(&[2, 2, 0, 0], &[1, 2, 0, 0]).scores;
        assert_eq!((scores[0], scores[4]), (Some(0.0), Some(0.5 - MISSING_LIVER_BURDEN)));
    }

    #[test]
    fn a_case_without_lesions_scores_one() {
        assert_eq!(score(&[1, 1, 0], &[1, 0, 0]).scores[1..4], [Some(1.0), None, None]);
    }

    #[test]
    fn a_summary_pools_lesions_and_voxels_of_all_cases() {
        let cases = [score(&[1, 2, 2, 0], &[1, 2, 2, 0]), score(&[1, 1, 1, 1], &[1, 2, 1, 2])];
        let summary = Lits { liver: 1, lesion: 2 }.summarize(&cases, &[]);
        let expected = [1.0, 0.5, 1.0, 1.0 / 3.0, 1.0, 2.0 / 3.0, 0.125f64.sqrt()];
        assert_eq!(summary, expected.map(Some));
    }
}
