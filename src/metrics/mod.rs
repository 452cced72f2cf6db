//! What whole volumes are scored with: the closed list of metrics.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::volume::Label;

mod dice;
mod overlap;

pub use dice::{Dice, Empty};
use overlap::{JointCounts, Overlap};

/// A score of a predicted label map against the true one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Metric {
    /// Overlap: twice the common voxels over the sum of both.
    Dice(Dice),
}

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
}

/// What several metrics of a pair need, each computed once.
struct Shared<'a> {
    counts: JointCounts,
    _pair: Pair<'a>,
}

impl Metric {
    /// The name under which an experiment file knows the metric.
    pub fn name(&self) -> &'static str {
        match self {
            Metric::Dice(_) => "dice",
        }
    }

    /// Whether of two scores the smaller is the better one, as of distances.
    pub fn lower_is_better(&self) -> bool {
        match self {
            Metric::Dice(_) => false,
        }
    }

    /// The named unions of labels that it scores beside the labels.
    pub fn regions(&self) -> &Regions {
        match self {
            Metric::Dice(dice) => &dice.regions,
        }
    }

    /// The names of its scores of a case: one for each label, then one for each region.
    pub fn case_columns(&self, labels: &[(Label, String)]) -> Vec<String> {
        self.columns(self.name(), labels)
    }

    /// The names of its scores of many cases: the means of [`Metric::case_columns`], their mean over labels (regions are
    /// in no mean), then the scores of all cases together.
    pub fn summary_columns(&self, labels: &[(Label, String)]) -> Vec<String> {
        let mut columns = self.case_columns(labels);
        columns.push(format!("{}_mean", self.name()));
        match self {
            Metric::Dice(dice) if dice.global => columns.extend(self.columns("dice_global", labels)),
            Metric::Dice(_) => {}
        }
        columns
    }

    fn columns(&self, prefix: &str, labels: &[(Label, String)]) -> Vec<String> {
        let names = labels.iter().map(|(_, name)| name).chain(self.regions().keys());
        names.map(|name| format!("{prefix}_{name}")).collect()
    }

    /// Scores a pair. Several metrics of one pair cost less together: [`score_all`].
    ///
    /// # Panics
    /// When the label maps do not have the voxels of the pair's shape.
    pub fn score(&self, pair: &Pair, labels: &[(Label, String)]) -> CaseScores {
        self.score_shared(&mut Shared::new(pair), labels)
    }

    fn score_shared(&self, shared: &mut Shared, labels: &[(Label, String)]) -> CaseScores {
        let classes = self.classes(labels);
        let overlaps: Vec<Overlap> = classes.iter().map(|class| shared.counts.overlap(class)).collect();
        match self {
            Metric::Dice(dice) => CaseScores {
                scores: overlaps.iter().map(|overlap| dice.score(overlap)).collect(),
                tally: if dice.global { Tally::Overlaps(overlaps) } else { Tally::Nothing },
            },
        }
    }

    /// The values of each class that it scores: labels, then regions.
    fn classes(&self, labels: &[(Label, String)]) -> Vec<Vec<Label>> {
        let own = labels.iter().map(|(value, _)| vec![*value]);
        own.chain(self.regions().values().cloned()).collect()
    }

    /// The scores of many cases, in the order of [`Metric::summary_columns`]; `None` where a score is undefined.
    pub fn summarise(&self, cases: &[CaseScores], labels: &[(Label, String)]) -> Vec<Option<f64>> {
        let column = |place: usize| mean(cases.iter().map(|case| case.scores[place]));
        let mut summary: Vec<Option<f64>> = (0..self.case_columns(labels).len()).map(column).collect();
        summary.push(mean(summary[..labels.len()].iter().copied()));
        match self {
            Metric::Dice(dice) if dice.global => {
                let whole = |place| overlaps(cases).map(|class| class[place]).sum();
                summary.extend((0..self.classes(labels).len()).map(|place| dice.score(&whole(place))));
            }
            Metric::Dice(_) => {}
        }
        summary
    }
}

/// The scores of a pair by each metric; what several metrics need is computed once.
///
/// # Panics
/// When the label maps do not have the voxels of the pair's shape.
pub fn score_all(metrics: &[Metric], pair: &Pair, labels: &[(Label, String)]) -> Vec<CaseScores> {
    let mut shared = Shared::new(pair);
    metrics.iter().map(|metric| metric.score_shared(&mut shared, labels)).collect()
}

/// The scores of many cases by each metric, in the order of their summary columns; `cases` are those of [`score_all`].
pub fn summarise_all(metrics: &[Metric], cases: &[Vec<CaseScores>], labels: &[(Label, String)]) -> Vec<Option<f64>> {
    let of_metric = |(place, metric): (usize, &Metric)| {
        let own: Vec<CaseScores> = cases.iter().map(|case| case[place].clone()).collect();
        metric.summarise(&own, labels)
    };
    metrics.iter().enumerate().flat_map(of_metric).collect()
}

impl<'a> Shared<'a> {
    fn new(pair: &Pair<'a>) -> Self {
        let num_voxels = pair.shape.iter().product::<usize>();
        assert_eq!(pair.prediction.len(), num_voxels, "a prediction has the voxels of its grid");
        assert_eq!(pair.truth.len(), num_voxels, "a truth has the voxels of its grid");
        Self { counts: JointCounts::of(pair.prediction, pair.truth), _pair: *pair }
    }
}

/// The overlaps of each case that were kept to be added up.
fn overlaps(cases: &[CaseScores]) -> impl Iterator<Item = &Vec<Overlap>> {
    cases.iter().filter_map(|case| match &case.tally {
        Tally::Overlaps(overlaps) => Some(overlaps),
        Tally::Nothing => None,
    })
}

/// What label maps are scored with where nobody says otherwise.
pub fn defaults() -> Vec<Metric> {
    vec![Metric::Dice(Dice::default())]
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
        assert_eq!(metric.summarise(&cases, &labels()), [Some(0.4), None, Some(0.4), Some(2.0 / 3.0), None]);
    }

    #[test]
    fn undefined_scores_are_in_no_mean() {
        assert_eq!(mean([Some(0.5), None, Some(1.0)]), Some(0.75));
        assert_eq!(mean([None, None]), None);
    }
}
