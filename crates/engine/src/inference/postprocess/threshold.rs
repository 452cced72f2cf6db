//! Decision rule: labels whose probability reaches a threshold.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decision::Sufficient;
use super::{DecisionRule, PostprocessStep};
use crate::experiment::targets::Targets;
use values::Probability;
use volume::Label;

/// Probability thresholds: each voxel gets a label whose probability reaches its threshold, whatever the probability of background; of several labels, the one that exceeds its threshold by the largest factor. A low threshold for a rare label raises its sensitivity. With `data.regions`, a voxel is in every region whose probability reaches `at_least`.
///
/// ```yaml
/// - threshold: { at_least: 0.5, labels: { 2: 0.3 } }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Lowest probability of a label, between 0 and 1. Default: 0.5.
    #[serde(default = "one_half")]
    pub at_least: Probability,
    /// Thresholds of single labels instead of `at_least`, such as `{ 2: 0.3 }`. Default: none.
    #[serde(default)]
    pub labels: Option<BTreeMap<Label, Probability>>,
}

fn one_half() -> Probability {
    Probability::new(0.5).expect("0.5 is a probability")
}

impl Threshold {
    /// Returns the threshold of a label.
    fn threshold(&self, label: Label) -> f32 {
        let own = self.labels.as_ref().and_then(|labels| labels.get(&label));
        own.unwrap_or(&self.at_least).get() as f32
    }
}

impl PostprocessStep for Threshold {
    fn decision_rule(&self, targets: &Targets) -> Option<DecisionRule> {
        if !targets.has_background() {
            return Some(DecisionRule::regions(targets, Sufficient::AtLeast(self.at_least.get() as f32)));
        }
        Some(DecisionRule::thresholds(
            targets,
            targets.labels.iter().map(|label| self.threshold(label.value)).collect(),
        ))
    }

    fn unsuitable_for_regions(&self) -> Option<(&'static str, &'static str)> {
        let message = "`labels` has thresholds of labels, but the network predicts regions";
        self.labels.is_some().then_some((message, "remove `labels`; `at_least` is the threshold of every region"))
    }

    fn labels(&self) -> Vec<Label> {
        self.labels.iter().flat_map(|labels| labels.keys().copied()).collect()
    }
}

/// Returns the class, counted from 1, that exceeds its threshold by the largest factor, or 0 if none reaches it; `scores`
/// are the probabilities of the classes above background.
pub(super) fn above_threshold(scores: &[f32], thresholds: &[f32]) -> usize {
    let mut best = 0;
    for class in 1..=scores.len() {
        let (score, threshold) = (scores[class - 1], thresholds[class - 1]);
        // Factors are compared by cross-multiplication, which also works for a threshold of 0.
        let exceeds = best == 0 || score * thresholds[best - 1] > scores[best - 1] * threshold;
        if score >= threshold && exceeds {
            best = class;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_probable_class_it_is_background() {
        assert_eq!(above_threshold(&[0.49, 0.2], &[0.5, 0.5]), 0);
    }

    #[test]
    fn with_equal_thresholds_the_most_probable_wins() {
        assert_eq!(above_threshold(&[0.6, 0.7], &[0.5, 0.5]), 2);
        assert_eq!(above_threshold(&[0.7, 0.6], &[0.5, 0.5]), 1);
    }

    #[test]
    fn a_low_threshold_lets_a_rare_label_win() {
        assert_eq!(above_threshold(&[0.6, 0.4], &[0.5, 0.3]), 2);
    }

    #[test]
    fn a_label_has_its_own_threshold_or_the_common_one() {
        let step: Threshold = serde_yaml::from_str("{ at_least: 0.4, labels: { 2: 0.25 } }").unwrap();
        assert_eq!((step.threshold(1), step.threshold(2)), (0.4, 0.25));
    }
}
