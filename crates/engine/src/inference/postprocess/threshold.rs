//! Classes that are probable enough.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use values::Probability;
use volume::Label;

/// Gives each voxel a label whose probability reaches a threshold, whatever the background's is; of several, the one that exceeds its own threshold by the largest factor. A low threshold for a rare label misses less of it.
///
/// ```yaml
/// - threshold: { at_least: 0.5, labels: { 2: 0.3 } }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// The least probability of a label.
    #[serde(default = "one_half")]
    pub at_least: Probability,
    /// Other thresholds for some labels.
    #[serde(default)]
    pub labels: Option<BTreeMap<Label, Probability>>,
}

fn one_half() -> Probability {
    Probability::new(0.5).expect("0.5 is a probability")
}

impl Threshold {
    /// The threshold of a label.
    pub(super) fn of(&self, label: Label) -> f32 {
        let own = self.labels.as_ref().and_then(|labels| labels.get(&label));
        own.unwrap_or(&self.at_least).get() as f32
    }
}

/// The class chosen from the probabilities of those above background, counted from 1; 0 where none is probable enough.
pub(super) fn chosen(scores: &[f32], thresholds: &[f32]) -> usize {
    let mut best = 0;
    for class in 1..=scores.len() {
        let (score, threshold) = (scores[class - 1], thresholds[class - 1]);
        // Factors are compared by cross-multiplying, so that a threshold of 0 needs no rule of its own.
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
        assert_eq!(chosen(&[0.49, 0.2], &[0.5, 0.5]), 0);
    }

    #[test]
    fn with_equal_thresholds_the_most_probable_wins() {
        assert_eq!(chosen(&[0.6, 0.7], &[0.5, 0.5]), 2);
        assert_eq!(chosen(&[0.7, 0.6], &[0.5, 0.5]), 1);
    }

    #[test]
    fn a_low_threshold_lets_a_rare_label_win() {
        assert_eq!(chosen(&[0.6, 0.4], &[0.5, 0.3]), 2);
    }

    #[test]
    fn a_label_has_its_own_threshold_or_the_common_one() {
        let step: Threshold = serde_yaml::from_str("{ at_least: 0.4, labels: { 2: 0.25 } }").unwrap();
        assert_eq!((step.of(1), step.of(2)), (0.4, 0.25));
    }
}
