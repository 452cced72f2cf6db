//! Which connected components are worth removing, as nnU-Net's `determine_postprocessing` decides.
//!
//! First all labels together: the largest component of the foreground is kept, if that raises the mean over classes and no
//! class gets worse. Then each class by itself, if that improves the class and no class gets worse; of regions, which contain
//! each other, nnU-Net asks the former only. Components are connected by corners too, and all of equally large ones are kept.

use std::cmp::Ordering;

use crate::inference::postprocess::{KeepLargestComponent, Postprocess};
use metrics::{Better, CaseScores, Class, Metric, ScoreColumn};
use volume::Label;

/// The scores of many cases: of each class, and the mean over classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Means {
    /// The mean over cases of each class; `None` where it is undefined in every case.
    pub classes: Vec<Option<f64>>,
    /// The mean over classes.
    pub mean: Option<f64>,
}

/// A step that was tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The step.
    pub step: Postprocess,
    /// The class that the step is for; `None` for all labels together.
    pub class: Option<String>,
    /// The score without the step: of the class, or the mean over classes.
    pub before: Option<f64>,
    /// The same score with the step.
    pub after: Option<f64>,
    /// Whether the step is worth it.
    pub is_accepted: bool,
}

/// How a metric scores classes.
#[derive(Clone, Copy, Debug)]
pub struct ClassMetric<'a> {
    /// The metric.
    pub metric: &'a Metric,
    /// The classes.
    pub classes: &'a [Class],
}

impl ClassMetric<'_> {
    /// Returns the means of a metric over cases; `None` if it does not score each class.
    pub fn means(&self, cases: &[CaseScores]) -> Option<Means> {
        let (classes, mean) = self.columns()?;
        let values = self.metric.summarize(cases, self.classes);
        Some(Means { classes: classes.into_iter().map(|column| values[column]).collect(), mean: values[mean] })
    }

    /// Returns whether the metric scores each class, so that [`ClassMetric::means`] has a result.
    pub fn scores_each_class(&self) -> bool {
        self.columns().is_some()
    }

    /// Returns the summary columns of the classes and of their mean.
    fn columns(&self) -> Option<(Vec<usize>, usize)> {
        let columns = self.metric.summary_columns(self.classes);
        let position = |score: &str| {
            let column = format!("{}_{score}", self.metric.name());
            columns.iter().position(|other| *other == column)
        };
        let classes = self.classes.iter().map(|class| position(&class.name)).collect::<Option<_>>()?;
        Some((classes, position("mean")?))
    }

    /// Compares two scores: `Greater` if `a` is better. Undefined scores are neither better nor worse.
    pub fn compare(&self, a: Option<f64>, b: Option<f64>) -> Ordering {
        let column = format!("{}_mean", self.metric.name());
        let better = ScoreColumn::of(&column, std::slice::from_ref(self.metric)).map(|column| column.better);
        let rank = |score: f64| match better {
            Some(Better::Lower) => -score,
            Some(Better::NearerToZero) => -score.abs(),
            Some(Better::Higher) | None => score,
        };
        let ranks = a.zip(b).map(|(a, b)| [rank(a), rank(b)]);
        ranks.and_then(|[a, b]| a.partial_cmp(&b)).unwrap_or(Ordering::Equal)
    }
}

/// Returns the steps that were tried, of which the accepted ones are worth it, in order.
///
/// `labels` are all labels above background; `score` returns the means over all subjects after some steps, which are
/// applied to the label maps of the predictions.
///
/// # Errors
/// Those of `score`.
pub fn determine<E>(
    metric: ClassMetric,
    labels: &[Label],
    mut score: impl FnMut(&[Postprocess]) -> Result<Means, E>,
) -> Result<Vec<Trial>, E> {
    let mut trials = Vec::new();
    let mut before = score(&[])?;
    let foreground = Postprocess::from(KeepLargestComponent::of_mask(labels.to_vec()));
    let after = score(std::slice::from_ref(&foreground))?;
    let is_worse = |(after, before): (&Option<f64>, &Option<f64>)| metric.compare(*after, *before) == Ordering::Less;
    let is_accepted = metric.compare(after.mean, before.mean) == Ordering::Greater
        && !after.classes.iter().zip(&before.classes).any(is_worse);
    trials.push(Trial { step: foreground, class: None, before: before.mean, after: after.mean, is_accepted });
    if is_accepted {
        before = after;
    }
    if metric.classes.len() < 2 {
        return Ok(trials);
    }
    let of_class = |class: &Class| Postprocess::from(KeepLargestComponent::of_mask(class.labels.clone()));
    let are_disjoint = metric.classes.iter().map(|class| class.labels.len()).sum::<usize>() == labels.len();
    // Steps of labels do not affect each other, so one pass scores all.
    let together = if are_disjoint {
        let steps: Vec<Postprocess> = metric.classes.iter().map(of_class).collect();
        Some(score(&[accepted(&trials), steps].concat())?)
    } else {
        None
    };
    for (index, class) in metric.classes.iter().enumerate() {
        let step = of_class(class);
        let after = match &together {
            Some(after) => after.clone(),
            None => score(&[accepted(&trials), vec![step.clone()]].concat())?,
        };
        let [old, new] = [before.classes[index], after.classes[index]];
        // A region may contain another, which the step must not harm either.
        let is_harmful = together.is_none() && after.classes.iter().zip(&before.classes).any(is_worse);
        let is_accepted = metric.compare(new, old) == Ordering::Greater && !is_harmful;
        trials.push(Trial { step, class: Some(class.name.clone()), before: old, after: new, is_accepted });
        if is_accepted && together.is_none() {
            before = after;
        }
    }
    Ok(trials)
}

/// Returns the accepted steps, in order.
pub fn accepted(trials: &[Trial]) -> Vec<Postprocess> {
    trials.iter().filter(|trial| trial.is_accepted).map(|trial| trial.step.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn classes() -> Vec<Class> {
        vec![Class::of_label(1, "liver"), Class::of_label(2, "tumour")]
    }

    fn dice() -> Metric {
        serde_yaml::from_str("!dice {}").unwrap()
    }

    /// Determines steps where each step changes the scores of classes by the given amounts: all together, then each.
    fn accepted_steps(classes: &[Class], changes: &[&[f64]]) -> Vec<Option<String>> {
        let (metric, labels) = (dice(), [1, 2]);
        let all = Postprocess::from(KeepLargestComponent::of_mask(labels.to_vec()));
        let score = |steps: &[Postprocess]| {
            let mut scores = vec![0.5; classes.len()];
            for step in steps {
                let of_class = |class: &Class| Postprocess::from(KeepLargestComponent::of_mask(class.labels.clone()));
                let index = classes.iter().position(|class| of_class(class) == *step).map_or(0, |index| index + 1);
                let index = if *step == all && scores[0] == 0.5 { 0 } else { index };
                scores.iter_mut().zip(changes[index]).for_each(|(score, change)| *score += change);
            }
            let mean = scores.iter().sum::<f64>() / scores.len() as f64;
            Ok::<_, Infallible>(Means { classes: scores.into_iter().map(Some).collect(), mean: Some(mean) })
        };
        let trials = determine(ClassMetric { metric: &metric, classes }, &labels, score).unwrap();
        trials.into_iter().filter(|trial| trial.is_accepted).map(|trial| trial.class).collect()
    }

    #[test]
    fn all_labels_together_must_raise_the_mean_and_harm_no_class() {
        let unchanged: [&[f64]; 2] = [&[0.0, 0.0], &[0.0, 0.0]];
        let with = |first: &'static [f64]| accepted_steps(&classes(), &[&[first][..], &unchanged[..]].concat());
        assert_eq!(with(&[0.1, 0.0]), [None]);
        assert_eq!(with(&[0.3, -0.1]), []);
        assert_eq!(with(&[0.0, 0.0]), []);
    }

    #[test]
    fn each_class_is_accepted_by_its_own_score() {
        let liver = || Some("liver".to_owned());
        assert_eq!(accepted_steps(&classes(), &[&[0.0, 0.0], &[0.1, 0.0], &[0.0, -0.1]]), [liver()]);
        assert_eq!(accepted_steps(&classes(), &[&[0.1, 0.1], &[0.1, 0.0], &[0.0, 0.0]]), [None, liver()]);
    }

    #[test]
    fn a_single_class_is_tried_once() {
        let (metric, classes) = (dice(), [Class::of_label(1, "liver")]);
        let means = |score| Ok::<_, Infallible>(Means { classes: vec![Some(score)], mean: Some(score) });
        let score = |steps: &[Postprocess]| means(0.5 + 0.1 * steps.len() as f64);
        let trials = determine(ClassMetric { metric: &metric, classes: &classes }, &[1], score).unwrap();
        assert_eq!((trials.len(), trials[0].is_accepted), (1, true));
    }

    #[test]
    fn lower_distances_are_better_and_undefined_scores_are_neither() {
        let classes = classes();
        let hd95: Metric = serde_yaml::from_str("!hd95 {}").unwrap();
        let metric = ClassMetric { metric: &hd95, classes: &classes };
        assert_eq!(metric.compare(Some(1.0), Some(2.0)), Ordering::Greater);
        assert_eq!(metric.compare(None, Some(2.0)), Ordering::Equal);
        let dice = dice();
        assert_eq!(ClassMetric { metric: &dice, classes: &classes }.compare(Some(1.0), Some(2.0)), Ordering::Less);
    }
}
