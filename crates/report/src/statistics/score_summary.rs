//! Summary statistics of case scores, as `evaluate` reports them.

use super::{Bootstrap, ConfidenceInterval, mean, quantile};

/// The scores of many cases: a row per case, a column per score.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoreTable {
    /// The names of the scores, such as `dice_liver`.
    pub columns: Vec<String>,
    /// The name and scores of each case; an undefined score is `None`.
    pub cases: Vec<(String, Vec<Option<f64>>)>,
}

/// Summary statistics of one score over cases.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreSummary {
    /// The name of the score.
    pub name: String,
    /// Number of cases with a defined score.
    pub cases: usize,
    /// Number of cases with an undefined score.
    pub undefined: usize,
    /// Mean; infinite if any score is.
    pub mean: Option<f64>,
    /// Sample standard deviation; needs at least two scores, all finite.
    pub standard_deviation: Option<f64>,
    /// Median.
    pub median: Option<f64>,
    /// 95 % percentile bootstrap confidence interval of the mean over cases.
    pub interval: Option<ConfidenceInterval>,
    /// Smallest score.
    pub min: Option<f64>,
    /// Largest score.
    pub max: Option<f64>,
}

impl ScoreTable {
    /// Returns the scores of one column, in the order of the cases.
    pub fn column(&self, index: usize) -> Vec<Option<f64>> {
        self.cases.iter().map(|(_, scores)| scores[index]).collect()
    }

    /// Returns the summary statistics of every column.
    pub fn summaries(&self) -> Vec<ScoreSummary> {
        let bootstrap = Bootstrap::new(self.cases.len());
        (0..self.columns.len()).map(|index| summary(&self.columns[index], self.column(index), &bootstrap)).collect()
    }

    /// Returns the indices of the cases, worst first, by their mean over the given columns.
    ///
    /// If `lower_is_better`, scores closest to 0 are best. Cases without a score in these columns come last.
    pub fn worst_first(&self, columns: &[usize], lower_is_better: bool) -> Vec<usize> {
        let badness = |case: usize| {
            let badness = |score: f64| if lower_is_better { score.abs() } else { -score };
            let scores = columns.iter().filter_map(|column| self.cases[case].1[*column]);
            mean(scores.map(badness)).unwrap_or(f64::NEG_INFINITY)
        };
        let mut order: Vec<usize> = (0..self.cases.len()).collect();
        order.sort_by(|a, b| badness(*b).total_cmp(&badness(*a)));
        order
    }
}

fn summary(name: &str, scores: Vec<Option<f64>>, bootstrap: &Bootstrap) -> ScoreSummary {
    let mut defined: Vec<f64> = scores.iter().flatten().copied().collect();
    defined.sort_by(f64::total_cmp);
    let mean = mean(defined.iter().copied());
    let standard_deviation = mean.filter(|mean| defined.len() > 1 && mean.is_finite()).map(|mean| {
        let sum_of_squares: f64 = defined.iter().map(|score| (score - mean).powi(2)).sum();
        (sum_of_squares / (defined.len() - 1) as f64).sqrt()
    });
    ScoreSummary {
        name: name.to_owned(),
        cases: defined.len(),
        undefined: scores.len() - defined.len(),
        mean,
        standard_deviation,
        median: quantile(&defined, 0.5),
        interval: bootstrap.interval(&[scores]),
        min: defined.first().copied(),
        max: defined.last().copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(column: &[Option<f64>]) -> ScoreTable {
        let cases = column.iter().enumerate().map(|(i, score)| (format!("case_{i}"), vec![*score])).collect();
        ScoreTable { columns: vec!["dice_liver".to_owned()], cases }
    }

    #[test]
    fn undefined_scores_are_counted_and_otherwise_ignored() {
        let summary = table(&[Some(0.5), None, Some(1.0), Some(0.75)]).summaries().remove(0);
        assert_eq!((summary.cases, summary.undefined), (3, 1));
        assert_eq!((summary.mean, summary.median, summary.standard_deviation), (Some(0.75), Some(0.75), Some(0.25)));
        let interval = summary.interval.unwrap();
        assert!(interval.low >= 0.5 && interval.low < 0.75 && interval.high > 0.75, "{interval:?}");
    }

    #[test]
    fn an_infinite_distance_makes_the_mean_infinite_but_not_the_median() {
        let summary = table(&[Some(1.0), Some(f64::INFINITY), Some(2.0)]).summaries().remove(0);
        let statistics = (summary.mean, summary.median, summary.standard_deviation);
        assert_eq!(statistics, (Some(f64::INFINITY), Some(2.0), None));
    }

    #[test]
    fn the_worst_case_comes_first_and_cases_without_scores_last() {
        let scores = table(&[Some(0.5), None, Some(0.1), Some(0.9)]);
        assert_eq!(scores.worst_first(&[0], false), [2, 0, 3, 1]);
        assert_eq!(scores.worst_first(&[0], true), [3, 0, 2, 1]);
        let differences = table(&[Some(0.2), Some(-1.0), Some(0.0)]);
        assert_eq!(differences.worst_first(&[0], true), [1, 0, 2]);
    }
}
