//! What whole volumes are scored with: the closed list of metrics.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use volume::Label;

mod assd;
mod comparison;
mod dice;
mod empty;
mod hd;
mod hd95;
mod jaccard;
mod lits;
mod nsd;
mod overlap;
mod precision;
mod recall;
mod surface;
mod volume_difference;

pub use assd::{Assd, AssdVariant};
pub use dice::Dice;
pub use empty::Empty;
pub use hd::{Hd, HdVariant};
pub use hd95::{Hd95, Hd95Variant};
pub use jaccard::Jaccard;
pub use lits::Lits;
pub use nsd::Nsd;
pub use precision::Precision;
pub use recall::Recall;
pub use volume_difference::{VolumeDifference, VolumeUnit};

use comparison::Comparison;
use lits::LitsTally;
use overlap::Overlap;

/// A score of a predicted label map against the true one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Metric {
    /// Overlap: twice the common voxels over the sum of both.
    Dice(Dice),
    /// Overlap: the common voxels over those in either.
    Jaccard(Jaccard),
    /// The share of predicted voxels that are true.
    Precision(Precision),
    /// The share of true voxels that are predicted.
    Recall(Recall),
    /// How much larger the predicted volume is.
    VolumeDifference(VolumeDifference),
    /// The largest distance between surfaces, in mm.
    Hd(Hd),
    /// The 95th percentile of the distances between surfaces, in mm.
    Hd95(Hd95),
    /// The mean distance between surfaces, in mm.
    Assd(Assd),
    /// The share of surfaces that agree within a tolerance.
    Nsd(Nsd),
    /// The scores of the LiTS benchmark.
    Lits(Lits),
}

/// What the columns of scores of which the smallest is best begin with; all others are best when largest.
const LOWER_IS_BETTER: [&str; 5] = ["volume_difference_", "hd_", "hd95_", "assd_", "lits_tumour_burden_"];

/// Named unions of labels that a metric scores beside the labels themselves.
pub type Regions = BTreeMap<String, Vec<Label>>;

/// A predicted and a true label map on one grid.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The predicted labels, z fastest.
    pub prediction: &'a [Label],
    /// The true labels, z fastest.
    pub truth: &'a [Label],
    /// Voxels along x, y and z.
    pub shape: [usize; 3],
    /// Millimetres between voxels along x, y and z.
    pub spacing: [f64; 3],
}

/// Scores of one case by one metric: what stands in its row, and what adds up over cases.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseScores {
    /// A score for each of [`Metric::case_columns`]; `None` where it is undefined.
    pub scores: Vec<Option<f64>>,
    tally: Tally,
}

/// What adds up over cases.
#[derive(Clone, Debug, PartialEq)]
enum Tally {
    /// Nothing: the metric has no score over all cases together.
    Nothing,
    /// The voxels of each class.
    Overlaps(Vec<Overlap>),
    /// Lesions and voxels by the rules of LiTS.
    Lits(LitsTally),
}

impl Metric {
    /// The name under which an experiment file knows the metric.
    pub fn name(&self) -> &'static str {
        match self {
            Metric::Dice(_) => "dice",
            Metric::Jaccard(_) => "jaccard",
            Metric::Precision(_) => "precision",
            Metric::Recall(_) => "recall",
            Metric::VolumeDifference(_) => "volume_difference",
            Metric::Hd(_) => "hd",
            Metric::Hd95(_) => "hd95",
            Metric::Assd(_) => "assd",
            Metric::Nsd(_) => "nsd",
            Metric::Lits(_) => "lits",
        }
    }

    /// The named unions of labels that it scores beside the labels.
    pub fn regions(&self) -> &Regions {
        static NONE: Regions = Regions::new();
        match self {
            Metric::Dice(metric) => &metric.regions,
            Metric::Jaccard(metric) => &metric.regions,
            Metric::Precision(metric) => &metric.regions,
            Metric::Recall(metric) => &metric.regions,
            Metric::VolumeDifference(metric) => &metric.regions,
            Metric::Hd(metric) => &metric.regions,
            Metric::Hd95(metric) => &metric.regions,
            Metric::Assd(metric) => &metric.regions,
            Metric::Nsd(metric) => &metric.regions,
            Metric::Lits(_) => &NONE,
        }
    }

    /// Whether the smallest score is best, as of a distance. Of differences, which may be negative, that is the one nearest
    /// to 0.
    pub fn lower_is_better(&self) -> bool {
        LOWER_IS_BETTER.iter().any(|prefix| prefix.strip_suffix('_') == Some(self.name()))
    }

    /// The names of its scores of a case: one for each label, then one for each region.
    pub fn case_columns(&self, labels: &[(Label, String)]) -> Vec<String> {
        match self {
            Metric::Lits(_) => Lits::CASE_COLUMNS.iter().map(|column| format!("lits_{column}")).collect(),
            _ => self.columns(self.name(), labels),
        }
    }

    /// The names of its scores of many cases: the means of [`Metric::case_columns`], their mean over labels (regions are
    /// in no mean), then the scores of all cases together.
    pub fn summary_columns(&self, labels: &[(Label, String)]) -> Vec<String> {
        if let Metric::Lits(_) = self {
            return Lits::SUMMARY_COLUMNS.iter().map(|column| format!("lits_{column}")).collect();
        }
        let mut columns = self.case_columns(labels);
        columns.push(format!("{}_mean", self.name()));
        if self.global_dice().is_some() {
            columns.extend(self.columns("dice_global", labels));
        }
        columns
    }

    fn columns(&self, prefix: &str, labels: &[(Label, String)]) -> Vec<String> {
        let names = labels.iter().map(|(_, name)| name).chain(self.regions().keys());
        names.map(|name| format!("{prefix}_{name}")).collect()
    }

    /// The labels that it names, each with the keys that lead to it below the metric's name.
    pub fn used_labels(&self) -> Vec<(String, Label)> {
        if let Metric::Lits(Lits { liver, lesion }) = self {
            return vec![("liver".to_owned(), *liver), ("lesion".to_owned(), *lesion)];
        }
        let regions = self.regions().iter();
        let used = regions.flat_map(|(region, values)| {
            values.iter().enumerate().map(move |(item, value)| (format!("regions.{region}.{item}"), *value))
        });
        used.collect()
    }

    /// Scores a pair. Several metrics of one pair cost less together: [`score_all`].
    ///
    /// # Panics
    /// When the label maps do not have the voxels of the pair's shape.
    pub fn score(&self, pair: &Pair, labels: &[(Label, String)]) -> CaseScores {
        self.score_in(&mut Comparison::new(pair), labels)
    }

    fn score_in(&self, comparison: &mut Comparison, labels: &[(Label, String)]) -> CaseScores {
        if let Metric::Lits(metric) = self {
            return metric.score(comparison);
        }
        let classes = self.classes(labels);
        let scores = classes.iter().map(|class| self.score_class(comparison, class)).collect();
        let overlaps = || classes.iter().map(|class| comparison.overlap(class)).collect();
        let tally = self.global_dice().map_or(Tally::Nothing, |_| Tally::Overlaps(overlaps()));
        CaseScores { scores, tally }
    }

    fn score_class(&self, comparison: &mut Comparison, class: &[Label]) -> Option<f64> {
        match self {
            Metric::Dice(metric) => metric.score(&comparison.overlap(class)),
            Metric::Jaccard(metric) => metric.score(&comparison.overlap(class)),
            Metric::Precision(metric) => metric.score(&comparison.overlap(class)),
            Metric::Recall(metric) => metric.score(&comparison.overlap(class)),
            Metric::VolumeDifference(metric) => metric.score(&comparison.overlap(class), comparison.pair().spacing),
            Metric::Hd(metric) => metric.score(comparison, class),
            Metric::Hd95(metric) => metric.score(comparison, class),
            Metric::Assd(metric) => metric.score(comparison, class),
            Metric::Nsd(metric) => metric.score(comparison, class),
            Metric::Lits(_) => unreachable!("LiTS scores a case as a whole"),
        }
    }

    /// The values of each class that it scores: labels, then regions.
    fn classes(&self, labels: &[(Label, String)]) -> Vec<Vec<Label>> {
        let own = labels.iter().map(|(value, _)| vec![*value]);
        own.chain(self.regions().values().cloned()).collect()
    }

    /// The metric, if it is a Dice that is also told of all cases together.
    fn global_dice(&self) -> Option<&Dice> {
        match self {
            Metric::Dice(dice) if dice.global => Some(dice),
            _ => None,
        }
    }

    /// The scores of many cases, in the order of [`Metric::summary_columns`]; `None` where a score is undefined.
    pub fn summarize(&self, cases: &[CaseScores], labels: &[(Label, String)]) -> Vec<Option<f64>> {
        if let Metric::Lits(metric) = self {
            return metric.summarize(cases);
        }
        let num_classes = self.classes(labels).len();
        let column = |place: usize| mean(cases.iter().map(|case| case.scores[place]));
        let mut summary: Vec<Option<f64>> = (0..num_classes).map(column).collect();
        summary.push(mean(summary[..labels.len()].iter().copied()));
        if let Some(dice) = self.global_dice() {
            let whole = |place| overlaps(cases).map(|class| class[place]).sum();
            summary.extend((0..num_classes).map(|place| dice.score(&whole(place))));
        }
        summary
    }
}

/// The scores of a pair by each metric; what several metrics need is computed once.
///
/// # Panics
/// When the label maps do not have the voxels of the pair's shape.
pub fn score_all(metrics: &[Metric], pair: &Pair, labels: &[(Label, String)]) -> Vec<CaseScores> {
    let mut comparison = Comparison::new(pair);
    metrics.iter().map(|metric| metric.score_in(&mut comparison, labels)).collect()
}

/// The scores of many cases by each metric, in the order of their summary columns; `cases` are those of [`score_all`].
pub fn summarize_all(metrics: &[Metric], cases: &[Vec<CaseScores>], labels: &[(Label, String)]) -> Vec<Option<f64>> {
    let of_metric = |(place, metric): (usize, &Metric)| {
        let own: Vec<CaseScores> = cases.iter().map(|case| case[place].clone()).collect();
        metric.summarize(&own, labels)
    };
    metrics.iter().enumerate().flat_map(of_metric).collect()
}

/// Whether the smallest value of a column of scores is best, as of distances and errors; of those that may be negative the
/// one nearest to 0.
pub fn lower_is_better(column: &str) -> bool {
    LOWER_IS_BETTER.iter().any(|prefix| column.starts_with(prefix))
}

/// The overlaps of each case that were kept to be added up.
fn overlaps(cases: &[CaseScores]) -> impl Iterator<Item = &Vec<Overlap>> {
    cases.iter().filter_map(|case| match &case.tally {
        Tally::Overlaps(overlaps) => Some(overlaps),
        Tally::Nothing | Tally::Lits(_) => None,
    })
}

/// What label maps are scored with where nobody says otherwise.
pub fn defaults() -> Vec<Metric> {
    vec![
        Metric::Dice(Dice::default()),
        Metric::Jaccard(Jaccard::default()),
        Metric::Precision(Precision::default()),
        Metric::Recall(Recall::default()),
        Metric::Hd95(Hd95::default()),
        Metric::Assd(Assd::default()),
    ]
}

/// The mean of the defined scores, or `None` where there is none.
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
    fn undefined_scores_are_in_no_mean() {
        assert_eq!(mean([Some(0.5), None, Some(1.0)]), Some(0.75));
        assert_eq!(mean([None, None]), None);
    }
}
