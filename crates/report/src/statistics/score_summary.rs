//! ScoreTable of cases in numbers: what `evaluate` says about a set of them.

use super::{Bootstrap, ConfidenceInterval, mean, percentile};

/// ScoreTable of many cases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoreTable {
    /// The names of the scores, such as `dice_liver`.
    pub columns: Vec<String>,
    /// The name of each case and its scores; `None` where one is undefined.
    pub cases: Vec<(String, Vec<Option<f64>>)>,
}

/// How one score is spread over cases.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreSummary {
    /// The score's name.
    pub name: String,
    /// Cases in which it is defined.
    pub cases: usize,
    /// Cases in which it is not.
    pub undefined: usize,
    /// The mean; infinite where a case is.
    pub mean: Option<f64>,
    /// The standard deviation, of at least two finite scores.
    pub deviation: Option<f64>,
    /// The median.
    pub median: Option<f64>,
    /// The percentile bootstrap's 95 % interval of the mean over cases.
    pub interval: Option<ConfidenceInterval>,
    /// The smallest.
    pub low: Option<f64>,
    /// The largest.
    pub high: Option<f64>,
}

impl ScoreTable {
    /// The scores of one column, case by case.
    pub fn column(&self, index: usize) -> Vec<Option<f64>> {
        self.cases.iter().map(|(_, scores)| scores[index]).collect()
    }

    /// How each score is spread over the cases.
    pub fn summaries(&self) -> Vec<ScoreSummary> {
        let bootstrap = Bootstrap::new(self.cases.len());
        (0..self.columns.len()).map(|index| spread(&self.columns[index], self.column(index), &bootstrap)).collect()
    }

    /// The places of the cases, worst first, by the mean of some of their scores; `lower` says that those nearest to 0 are best.
    ///
    /// A case without any of these scores comes last: nothing is known to be wrong with it.
    pub fn worst_first(&self, columns: &[usize], lower: bool) -> Vec<usize> {
        let badness = |case: usize| {
            let badness = |score: f64| if lower { score.abs() } else { -score };
            let scores = columns.iter().filter_map(|column| self.cases[case].1[*column]);
            mean(scores.map(badness)).unwrap_or(f64::NEG_INFINITY)
        };
        let mut order: Vec<usize> = (0..self.cases.len()).collect();
        order.sort_by(|a, b| badness(*b).total_cmp(&badness(*a)));
        order
    }
}

fn spread(name: &str, scores: Vec<Option<f64>>, bootstrap: &Bootstrap) -> ScoreSummary {
    let mut defined: Vec<f64> = scores.iter().flatten().copied().collect();
    defined.sort_by(f64::total_cmp);
    let mean = mean(defined.iter().copied());
    let deviation = mean.filter(|mean| defined.len() > 1 && mean.is_finite()).map(|mean| {
        let squares: f64 = defined.iter().map(|score| (score - mean).powi(2)).sum();
        (squares / (defined.len() - 1) as f64).sqrt()
    });
    ScoreSummary {
        name: name.to_owned(),
        cases: defined.len(),
        undefined: scores.len() - defined.len(),
        mean,
        deviation,
        median: percentile(&defined, 0.5),
        interval: bootstrap.interval(&[scores]),
        low: defined.first().copied(),
        high: defined.last().copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(column: &[Option<f64>]) -> ScoreTable {
        let cases = column.iter().enumerate().map(|(i, score)| (format!("case_{i}"), vec![*score])).collect();
        ScoreTable { columns: vec!["dice_liver".to_owned()], cases }
    }

    #[test]
    fn undefined_scores_are_counted_and_in_no_number() {
        let spread = scores(&[Some(0.5), None, Some(1.0), Some(0.75)]).summaries().remove(0);
        assert_eq!((spread.cases, spread.undefined), (3, 1));
        assert_eq!((spread.mean, spread.median, spread.deviation), (Some(0.75), Some(0.75), Some(0.25)));
        let interval = spread.interval.unwrap();
        assert!(interval.low >= 0.5 && interval.low < 0.75 && interval.high > 0.75, "{interval:?}");
    }

    #[test]
    fn an_infinite_distance_makes_the_mean_infinite_but_not_the_median() {
        let spread = scores(&[Some(1.0), Some(f64::INFINITY), Some(2.0)]).summaries().remove(0);
        assert_eq!((spread.mean, spread.median, spread.deviation), (Some(f64::INFINITY), Some(2.0), None));
    }

    #[test]
    fn the_worst_case_comes_first_and_one_without_scores_last() {
        let scores = scores(&[Some(0.5), None, Some(0.1), Some(0.9)]);
        assert_eq!(scores.worst_first(&[0], false), [2, 0, 3, 1]);
        assert_eq!(scores.worst_first(&[0], true), [3, 0, 2, 1]);
        let differences = self::scores(&[Some(0.2), Some(-1.0), Some(0.0)]);
        assert_eq!(differences.worst_first(&[0], true), [1, 0, 2]);
    }
}
