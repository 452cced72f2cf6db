//! Metrics that score each class separately.

use super::comparison::{LabelComparison, OverlapCounts};
use super::{Better, CaseScores, Regions, Scorer, Unit, mean};
use volume::Label;

/// A metric that scores the labels and regions of a case separately. Its summary contains the mean over cases of each, and
/// the mean of these over labels.
pub trait ClassScorer {
    /// Returns the named unions of labels that the metric scores in addition to the labels.
    fn regions(&self) -> &Regions;

    /// Returns the metric's name in texts and on axes, such as `Dice`, `HD95` or `volume difference`.
    fn title() -> &'static str
    where
        Self: Sized;

    /// Returns which scores are better.
    fn better() -> Better
    where
        Self: Sized,
    {
        Better::Higher
    }

    /// Returns the unit of the scores.
    fn unit(&self) -> Unit {
        Unit::Ratio
    }

    /// Scores the voxels whose label is one of `class`; `None` if the score is undefined.
    fn score_class(&self, comparison: &mut LabelComparison, class: &[Label]) -> Option<f64>;

    /// Returns whether a summary also contains the score of the voxels of all cases together.
    fn is_global(&self) -> bool {
        false
    }

    /// Scores counts of voxels, for metrics that [are global](Self::is_global).
    fn score_overlap(&self, _overlap: &OverlapCounts) -> Option<f64> {
        None
    }
}

/// Returns the labels of each class: labels first, then regions.
fn classes(regions: &Regions, labels: &[(Label, String)]) -> Vec<Vec<Label>> {
    labels.iter().map(|(label, _)| vec![*label]).chain(regions.values().cloned()).collect()
}

impl<T: ClassScorer> Scorer for T {
    fn regions(&self) -> &Regions {
        ClassScorer::regions(self)
    }

    fn title() -> &'static str {
        T::title()
    }

    fn better(_score: &str) -> Better {
        T::better()
    }

    fn unit(&self, _score: &str) -> Unit {
        ClassScorer::unit(self)
    }

    fn is_ranked(&self, score: &str) -> bool {
        let is_global = self.is_global() && score.starts_with("global_");
        score != "mean" && !is_global && !ClassScorer::regions(self).contains_key(score)
    }

    fn case_scores(&self, labels: &[(Label, String)]) -> Vec<String> {
        labels.iter().map(|(_, name)| name).chain(ClassScorer::regions(self).keys()).cloned().collect()
    }

    fn summary_scores(&self, labels: &[(Label, String)]) -> Vec<String> {
        let classes = self.case_scores(labels);
        let global = classes.iter().filter(|_| self.is_global()).map(|class| format!("global_{class}"));
        classes.iter().cloned().chain(["mean".to_owned()]).chain(global).collect()
    }

    fn ranking_scores(&self, labels: &[(Label, String)]) -> Vec<usize> {
        (0..labels.len()).collect()
    }

    fn score(&self, comparison: &mut LabelComparison, labels: &[(Label, String)]) -> CaseScores {
        let classes = classes(ClassScorer::regions(self), labels);
        let scores = classes.iter().map(|class| self.score_class(comparison, class)).collect();
        let overlaps = classes.iter().filter(|_| self.is_global()).map(|class| comparison.overlap(class));
        CaseScores { scores, counts: overlaps.flat_map(OverlapCounts::into_counts).collect() }
    }

    fn summarize(&self, cases: &[CaseScores], labels: &[(Label, String)]) -> Vec<Option<f64>> {
        let num_classes = classes(ClassScorer::regions(self), labels).len();
        let class_mean = |class: usize| mean(cases.iter().map(|case| case.scores[class]));
        let mut summary: Vec<Option<f64>> = (0..num_classes).map(class_mean).collect();
        summary.push(mean(summary[..labels.len()].iter().copied()));
        if self.is_global() {
            let overlap =
                |class: usize| cases.iter().map(|case| OverlapCounts::from_counts(&case.counts[3 * class..])).sum();
            summary.extend((0..num_classes).map(|class| self.score_overlap(&overlap(class))));
        }
        summary
    }
}
