//! Segmentation metrics of whole volumes.
//!
//! `components/` holds one file per metric, the trait [`Scorer`] and the registry [`Metric`]. Most metrics score each class
//! separately and implement `ClassScorer`, which provides columns and summaries. `comparison/` computes what several metrics
//! have in common, once per pair of label maps: counts of voxels, distances between surfaces, matched lesions.
//!
//! ```
//! use metrics::{Class, Metric, Pair};
//!
//! let dice: Metric = serde_yaml::from_str("!dice {}").unwrap();
//! let classes = [Class::of_label(1, "liver")];
//! let pair = Pair { prediction: &[0, 1, 1], truth: &[0, 0, 1], shape: [1, 1, 3], spacing: [1.0; 3] };
//! assert_eq!(dice.case_columns(&classes), ["dice_liver"]);
//! assert_eq!(dice.score(&pair, &classes).scores, [Some(2.0 / 3.0)]);
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

/// A class that metrics score: a label, or a union of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name, as in columns.
    pub name: String,
    /// The labels whose voxels belong to it.
    pub labels: Vec<Label>,
}

impl Class {
    /// Creates the class of one label.
    pub fn of_label(label: Label, name: impl Into<String>) -> Self {
        Self { name: name.into(), labels: vec![label] }
    }
}

/// Returns both maps with background where the truth is `ignore`, so that no metric counts these voxels and surfaces end where
/// the ignored voxels begin: the prediction, then the truth.
pub fn without_ignored(ignore: Label, prediction: &[Label], truth: &[Label]) -> [Vec<Label>; 2] {
    let kept = |map: &[Label]| {
        let voxels = map.iter().zip(truth);
        voxels.map(|(label, truth)| if *truth == ignore { 0 } else { *label }).collect()
    };
    [kept(prediction), kept(truth)]
}

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
    pub fn case_columns(&self, classes: &[Class]) -> Vec<String> {
        self.columns(self.component().case_scores(classes))
    }

    /// Returns the columns of a summary of many cases: means over cases, means of these over labels (without regions), and
    /// scores of all cases together.
    pub fn summary_columns(&self, classes: &[Class]) -> Vec<String> {
        self.columns(self.component().summary_scores(classes))
    }

    /// Returns the indices of the [`Metric::case_columns`] whose mean ranks cases from best to worst.
    pub fn ranking_columns(&self, classes: &[Class]) -> Vec<usize> {
        self.component().ranking_scores(classes)
    }

    fn columns(&self, scores: Vec<String>) -> Vec<String> {
        scores.into_iter().map(|score| format!("{}_{score}", self.name())).collect()
    }

    /// Scores a pair. [`score_all`] is faster for several metrics of one pair.
    ///
    /// # Panics
    /// When the label maps do not have the pair's shape.
    pub fn score(&self, pair: &Pair, classes: &[Class]) -> CaseScores {
        self.component().score(&mut LabelComparison::new(pair), classes)
    }

    /// Returns the scores of many cases, in the order of [`Metric::summary_columns`]; `None` where a score is undefined.
    pub fn summarize(&self, cases: &[CaseScores], classes: &[Class]) -> Vec<Option<f64>> {
        self.component().summarize(cases, classes)
    }
}

/// Scores a pair by each metric; shared intermediate results are computed once.
///
/// # Panics
/// When the label maps do not have the pair's shape.
pub fn score_all(metrics: &[Metric], pair: &Pair, classes: &[Class]) -> Vec<CaseScores> {
    let mut comparison = LabelComparison::new(pair);
    metrics.iter().map(|metric| metric.component().score(&mut comparison, classes)).collect()
}

/// Returns the scores of many cases by each metric, in the order of their summary columns; `cases` are results of
/// [`score_all`].
pub fn summarize_all(metrics: &[Metric], cases: &[Vec<CaseScores>], classes: &[Class]) -> Vec<Option<f64>> {
    let summary = |(index, metric): (usize, &Metric)| {
        let cases: Vec<CaseScores> = cases.iter().map(|case| case[index].clone()).collect();
        metric.summarize(&cases, classes)
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

    fn classes() -> Vec<Class> {
        vec![Class::of_label(1, "liver"), Class::of_label(2, "tumour")]
    }

    fn pair<'a>(prediction: &'a [Label], truth: &'a [Label]) -> Pair<'a> {
        Pair { prediction, truth, shape: [1, 1, truth.len()], spacing: [1.0; 3] }
    }

    #[test]
    fn labels_come_first_and_regions_follow() {
        let metric: Metric = serde_yaml::from_str("!dice {regions: {whole_liver: [1, 2]}}").unwrap();
        assert_eq!(metric.case_columns(&classes()), ["dice_liver", "dice_tumour", "dice_whole_liver"]);
        let scores = metric.score(&pair(&[1, 1, 2, 0], &[1, 2, 2, 0]), &classes()).scores;
        assert_eq!(scores, [Some(2.0 / 3.0), Some(2.0 / 3.0), Some(1.0)]);
    }

    #[test]
    fn a_global_score_counts_the_voxels_of_all_cases() {
        let metric: Metric = serde_yaml::from_str("!dice {global: true}").unwrap();
        let columns =
            ["dice_liver", "dice_tumour", "dice_mean", "dice_global_liver", "dice_global_tumour"].map(str::to_owned);
        assert_eq!(metric.summary_columns(&classes()), columns);
        let cases = [
            metric.score(&pair(&[1, 1, 1, 0], &[1, 1, 0, 0]), &classes()),
            metric.score(&pair(&[1, 0], &[0, 0]), &classes()),
        ];
        assert_eq!(metric.summarize(&cases, &classes()), [Some(0.4), None, Some(0.4), Some(2.0 / 3.0), None]);
    }

    #[test]
    fn classes_may_be_unions_of_labels() {
        let whole = Class { name: "whole".to_owned(), labels: vec![1, 2] };
        let classes = [whole, Class::of_label(2, "core")];
        let metric = Metric::from(Dice::default());
        assert_eq!(metric.summary_columns(&classes), ["dice_whole", "dice_core", "dice_mean"]);
        let scores = metric.score(&pair(&[1, 1, 2, 0], &[1, 2, 2, 0]), &classes).scores;
        assert_eq!(scores, [Some(1.0), Some(2.0 / 3.0)]);
    }

    #[test]
    fn ignored_voxels_are_in_neither_map() {
        let maps = without_ignored(9, &[1, 1, 2, 0, 1], &[1, 9, 9, 9, 0]);
        assert_eq!(maps, [[1, 0, 0, 0, 1], [1, 0, 0, 0, 0]]);
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
