//! Decision rules: the label of a voxel from the probabilities of its classes.

use super::{Postprocess, argmax, threshold};
use volume::Label;

/// The label of a voxel from the probabilities of its classes.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionRule {
    /// The label of each class above background.
    labels: Vec<Label>,
    /// The lowest probability of each of them; `None` takes the most probable class.
    thresholds: Option<Vec<f32>>,
}

impl DecisionRule {
    /// Returns the rule that a list of steps starts with, by default the most probable class; `labels[k]` is the label
    /// of class `k + 1`.
    pub fn new(steps: &[Postprocess], labels: &[Label]) -> Self {
        let first = steps.first().and_then(|step| step.component().decision_rule(labels));
        first.unwrap_or_else(|| Self::argmax(labels))
    }

    /// Returns the rule that takes the most probable class.
    pub(super) fn argmax(labels: &[Label]) -> Self {
        Self { labels: labels.to_vec(), thresholds: None }
    }

    /// Returns the rule that takes the class above background that exceeds its threshold by the largest factor.
    pub(super) fn thresholds(labels: &[Label], thresholds: Vec<f32>) -> Self {
        Self { labels: labels.to_vec(), thresholds: Some(thresholds) }
    }

    /// Returns the label of a voxel from the probability of each class, background first.
    pub fn label(&self, probabilities: &[f32]) -> Label {
        let class = match &self.thresholds {
            None => argmax::argmax(probabilities),
            Some(thresholds) => threshold::above_threshold(&probabilities[1..], thresholds),
        };
        if class == 0 { 0 } else { self.labels[class - 1] }
    }
}
