//! Segmentation metrics of whole volumes.
//!
//! `components/` holds one file per metric, the trait [`Scorer`] and the registry [`Metric`]. Most metrics score each class
//! separately and implement `ClassScorer`, which provides columns and summaries. `comparison/` computes what several metrics
//! have in common, once per pair of label maps: counts of voxels, distances between surfaces, matched lesions.
//!
//! ```
//! use metrics::{Metric, Pair};
//!
//! let dice: Metric = serde_yaml::from_str("!dice {}").unwrap();
//! let labels = [(1, "liver".to_owned())];
//! let pair = Pair { prediction: &[0, 1, 1], truth: &[0, 0, 1], shape: [1, 1, 3], spacing: [1.0; 3] };
//! assert_eq!(dice.case_columns(&labels), ["dice_liver"]);
//! assert_eq!(dice.score(&pair, &labels).scores, [Some(2.0 / 3.0)]);
//! assert!(metrics::lower_is_better("hd95_liver"));
//! ```

use std::collections::BTreeMap;

use volume::Label;

mod class_scorer;
mod comparison;
mod components;
mod empty_score;
mod score_column;

pub use comparison::{LabelComparison, OverlapCounts};
pub use components::{
    Assd, AssdVariant, Dice, Hd, Hd95, Hd95Variant, HdVariant, Jaccard, Lits, Metric, Nsd, Precision,
};
pub use components::{Recall, Scorer, VolumeDifference, VolumeUnit, lower_is_better};
pub use empty_score::EmptyScore;
pub use score_column::{Better, ScoreColumn, Unit, with_unit};

/// Named unions of labels that a metric scores in addition to the labels.
pub type Regions = BTreeMap<String, Vec<Label>>;

/// A predicted and a true label map on one grid.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The predicted labels, `[x, y, z]`.
    pub prediction: &'a [Label],
    /// The true labels, `[x, y, z]`.
    pub truth: &'a [Label],
    /// Voxels along x, y and z.
    pub shape: [usize; 3],
    /// Millimetres between voxels along x, y and z.
    pub spacing: [f64; 3],
}

/// The scores of one case by one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseScores {
    /// A score for each of [`Metric::case_columns`]; `None` where it is undefined.
    pub scores: Vec<Option<f64>>,
    /// Counts of voxels or objects that a summary adds up over cases, in an order that the metric defines.
    pub(crate) counts: Vec<i64>,
}

impl Metric {
    /// Returns the named unions of labels that the metric scores in addition to the labels.
    pub fn regions(&self) -> &Regions {
        self.component().regions()
    }

    /// Returns the labels that the metric's keys name, each with the path of the key below the metric's name.
    pub fn used_labels(&self) -> Vec<(String, Label)> {
        self.component().used_labels()
    }

    /// Returns the columns of a case's scores.
    pub fn case_columns(&self, labels: &[(Label, String)]) -> Vec<String> {
        self.columns(self.component().case_scores(labels))
    }

    /// Returns the columns of a summary of many cases: means over cases, means of these over labels (without regions), and
    /// scores of all cases together.
    pub fn summary_columns(&self, labels: &[(Label, String)]) -> Vec<String> {
        self.columns(self.component().summary_scores(labels))
    }

    /// Returns the indices of the [`Metric::case_columns`] whose mean ranks cases from best to worst.
    pub fn ranking_columns(&self, labels: &[(Label, String)]) -> Vec<usize> {
        self.component().ranking_scores(labels)
    }

    fn columns(&self, scores: Vec<String>) -> Vec<String> {
        scores.into_iter().map(|score| format!("{}_{score}", self.name())).collect()
    }

    /// Scores a pair. [`score_all`] is faster for several metrics of one pair.
    ///
    /// # Panics
    /// When the label maps do not have the pair's shape.
    pub fn score(&self, pair: &Pair, labels: &[(Label, String)]) -> CaseScores {
        self.component().score(&mut LabelComparison::new(pair), labels)
    }

    /// Returns the scores of many cases, in the order of [`Metric::summary_columns`]; `None` where a score is undefined.
    pub fn summarize(&self, cases: &[CaseScores], labels: &[(Label, String)]) -> Vec<Option<f64>> {
        self.component().summarize(cases, labels)
    }
}

/// Scores a pair by each metric; shared intermediate results are computed once.
///
/// # Panics
/// When the label maps do not have the pair's shape.
pub fn score_all(metrics: &[Metric], pair: &Pair, labels: &[(Label, String)]) -> Vec<CaseScores> {
    let mut comparison = LabelComparison::new(pair);
    metrics.iter().map(|metric| metric.component().score(&mut comparison, labels)).collect()
}

/// Returns the scores of many cases by each metric, in the order of their summary columns; `cases` are results of
/// [`score_all`].
pub fn summarize_all(metrics: &[Metric], cases: &[Vec<CaseScores>], labels: &[(Label, String)]) -> Vec<Option<f64>> {
    let summary = |(index, metric): (usize, &Metric)| {
        let cases: Vec<CaseScores> = cases.iter().map(|case| case[index].clone()).collect();
        metric.summarize(&cases, labels)
    };
    metrics.iter().enumerate().flat_map(summary).collect()
}

/// Returns the default metrics of label maps.
pub fn defaults() -> Vec<Metric> {
    vec![
        Dice::default().into(),
        Jaccard::default().into(),
        Precision::default().into(),
        Recall::default().into(),
        Hd95::default().into(),
        Assd::default().into(),
    ]
}

/// Returns the mean of the defined scores, or `None` if none is defined.
pub fn mean(scores: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let defined: Vec<f64> = scores.into_iter().flatten().collect();
    (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<(Label, String)> {
        vec![(1, "liver".to_owned()), (2, "tumour".to_owned())]
    }

    fn pair<'a>(prediction: &'a [Label], truth: &'a [Label]) -> Pair<'a> {
        Pair { prediction, truth, shape: [1, 1, truth.len()], spacing: [1.0; 3] }
    }

    #[test]
    fn labels_come_first_and_regions_follow() {
        let metric: Metric = serde_yaml::from_str("!dice {regions: {whole_liver: [1, 2]}}").unwrap();
        assert_eq!(metric.case_columns(&labels()), ["dice_liver", "dice_tumour", "dice_whole_liver"]);
        let scores = metric.score(&pair(&[1, 1, 2, 0], &[1, 2, 2, 0]), &labels()).scores;
        assert_eq!(scores, [Some(2.0 / 3.0), Some(2.0 / 3.0), Some(1.0)]);
    }

    #[test]
    fn a_global_score_counts_the_voxels_of_all_cases() {
        let metric: Metric = serde_yaml::from_str("!dice {global: true}").unwrap();
        let columns =
            ["dice_liver", "dice_tumour", "dice_mean", "dice_global_liver", "dice_global_tumour"].map(str::to_owned);
        assert_eq!(metric.summary_columns(&labels()), columns);
        let cases = [
            metric.score(&pair(&[1, 1, 1, 0], &[1, 1, 0, 0]), &labels()),
            metric.score(&pair(&[1, 0], &[0, 0]), &labels()),
        ];
        assert_eq!(metric.summarize(&cases, &labels()), [Some(0.4), None, Some(0.4), Some(2.0 / 3.0), None]);
    }

    #[test]
    fn means_exclude_undefined_scores() {
        assert_eq!(mean([Some(0.5), None, Some(1.0)]), Some(0.75));
        assert_eq!(mean([None, None]), None);
    }

    #[test]
    fn lower_distances_and_errors_are_better() {
        for column in ["hd_liver", "hd95_mean", "assd_liver", "volume_difference_liver", "lits_tumour_burden_rmse"] {
            assert!(lower_is_better(column), "{column}");
        }
        for column in ["dice_mean", "dice_global_liver", "nsd_liver", "lits_liver_dice", "loss", "hd"] {
            assert!(!lower_is_better(column), "{column}");
        }
    }
}
