//! What whole volumes are scored with: the closed list of metrics.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::volume::Label;

mod dice;

pub use dice::{Dice, Empty};

/// A score of a predicted label map against the true one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Metric {
    /// Overlap: twice the common voxels over the sum of both.
    Dice(Dice),
}

/// Named unions of labels that a metric scores beside the labels themselves.
pub type Regions = BTreeMap<String, Vec<Label>>;

/// How the voxels of a class lie in a prediction and in the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Overlap {
    predicted: u64,
    truth: u64,
    common: u64,
}

impl Metric {
    /// The name under which an experiment file knows the metric.
    pub fn name(&self) -> &'static str {
        match self {
            Metric::Dice(_) => "dice",
        }
    }

    /// The named unions of labels that it scores beside the labels.
    pub fn regions(&self) -> &Regions {
        match self {
            Metric::Dice(dice) => &dice.regions,
        }
    }

    /// The names of its scores of a case: one for each label, then one for each region.
    pub fn columns(&self, labels: &[(Label, String)]) -> Vec<String> {
        let names = labels.iter().map(|(_, name)| name).chain(self.regions().keys());
        names.map(|name| format!("{}_{name}", self.name())).collect()
    }

    /// The scores of a case, in the order of [`Metric::columns`]; `None` where a score is undefined.
    ///
    /// # Panics
    /// When the two label maps differ in length.
    pub fn score(&self, prediction: &[Label], truth: &[Label], labels: &[(Label, String)]) -> Vec<Option<f64>> {
        assert_eq!(prediction.len(), truth.len(), "a prediction lies on the grid of its truth");
        let own = labels.iter().map(|(value, _)| vec![*value]);
        let classes: Vec<Vec<Label>> = own.chain(self.regions().values().cloned()).collect();
        let counts = joint_counts(prediction, truth);
        let score = |values: &Vec<Label>| match self {
            Metric::Dice(dice) => dice.score(&overlap(&counts, values)),
        };
        classes.iter().map(score).collect()
    }
}

/// How often each pair of a predicted and a true label occurs.
fn joint_counts(prediction: &[Label], truth: &[Label]) -> BTreeMap<(Label, Label), u64> {
    let mut counts = BTreeMap::new();
    // Neighbours mostly share their pair, so the map is asked once a run.
    let pairs: Vec<(Label, Label)> = prediction.iter().copied().zip(truth.iter().copied()).collect();
    for run in pairs.chunk_by(|a, b| a == b) {
        *counts.entry(run[0]).or_insert(0) += run.len() as u64;
    }
    counts
}

fn overlap(counts: &BTreeMap<(Label, Label), u64>, values: &[Label]) -> Overlap {
    let mut overlap = Overlap::default();
    for ((predicted, truth), count) in counts {
        let (predicted, truth) = (values.contains(predicted), values.contains(truth));
        overlap.predicted += u64::from(predicted) * count;
        overlap.truth += u64::from(truth) * count;
        overlap.common += u64::from(predicted && truth) * count;
    }
    overlap
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

    #[test]
    fn labels_come_first_and_regions_follow() {
        let metric: Metric = serde_yaml::from_str("!dice {regions: {whole_liver: [1, 2]}}").unwrap();
        assert_eq!(metric.columns(&labels()), ["dice_liver", "dice_tumour", "dice_whole_liver"]);
        let scores = metric.score(&[1, 1, 2, 0], &[1, 2, 2, 0], &labels());
        assert_eq!(scores, [Some(2.0 / 3.0), Some(2.0 / 3.0), Some(1.0)]);
    }

    #[test]
    fn undefined_scores_are_in_no_mean() {
        assert_eq!(mean([Some(0.5), None, Some(1.0)]), Some(0.75));
        assert_eq!(mean([None, None]), None);
    }
}
