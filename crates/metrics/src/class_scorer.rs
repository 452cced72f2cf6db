//! Metrics that score each class separately.

use super::comparison::{LabelComparison, OverlapCounts};
use super::{Better, CaseScores, Class, Regions, Scorer, Unit, mean};
use volume::Label;

/// A metric that scores the classes and regions of a case separately. Its summary contains the mean over cases of each, and
/// the mean of these over classes.
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

/// Returns the labels of each class: the classes first, then regions.
fn all_classes(regions: &Regions, classes: &[Class]) -> Vec<Vec<Label>> {
    classes.iter().map(|class| class.labels.clone()).chain(regions.values().cloned()).collect()
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

    fn case_scores(&self, classes: &[Class]) -> Vec<String> {
        classes.iter().map(|class| &class.name).chain(ClassScorer::regions(self).keys()).cloned().collect()
    }

    fn summary_scores(&self, classes: &[Class]) -> Vec<String> {
        let classes = self.case_scores(classes);
        let global = classes.iter().filter(|_| self.is_global()).map(|class| format!("global_{class}"));
        classes.iter().cloned().chain(["mean".to_owned()]).chain(global).collect()
    }

    fn ranking_scores(&self, classes: &[Class]) -> Vec<usize> {
        (0..classes.len()).collect()
    }

    fn score(&self, comparison: &mut LabelComparison, classes: &[Class]) -> CaseScores {
        let classes = all_classes(ClassScorer::regions(self), classes);
        let scores = classes.iter().map(|class| self.score_class(comparison, class)).collect();
        let overlaps = classes.iter().filter(|_| self.is_global()).map(|class| comparison.overlap(class));
        CaseScores { scores, counts: overlaps.flat_map(OverlapCounts::into_counts).collect() }
    }

    fn summarize(&self, cases: &[CaseScores], classes: &[Class]) -> Vec<Option<f64>> {
        let num_classes = all_classes(ClassScorer::regions(self), classes).len();
        let class_mean = |class: usize| mean(cases.iter().map(|case| case.scores[class]));
        let mut summary: Vec<Option<f64>> = (0..num_classes).map(class_mean).collect();
        summary.push(mean(summary[..classes.len()].iter().copied()));
        if self.is_global() {
            let overlap =
                |class: usize| cases.iter().map(|case| OverlapCounts::from_counts(&case.counts[3 * class..])).sum();
            summary.extend((0..num_classes).map(|class| self.score_overlap(&overlap(class))));
        }
        summary
    }
}
