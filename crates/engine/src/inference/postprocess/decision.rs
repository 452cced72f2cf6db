//! Decision rules: the label of a voxel from the probabilities of its classes.

use super::{Postprocess, argmax, threshold};
use crate::experiment::plan::ClassLabel;
use crate::experiment::targets::Targets;
use volume::Label;

/// The label of a voxel from the probabilities of its classes.
#[derive(Clone, Debug, PartialEq)]
pub enum DecisionRule {
    /// The most probable class, background included; the label of each class above background.
    Argmax(Vec<Label>),
    /// The class above background that exceeds its threshold by the largest factor.
    Thresholds {
        /// The label of each class above background.
        labels: Vec<Label>,
        /// The lowest probability of each of them.
        thresholds: Vec<f32>,
    },
    /// The last region whose probability suffices: regions are written in their order, later ones over earlier ones.
    Regions {
        /// The label as which each region is written.
        labels: Vec<Label>,
        /// The probability that suffices.
        sufficient: Sufficient,
    },
}

/// Which probabilities suffice for a region.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sufficient {
    /// Those above one half, as in nnU-Net.
    AboveHalf,
    /// Those of at least this threshold.
    AtLeast(f32),
}

impl DecisionRule {
    /// Returns the rule that a list of steps starts with; by default the most probable class, or the regions with a
    /// probability above 0.5.
    pub fn new(steps: &[Postprocess], targets: &Targets) -> Self {
        let first = steps.first().and_then(|step| step.component().decision_rule(targets));
        first.unwrap_or_else(|| match targets.has_background() {
            true => Self::argmax(targets),
            false => Self::regions(targets, Sufficient::AboveHalf),
        })
    }

    /// Returns the rule that takes the most probable class.
    pub(super) fn argmax(targets: &Targets) -> Self {
        Self::Argmax(ClassLabel::values(&targets.labels))
    }

    /// Returns the rule that takes the class above background that exceeds its threshold by the largest factor.
    pub(super) fn thresholds(targets: &Targets, thresholds: Vec<f32>) -> Self {
        Self::Thresholds { labels: ClassLabel::values(&targets.labels), thresholds }
    }

    /// Returns the rule that writes the regions in their order.
    pub(super) fn regions(targets: &Targets, sufficient: Sufficient) -> Self {
        Self::Regions { labels: targets.regions.iter().map(|region| region.write).collect(), sufficient }
    }

    /// Returns whether the rule needs probabilities, instead of the logits of classes that exclude each other.
    pub fn needs_probabilities(&self) -> bool {
        !matches!(self, Self::Argmax(_))
    }

    /// Writes the labels of voxels from their scores `[class, voxel]`.
    pub fn write_labels(&self, scores: &[f32], labels: &mut [Label]) {
        let count = labels.len();
        match self {
            Self::Argmax(classes) if count > 1 => {
                let (first, others) = scores.split_at(count);
                let mut largest = first.to_vec();
                labels.fill(0);
                for (scores, class) in others.chunks_exact(count).zip(classes) {
                    for ((label, largest), score) in labels.iter_mut().zip(&mut largest).zip(scores) {
                        // Of equal scores, the first.
                        if score > largest {
                            (*label, *largest) = (*class, *score);
                        }
                    }
                }
            }
            _ => {
                let mut of_voxel = Vec::with_capacity(scores.len() / count);
                for (voxel, label) in labels.iter_mut().enumerate() {
                    of_voxel.clear();
                    of_voxel.extend(scores.iter().skip(voxel).step_by(count));
                    *label = self.label(&of_voxel);
                }
            }
        }
    }

    /// Returns the label of a voxel from the probability of each class of the network.
    pub fn label(&self, probabilities: &[f32]) -> Label {
        let of_class = |labels: &[Label], class: usize| if class == 0 { 0 } else { labels[class - 1] };
        match self {
            Self::Argmax(labels) => of_class(labels, argmax::argmax(probabilities)),
            Self::Thresholds { labels, thresholds } => {
                of_class(labels, threshold::above_threshold(&probabilities[1..], thresholds))
            }
            Self::Regions { labels, sufficient } => {
                let suffices = |probability: f32| match sufficient {
                    Sufficient::AboveHalf => probability > 0.5,
                    Sufficient::AtLeast(threshold) => probability >= *threshold,
                };
                let mut regions = labels.iter().zip(probabilities).rev();
                regions.find(|(_, probability)| suffices(**probability)).map_or(0, |(label, _)| *label)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_many_voxels_are_those_of_each() {
        let scores = [[0.3, 0.5, 0.2], [0.4, 0.4, 0.2], [0.1, 0.2, 0.7], [0.2, 0.4, 0.4], [0.1, 0.6, 0.9]];
        let by_class: Vec<f32> = (0..3).flat_map(|class| scores.map(|voxel| voxel[class])).collect();
        for rule in [
            DecisionRule::Argmax(vec![4, 7]),
            DecisionRule::Thresholds { labels: vec![4, 7], thresholds: vec![0.3, 0.5] },
            DecisionRule::Regions { labels: vec![4, 7, 5], sufficient: Sufficient::AboveHalf },
        ] {
            let mut labels = [9; 5];
            rule.write_labels(&by_class, &mut labels);
            assert_eq!(labels, scores.map(|voxel| rule.label(&voxel)), "{rule:?}");
        }
    }

    #[test]
    fn later_regions_are_written_over_earlier_ones() {
        let rule = DecisionRule::Regions { labels: vec![1, 2, 3], sufficient: Sufficient::AboveHalf };
        let labels = [[0.4, 0.5, 0.5], [0.6, 0.5, 0.1], [0.6, 0.7, 0.1], [0.1, 0.2, 0.9]].map(|p| rule.label(&p));
        assert_eq!(labels, [0, 1, 2, 3]);
        let rule = DecisionRule::Regions { labels: vec![1, 2, 3], sufficient: Sufficient::AtLeast(0.5) };
        assert_eq!(rule.label(&[0.4, 0.5, 0.3]), 2);
    }
}
