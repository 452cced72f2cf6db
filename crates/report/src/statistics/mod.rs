//! What an honest comparison needs: intervals, a paired test, its correction, and the noise between seeds.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use random::{Purpose, Rng, Seed};

mod score_summary;

pub use score_summary::{ScoreSummary, ScoreTable};

/// How often cases are drawn again for an interval.
const RESAMPLES: usize = 5000;

/// The largest number of differences whose p-value is exact.
const MAX_EXACT: usize = 50;

/// Draws of cases with replacement, the same ones for every score of the same cases.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    num_cases: usize,
    draws: Vec<u32>,
}

/// The bounds of a 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfidenceInterval {
    /// The 2.5th percentile.
    pub low: f64,
    /// The 97.5th percentile.
    pub high: f64,
}

/// The outcome of a test of paired differences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignedRankTest {
    /// How probable differences at least as one-sided as these are if neither side is better.
    pub p: f64,
    /// Whether the ranks speak for positive differences; the mean may have the other sign.
    pub is_positive: bool,
    /// Differences that are not zero.
    pub used: usize,
    /// Whether p is exact; of more than 50 differences it is the normal approximation.
    pub exact: bool,
}

/// How much the mean score of a run varies when nothing but its seed does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeedVariation {
    /// The standard deviation.
    pub deviation: f64,
    /// Degrees of freedom behind it.
    pub degrees: usize,
}

impl Bootstrap {
    /// Draws for so many cases; the same number of cases gives the same draws.
    pub fn new(num_cases: usize) -> Self {
        let mut rng: Rng = Seed(0).stream(Purpose::Bootstrap, 0, "", num_cases as u64);
        let draws = (0..RESAMPLES * num_cases).map(|_| rng.below(num_cases as u64) as u32).collect();
        Self { num_cases, draws }
    }

    /// The percentile interval of the mean over labels of the mean over cases.
    ///
    /// `columns` holds the scores of each label, in the order of the cases; an undefined score is in no mean. Draws
    /// that miss every defined score of a label are left out: their mean would be that of the other labels. One score
    /// of a label alone has no interval.
    pub fn interval(&self, columns: &[Vec<Option<f64>>]) -> Option<ConfidenceInterval> {
        let defined: Vec<_> = columns.iter().filter(|scores| scores.iter().any(Option::is_some)).collect();
        if defined.is_empty() || defined.iter().any(|scores| scores.iter().flatten().count() < 2) {
            return None;
        }
        let mean = |cases: &[u32]| {
            let column = |scores: &&Vec<Option<f64>>| mean(cases.iter().filter_map(|case| scores[*case as usize]));
            self::mean(defined.iter().map(column).collect::<Option<Vec<f64>>>()?)
        };
        let mut means: Vec<f64> = self.draws.chunks_exact(self.num_cases).filter_map(mean).collect();
        means.sort_by(f64::total_cmp);
        Some(ConfidenceInterval { low: percentile(&means, 0.025)?, high: percentile(&means, 0.975)? })
    }
}

/// The mean; of nothing there is none.
pub fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0usize);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / count as f64)
}

/// A percentile of sorted values, interpolated linearly as NumPy does by default.
pub fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    let (low, high, share) = (sorted[below], sorted[above], place - below as f64);
    // Between equal values, which may be infinite, there is nothing to interpolate.
    Some(if share == 0.0 || low == high { low } else { low + (high - low) * share })
}

/// BoxPlotStatistics, and whiskers to the farthest case within 1.5 times their distance (Tukey).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxPlotStatistics {
    /// The end of the lower whisker.
    pub low: f64,
    /// The 25th percentile.
    pub quarter: f64,
    /// The 50th percentile.
    pub median: f64,
    /// The 75th percentile.
    pub three_quarters: f64,
    /// The end of the upper whisker.
    pub high: f64,
}

impl BoxPlotStatistics {
    /// Of some finite scores; of none there are none.
    pub fn of(scores: &[f64]) -> Option<Self> {
        let mut sorted = scores.to_vec();
        sorted.sort_by(f64::total_cmp);
        let [quarter, median, three_quarters] = [0.25, 0.5, 0.75].map(|share| percentile(&sorted, share));
        let (quarter, median, three_quarters) = (quarter?, median?, three_quarters?);
        let reach = 1.5 * (three_quarters - quarter);
        let within = |score: &&f64| (quarter - reach..=three_quarters + reach).contains(*score);
        let low = sorted.iter().find(within).map_or(quarter, |low| low.min(quarter));
        let high = sorted.iter().rev().find(within).map_or(three_quarters, |high| high.max(three_quarters));
        Some(Self { low, quarter, median, three_quarters, high })
    }
}

/// Wilcoxon's signed-rank test, two-sided; differences of zero are left out.
///
/// Up to 50 differences p is exact, also where some are equal (Pratt and Gibbons, Concepts of Nonparametric
/// Theory, 1981, chapter 3): the sum of ranks is compared with all 2ⁿ ways to choose the signs. Beyond, it is
/// the normal approximation with the correction for ties. `None` where no difference is left.
///
/// Differences that are equal but for rounding are equal: of scores up to 1, twelve digits count.
pub fn wilcoxon_signed_rank(differences: &[f64]) -> Option<SignedRankTest> {
    let rounded = |value: &f64| (value * 1e12).round() / 1e12;
    let mut used: Vec<f64> = differences.iter().map(rounded).filter(|value| *value != 0.0).collect();
    if used.is_empty() {
        return None;
    }
    used.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let ranks = doubled_ranks(&used);
    let positive: usize = used.iter().zip(&ranks).filter(|(value, _)| **value > 0.0).map(|(_, rank)| rank).sum();
    let exact = used.len() <= MAX_EXACT;
    let p = if exact { exact_p(&ranks, positive) } else { normal_p(&ranks, positive) };
    let is_positive = 2 * positive > ranks.iter().sum();
    Some(SignedRankTest { p, is_positive, used: used.len(), exact })
}

/// Twice the rank of each value by its size; equal ones share the mean of theirs, so doubling makes all whole.
fn doubled_ranks(sorted: &[f64]) -> Vec<usize> {
    let mut ranks = Vec::with_capacity(sorted.len());
    for equal in sorted.chunk_by(|a, b| a.abs() == b.abs()) {
        let first = ranks.len() + 1;
        ranks.extend(std::iter::repeat_n(2 * first + equal.len() - 1, equal.len()));
    }
    ranks
}

fn exact_p(ranks: &[usize], positive: usize) -> f64 {
    let total: usize = ranks.iter().sum();
    // ways[s]: in how many ways signs can be chosen so that the positive ranks sum to s.
    let mut ways = vec![0.0; total + 1];
    ways[0] = 1.0;
    let mut reached = 0;
    for rank in ranks {
        reached += rank;
        for sum in (*rank..=reached).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    // The distribution is symmetric: the smaller tail is that of the smaller sum.
    let tail: f64 = ways[..=positive.min(total - positive)].iter().sum();
    (2.0 * tail / 2f64.powi(ranks.len() as i32)).min(1.0)
}

fn normal_p(ranks: &[usize], positive: usize) -> f64 {
    let n = ranks.len() as f64;
    let ties = ranks.chunk_by(|a, b| a == b).map(|equal| (equal.len() as f64).powi(3) - equal.len() as f64);
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties.sum::<f64>() / 48.0;
    let distance = (positive as f64 / 2.0 - n * (n + 1.0) / 4.0).abs();
    (2.0 * Normal::standard().sf(distance / variance.sqrt())).min(1.0)
}

/// The smallest p that a test of so many differences can have.
pub fn smallest_p(differences: usize) -> f64 {
    2.0 / 2f64.powi(differences as i32)
}

/// Holm's correction (1979) of p-values for their number, in their order.
pub fn holm_adjust(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut corrected = vec![0.0; p.len()];
    let mut largest: f64 = 0.0;
    for (place, index) in order.into_iter().enumerate() {
        largest = largest.max((p.len() - place) as f64 * p[index]).min(1.0);
        corrected[index] = largest;
    }
    corrected
}

impl SeedVariation {
    /// The pooled standard deviation within groups of runs that differ in nothing but the seed.
    pub fn within(groups: &[Vec<f64>]) -> Option<Self> {
        let degrees = groups.iter().map(|group| group.len().saturating_sub(1)).sum();
        let squares: f64 = groups
            .iter()
            .filter_map(|group| {
                let mean = mean(group.iter().copied())?;
                Some(group.iter().map(|value| (value - mean).powi(2)).sum::<f64>())
            })
            .sum();
        (degrees > 0).then(|| Self { deviation: (squares / degrees as f64).sqrt(), degrees })
    }

    /// Where each seed has validation cases of its own, what is left once settings and cases are taken out: the
    /// residuals of the additive model over a table of settings (rows) and seeds (columns).
    pub fn residual(table: &[Vec<f64>]) -> Option<Self> {
        let columns = table.first()?.len();
        let degrees = (table.len() - 1) * columns.saturating_sub(1);
        let rows: Vec<f64> = table.iter().filter_map(|row| mean(row.iter().copied())).collect();
        let over_rows = |column: usize| mean(table.iter().map(|row| row[column]));
        let means: Vec<f64> = (0..columns).filter_map(over_rows).collect();
        let all = mean(rows.iter().copied())?;
        let residual = |row: usize, column: usize| table[row][column] - rows[row] - means[column] + all;
        let pairs = (0..table.len()).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let squares: f64 = pairs.map(|(row, column)| residual(row, column).powi(2)).sum();
        (degrees > 0).then(|| Self { deviation: (squares / degrees as f64).sqrt(), degrees })
    }

    /// Half the 95 % interval of the difference between two means of runs if only seeds differ, one of so many such
    /// intervals that all hold at once (Bonferroni). `share` is the variance of the difference in units of that of a
    /// run: `1 / a + 1 / b` for the plain means of a and of b runs.
    pub fn half_width(&self, share: f64, pairs: usize) -> f64 {
        let student = StudentsT::new(0.0, 1.0, self.degrees as f64).expect("degrees of freedom are positive");
        student.inverse_cdf(1.0 - 0.025 / pairs.max(1) as f64) * self.deviation * share.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinite_scores_have_percentiles_too() {
        let sorted = [1.0, f64::INFINITY, f64::INFINITY, f64::INFINITY];
        assert_eq!(percentile(&sorted, 0.5), Some(f64::INFINITY));
        let scores = vec![Some(1.0), Some(2.0), Some(3.0), Some(f64::INFINITY), Some(f64::INFINITY)];
        let interval = Bootstrap::new(5).interval(&[scores]).unwrap();
        assert!(interval.low >= 1.0 && interval.high == f64::INFINITY, "{interval:?}");
    }

    #[test]
    fn whiskers_end_at_the_farthest_case_that_is_no_outlier() {
        let summary = BoxPlotStatistics::of(&[0.0, 0.7, 0.8, 0.8, 0.9, 1.0]).unwrap();
        assert_eq!((summary.low, summary.median, summary.high), (0.7, 0.8, 1.0));
        assert!(BoxPlotStatistics::of(&[]).is_none());
    }

    #[test]
    fn three_wins_of_three_have_a_p_of_a_quarter() {
        let test = wilcoxon_signed_rank(&[0.1, 0.0, 0.2, 0.3]).unwrap();
        assert_eq!(test, SignedRankTest { p: 0.25, is_positive: true, used: 3, exact: true });
        assert_eq!(smallest_p(3), 0.25);
    }

    #[test]
    fn equal_differences_share_their_rank() {
        assert_eq!(doubled_ranks(&[1.0, -1.0, 2.0]), [3, 3, 6]);
        // Signs of ranks 1.5, 1.5 and 3: sums 0, 1.5, 1.5, 3, 3, 4.5, 4.5, 6; the sum here is 4.5.
        assert_eq!(wilcoxon_signed_rank(&[1.0, -1.0, 2.0]).unwrap().p, 0.75);
    }

    #[test]
    fn what_differs_by_rounding_alone_is_equal() {
        assert_eq!(wilcoxon_signed_rank(&[0.1 + 0.2 - 0.3]), None);
        assert_eq!(
            wilcoxon_signed_rank(&[0.1 + 0.2, -0.3, 1.0]).unwrap().p,
            wilcoxon_signed_rank(&[0.3, -0.3, 1.0]).unwrap().p
        );
    }

    #[test]
    fn ranks_may_speak_against_the_mean() {
        let test = wilcoxon_signed_rank(&[9.0, -0.1, -0.2, -0.3, -0.4, -0.5, -0.6, -0.7]).unwrap();
        assert!(!test.is_positive, "{test:?}");
    }

    #[test]
    fn without_a_difference_there_is_no_test() {
        assert_eq!(wilcoxon_signed_rank(&[0.0, 0.0]), None);
    }

    #[test]
    fn the_normal_approximation_meets_the_exact_value() {
        let differences: Vec<f64> = (1..=50).map(|i| if i % 3 == 0 { -f64::from(i) } else { f64::from(i) }).collect();
        let ranks = doubled_ranks(&differences);
        let positive = ranks.iter().zip(&differences).filter(|(_, d)| **d > 0.0).map(|(rank, _)| rank).sum();
        let (exact, normal) = (exact_p(&ranks, positive), normal_p(&ranks, positive));
        assert!((exact - normal).abs() < 0.002, "{exact} {normal}");
    }

    #[test]
    fn holm_multiplies_the_smallest_by_all_and_never_falls() {
        let corrected = holm_adjust(&[0.04, 0.01, 0.03]);
        assert!(corrected.iter().zip([0.06, 0.03, 0.06]).all(|(got, want)| (got - want).abs() < 1e-12));
        assert_eq!(holm_adjust(&[0.9, 0.8]), [1.0, 1.0]);
    }

    #[test]
    fn the_interval_of_equal_cases_is_a_point_and_of_others_holds_the_mean() {
        let bootstrap = Bootstrap::new(4);
        let same = vec![Some(0.5); 4];
        assert_eq!(bootstrap.interval(&[same]), Some(ConfidenceInterval { low: 0.5, high: 0.5 }));
        let scores = [0.2, 0.4, 0.6, 0.9].map(Some).to_vec();
        let interval = bootstrap.interval(&[scores]).unwrap();
        assert!(interval.low < 0.4 && 0.65 < interval.high, "{interval:?}");
        assert_eq!(Bootstrap::new(1).interval(&[vec![Some(0.5)]]), None);
        assert_eq!(Bootstrap::new(3).interval(&[vec![Some(0.5), None, None]]), None);
    }

    #[test]
    fn a_draw_without_a_score_of_a_label_is_no_draw_of_the_other_labels() {
        let liver = vec![Some(0.95); 10];
        let tumour = (0..10).map(|case| (case < 2).then_some(0.5)).collect();
        let interval = Bootstrap::new(10).interval(&[liver, tumour, vec![None; 10]]).unwrap();
        assert!((interval.low - 0.725).abs() < 1e-12 && (interval.high - 0.725).abs() < 1e-12, "{interval:?}");
    }

    #[test]
    fn ninety_five_intervals_of_a_hundred_hold_the_truth() {
        let mut rng = Seed(7).stream(Purpose::Phantom, 0, "", 0);
        let bootstrap = Bootstrap::new(40);
        let hits = (0..200)
            .filter(|_| {
                let scores = (0..40).map(|_| Some(rng.unit())).collect();
                let interval = bootstrap.interval(&[scores]).unwrap();
                interval.low <= 0.5 && 0.5 <= interval.high
            })
            .count();
        assert!((180..=199).contains(&hits), "{hits} of 200");
    }

    #[test]
    fn noise_is_pooled_within_groups() {
        let noise = SeedVariation::within(&[vec![1.0, 3.0], vec![10.0, 10.0], vec![5.0]]).unwrap();
        assert_eq!(noise, SeedVariation { deviation: 1.0, degrees: 2 });
        assert_eq!(SeedVariation::within(&[vec![1.0]]), None);
        // Student's t at 97.5 % with 2 degrees of freedom is 4.3027.
        assert!((noise.half_width(1.0, 1) - 4.302_652_729_7).abs() < 1e-6, "{}", noise.half_width(1.0, 1));
    }

    #[test]
    fn what_settings_and_seeds_explain_is_no_noise() {
        let additive = SeedVariation::residual(&[vec![0.1, 0.4], vec![0.3, 0.6]]).unwrap();
        assert!(additive.deviation < 1e-12);
        let noise = SeedVariation::residual(&[vec![1.0, 0.0], vec![0.0, 1.0]]).unwrap();
        assert_eq!(noise, SeedVariation { deviation: 1.0, degrees: 1 });
    }
}
