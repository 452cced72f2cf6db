//! The evidence in sentences.

use std::fmt::Write as _;

use super::significance::{SIGNIFICANCE_LEVEL, is_significantly_lower, mean_agrees_with_ranks, seed_half_width};
use crate::comparison::{Comparison, Difference, Group, Setting, Subject};
use crate::format::{count, estimate_text, interval_text, p_value};
use crate::statistics::min_p_value;
use metrics::Unit;

/// A setting with more than this fraction of the sum of squares dominates the seed variation.
const DOMINANT_FRACTION: f64 = 0.8;

/// Describes a score as in `mean Dice 0.842 (95 % CI 0.801 to 0.871) over 6 cases; 2 seeds`.
pub(super) fn score(group: &Group, setting: &Setting) -> String {
    let has_more_runs = setting.runs.len() > setting.num_seeds;
    let runs = if has_more_runs { format!(", {} runs", setting.runs.len()) } else { String::new() };
    let (cases, seeds) = (count(setting.cases.len(), "case"), count(setting.num_seeds, "seed"));
    let mean = format!("mean {} {} over {cases}", group.metric.title, estimate_text(&group.metric, &setting.mean));
    match group.subject {
        Subject::Runs => format!("{mean}; {seeds}{runs}"),
        Subject::Predictions | Subject::Candidates => mean,
    }
}

/// Compares a setting with the best: the difference, whether cases or seeds explain it, and labels with the opposite
/// order.
pub(super) fn pair(group: &Group, pair: &Comparison) -> String {
    let other = &group.settings[pair.b];
    let difference = &pair.mean;
    let Some(mean) = difference.estimate.mean else {
        return format!("{}: no defined score on the cases of the best.", other.short_name);
    };
    let metric = &group.metric;
    let interval = interval_text(metric, difference.estimate.interval);
    let [better, worse] = if metric.is_higher_better() { ["higher", "lower"] } else { ["lower", "higher"] };
    let size = if mean < 0.0 {
        format!("{} {better} than the best on the common cases", metric.quantity(-mean))
    } else {
        format!("{} {worse} than the best", metric.quantity(mean))
    };
    let mut text = format!("{}: {size}{interval}; {}", other.short_name, over_cases(group, difference));
    text.push_str(&over_seeds(group, pair));
    let differences = pair.labels.iter().zip(&group.labels);
    let better: Vec<&str> = differences.filter(|(d, _)| is_significantly_lower(d)).map(|(_, l)| l.as_str()).collect();
    if !better.is_empty() {
        let _ =
            write!(text, " {} scores significantly better for {} (over cases).", other.short_name, better.join(", "));
    }
    text
}

/// Describes the result of the test over cases.
fn over_cases(group: &Group, difference: &Difference) -> String {
    let (Some(test), Some(adjusted)) = (difference.test, difference.adjusted_p_value) else {
        return "no case differs".to_owned();
    };
    // Holm's correction counts the pairs with a test.
    let num_pairs = group.comparisons.iter().filter(|pair| pair.mean.test.is_some()).count();
    let p = match num_pairs {
        1 => format!("Wilcoxon p {}", p_value(test.p_value)),
        _ => format!("Wilcoxon p {}, Holm-adjusted {}", p_value(test.p_value), p_value(adjusted)),
    };
    let cases = count(difference.num_cases, "case");
    if adjusted < SIGNIFICANCE_LEVEL && !mean_agrees_with_ranks(difference) {
        return format!("a few cases dominate the mean, and most of the {cases} point the other way ({p})");
    }
    if adjusted < SIGNIFICANCE_LEVEL {
        return format!("significant over {cases} ({p})");
    }
    let smallest = (min_p_value(test.num_nonzero) * num_pairs as f64).min(1.0);
    if smallest >= SIGNIFICANCE_LEVEL {
        let few = if test.num_nonzero == difference.num_cases {
            format!("{cases} are")
        } else {
            format!("{} of {cases} differ,", test.num_nonzero)
        };
        return format!("{few} too few for significance ({p}; the smallest possible p is {})", p_value(smallest));
    }
    format!("not significant over {cases} ({p})")
}

/// Describes the comparison with the variation between seeds, as the continuation of [`over_cases`].
fn over_seeds(group: &Group, pair: &Comparison) -> String {
    if group.subject != Subject::Runs {
        return ".".to_owned();
    }
    let (Some(half_width), Some(mean)) = (seed_half_width(group, pair), pair.mean.estimate.mean) else {
        return ".".to_owned();
    };
    if mean == 0.0 {
        return ".".to_owned();
    }
    let runs = runs_per_setting(group, pair);
    // A bound beyond the whole range of scores says only that there are too few seeds.
    if half_width > max_gap(group, pair) {
        return format!(". {runs} are too few to tell how large a gap the seed alone can make.");
    }
    let bound = match group.comparisons.len() {
        1 => "95 % t bound".to_owned(),
        pairs => format!("95 % t bound, corrected for {pairs} pairs"),
    };
    let gap = group.metric.quantity(half_width);
    let conclusion = if mean.abs() > half_width { "and this one is larger" } else { "so this one could too" };
    format!(". With {runs}, a gap of up to {gap} could come from the seed alone ({bound}), {conclusion}.")
}

/// Returns the numbers of runs of a pair, as in `2 seeds per setting`.
fn runs_per_setting(group: &Group, pair: &Comparison) -> String {
    let noun = if group.has_folds() { "run" } else { "seed" };
    match pair.num_runs {
        [a, b] if a == b => format!("{} per setting", count(a, noun)),
        [a, b] => format!("{a} and {}", count(b, noun)),
    }
}

/// Returns the largest gap that scores can have: 1 of ratios, otherwise the larger mean.
fn max_gap(group: &Group, pair: &Comparison) -> f64 {
    if group.metric.is_higher_better() && group.metric.unit == Unit::Ratio {
        return 1.0;
    }
    let means = [pair.a, pair.b].map(|setting| group.settings[setting].mean.mean.unwrap_or(0.0));
    means[0].max(means[1])
}

/// Describes the variation between seeds and how it was estimated.
pub(super) fn seed_variation(group: &Group) -> String {
    if group.subject != Subject::Runs {
        return "The tests are over cases. It is unknown how much the scores would change with another seed."
            .to_owned();
    }
    let Some(variation) = group.seed_variation else {
        return "The variation between seeds is unknown: no setting was trained with a second seed on the same cases. \
                Add `seed: [1, 2, 3]` to the sweep before trusting a small difference."
            .to_owned();
    };
    let method = if group.key.split_depends_on_seed && is_residual(group) {
        "residual after the effects of settings and validation cases, because each seed has its own split"
    } else {
        "between runs that differ only in the seed, pooled over settings"
    };
    let degrees = count(variation.degrees_of_freedom, "degree");
    let (title, deviation) = (&group.metric.title, group.metric.quantity(variation.standard_deviation));
    let mut text = format!(
        "Standard deviation of a run's mean {title} between seeds: {deviation} ({method}; {degrees} of freedom)."
    );
    if let Some(setting) = dominant_setting(group) {
        let name = &setting.short_name;
        let _ = write!(text, " Most of it comes from {name}, so it overestimates the variation of the other settings.");
    }
    text
}

/// Returns the setting that dominates the seed variation, if several settings contribute.
fn dominant_setting(group: &Group) -> Option<&Setting> {
    let variations = group.settings.iter().filter_map(|setting| Some((setting, setting.seed_variation()?)));
    let sums_of_squares: Vec<(&Setting, f64)> = variations
        .map(|(setting, variation)| {
            (setting, variation.standard_deviation.powi(2) * variation.degrees_of_freedom as f64)
        })
        .collect();
    let total: f64 = sums_of_squares.iter().map(|(_, squares)| squares).sum();
    let (setting, largest) = sums_of_squares.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (sums_of_squares.len() > 1 && largest > DOMINANT_FRACTION * total).then_some(setting)
}

/// Returns whether no setting has two runs on the same cases, so that the variation is a residual.
fn is_residual(group: &Group) -> bool {
    group.settings.iter().all(|setting| setting.max_block_size() < 2)
}
