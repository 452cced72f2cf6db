//! The statistical methods of a report, in words: of what its tables show.

use metrics::Better;

use crate::comparison::{Group, Subject};
use crate::tables::{has_several_runs, labels_with_misses};

/// Returns the methods of the tables of some groups. Names of columns are between backticks.
pub fn methods(groups: &[&Group]) -> String {
    let mut sentences: Vec<String> = Vec::new();
    let is_of_runs = groups.iter().any(|group| group.subject == Subject::Runs);
    if is_of_runs {
        sentences.push(
            "Runs are comparable if their labels, metric convention, data and split agree; all others are in groups of \
             their own. Runs that differ only in seed and fold are one setting."
                .to_owned(),
        );
    }
    if groups.iter().any(|group| has_several_runs(group)) {
        sentences.push("The score of a case is its mean over the runs of the setting.".to_owned());
    }
    let mut metrics: Vec<&Group> = Vec::new();
    for group in groups {
        if !metrics.iter().any(|known| known.metric == group.metric) {
            metrics.push(group);
        }
    }
    sentences.extend(metrics.iter().flat_map(|group| means(group)));
    sentences.extend(metrics.iter().filter_map(|group| misses(groups, group)));
    sentences.push(
        "Confidence intervals (CI) are 95 % percentile bootstrap intervals over cases with 5000 samples; samples without a \
         defined score of some label are discarded, and a label with a single score has no interval."
            .to_owned(),
    );
    if groups.iter().any(|group| !group.comparisons.is_empty()) {
        sentences.extend(comparisons(groups[0].setting_noun(), is_of_runs));
    }
    sentences.join(" ")
}

/// Describes the means of a metric.
fn means(group: &Group) -> Vec<String> {
    let title = &group.metric.title;
    let mean = format!(
        "The {title} of a label is the mean over cases with a defined score, and the mean {title} is the mean over labels."
    );
    let size = "Values below and above 0 would cancel, so the absolute value of each case is compared.".to_owned();
    let is_difference = group.metric.better == Better::NearerToZero;
    [mean].into_iter().chain(is_difference.then_some(size)).collect()
}

/// Describes the columns of missed cases, if a group with this metric has them.
fn misses(groups: &[&Group], group: &Group) -> Option<String> {
    let is_shown = |other: &&&Group| other.metric == group.metric && !labels_with_misses(other).is_empty();
    groups.iter().find(is_shown)?;
    let title = &group.metric.title;
    Some(match group.metric.is_higher_better() {
        true => format!(
            "`{title} … = 0` is the percentage of a label's scores, over cases and runs, that are 0: the label was missed \
             completely, or predicted where there is none."
        ),
        false => format!(
            "`{title} … undefined` is the percentage of a label's cases, over all runs, without a finite score: the label is \
             missing in the reference or in the prediction. These cases are in no mean."
        ),
    })
}

/// Describes the tests between settings.
fn comparisons(noun: &str, is_of_runs: bool) -> Vec<String> {
    let test = format!(
        "Two {noun}s are compared case by case, on the cases that both were scored on, with the two-sided Wilcoxon \
         signed-rank test (zero differences dropped; exact up to 50 cases, then the normal approximation) and Holm's \
         correction for all pairs of {noun}s, separately for each score."
    );
    let seeds = "The standard deviation between seeds is that of the mean scores of the runs of a setting on the same cases, \
        pooled over settings; if each seed has its own cases, it is the residual after the effects of settings and cases. \
        The gap that could come from the seed alone is the 95 % bound of the difference between the means of two settings \
        that differ in nothing but their seeds (Student's t with this standard deviation, with Bonferroni's correction for \
        all pairs). A setting is significantly better than another if the Holm-adjusted p is below 0.05, the ranks of the \
        cases favour it too, the difference is larger than the gap that could come from the seed alone, and none of its \
        runs is missing.";
    let cases = format!(
        "A {noun} is significantly better than another if the Holm-adjusted p is below 0.05 and the ranks of the cases \
         favour it too."
    );
    vec![test, if is_of_runs { seeds.to_owned() } else { cases }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::test_runs::run;
    use crate::comparison::{ComparedEpoch, compare};

    fn methods_of(scores: &[f64]) -> String {
        methods(&compare(vec![run("a", "lr: 1", scores)], ComparedEpoch::Best).iter().collect::<Vec<_>>())
    }

    #[test]
    fn what_is_compared_is_called_what_it_is() {
        let mut groups =
            compare(vec![run("a", "lr: 1", &[0.5, 0.6]), run("b", "lr: 2", &[0.4, 0.7])], ComparedEpoch::Best);
        groups[0].subject = Subject::Candidates;
        let text = methods(&groups.iter().collect::<Vec<_>>());
        assert!(
            text.contains("Two candidates are compared") && text.contains("A candidate is significantly"),
            "{text}"
        );
    }

    #[test]
    fn only_columns_and_tests_that_are_shown_are_explained() {
        assert!(methods_of(&[0.0, 0.5]).contains("`Dice … = 0`"));
        let without = methods_of(&[0.4, 0.5]);
        assert!(!without.contains("= 0`") && !without.contains("Wilcoxon"), "{without}");
    }
}
