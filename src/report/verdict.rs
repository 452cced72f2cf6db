//! What follows from a comparison, in plain sentences: which setting is better, and can that be believed?

use std::fmt::Write as _;

use super::compare::{Comparison, Difference, Epoch, Estimate, Group, Setting};
use super::statistics::smallest_p;

/// The error that is accepted: one false alarm in twenty reports.
const LEVEL: f64 = 0.05;

/// Settings that are compared with the best in a sentence of their own.
const TOLD: usize = 5;

/// What a report says about a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// The conclusion in a sentence.
    pub headline: String,
    /// What it rests on.
    pub sentences: Vec<String>,
    /// What to keep in mind before believing it.
    pub warnings: Vec<String>,
}

impl Verdict {
    /// What follows from a group.
    pub fn of(group: &Group) -> Self {
        let mut verdict = Self { warnings: warnings(group), ..Self::default() };
        let Some(best) = group.settings.first() else {
            verdict.headline = "No run has come to its end with scored volumes; nothing is compared.".to_owned();
            return verdict;
        };
        if group.settings.len() == 1 {
            verdict.headline = format!("One setting: {}.", scored(best));
            return verdict;
        }
        let against_best: Vec<&Comparison> = group.comparisons.iter().filter(|pair| pair.a == 0).collect();
        let unclear: Vec<&str> = against_best
            .iter()
            .filter(|pair| !is_clear(group, pair))
            .map(|pair| group.settings[pair.b].name.as_str())
            .collect();
        let unpaired = group.settings.len() - 1 - against_best.len();
        verdict.headline = headline(best, group.settings.len() - 1, &unclear, unpaired);
        verdict.sentences.push(format!("{}: {}.", best.name, scored(best)));
        verdict.sentences.extend(against_best.iter().take(TOLD).map(|pair| pair_sentence(group, pair)));
        if against_best.len() > TOLD {
            let more = against_best.len() - TOLD;
            verdict.sentences.push(format!("{more} more settings are behind; comparisons.csv has every pair."));
        }
        verdict.sentences.push(noise_sentence(group));
        verdict
    }
}

/// `unclear` names the settings that the best may lead by chance.
fn headline(best: &Setting, others: usize, unclear: &[&str], unpaired: usize) -> String {
    let name = &best.name;
    match (unclear.len(), unpaired) {
        (0, 0) if others == 1 => format!("{name} is better than the other setting, beyond chance."),
        (0, 0) => format!("{name} is better than each of the {others} other settings, beyond chance."),
        (count, 0) if count == others => {
            format!("{name} leads, but its lead over {} may be chance.", the_others(others))
        }
        (1 | 2, 0) => {
            format!("{name} leads; its lead over {} of {others} others may be chance.", unclear.join(" and "))
        }
        (count, 0) => format!("{name} leads; its lead over {count} of the {others} other settings may be chance."),
        _ => format!("{name} leads, but {unpaired} of the {others} other settings share no validation cases with it."),
    }
}

fn the_others(others: usize) -> String {
    if others == 1 { "the other setting".to_owned() } else { format!("each of the {others} others") }
}

/// Whether a difference is beyond what cases and seeds explain.
pub fn is_clear(group: &Group, pair: &Comparison) -> bool {
    beyond_cases(&pair.mean) && beyond_seeds(group, pair) == Some(true)
}

fn beyond_cases(difference: &Difference) -> bool {
    difference.corrected.is_some_and(|p| p < LEVEL)
}

/// Whether the difference is larger than what seeds alone explain; unknown where nothing tells the noise.
fn beyond_seeds(group: &Group, pair: &Comparison) -> Option<bool> {
    let [a, b] = [pair.a, pair.b].map(|place| group.settings[place].rows.len());
    let (noise, size) = (group.noise?, pair.mean.estimate.mean?.abs());
    Some(size > noise.half_width(a, b).max(noise.deviation))
}

/// `mean Dice 0.842 (95 % interval 0.801 to 0.871 over 6 cases; 2 seeds)`.
fn scored(setting: &Setting) -> String {
    let folds =
        if setting.rows.len() > setting.seeds { format!(", {} runs", setting.rows.len()) } else { String::new() };
    let (cases, seeds) = (count(setting.cases.len(), "case"), count(setting.seeds, "seed"));
    format!("mean Dice {} over {cases}; {seeds}{folds}", with_interval(&setting.mean))
}

/// `0.842 (95 % interval 0.801 to 0.871)`.
pub fn with_interval(estimate: &Estimate) -> String {
    let mut text = estimate.mean.map_or_else(|| "undefined".to_owned(), three);
    if let Some(interval) = estimate.interval {
        let _ = write!(text, " (95 % interval {} to {})", three(interval.low), three(interval.high));
    }
    text
}

/// A score to three digits; what rounds to zero has no sign.
pub fn three(score: f64) -> String {
    let text = format!("{score:.3}");
    if text == "-0.000" { "0.000".to_owned() } else { text }
}

/// `1 case`, `2 cases`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// How far a setting is behind the best, whether cases or seeds may explain it, and where labels disagree.
fn pair_sentence(group: &Group, pair: &Comparison) -> String {
    let other = &group.settings[pair.b];
    let difference = &pair.mean;
    let Some(mean) = difference.estimate.mean else {
        return format!("{}: shares no defined score with the best.", other.name);
    };
    let interval = difference.estimate.interval;
    let interval =
        interval.map_or_else(String::new, |i| format!(" (95 % interval {} to {})", three(i.low), three(i.high)));
    let place = if mean < 0.0 {
        format!("{} ahead on the common cases", three(-mean))
    } else {
        format!("{} behind", three(mean))
    };
    let mut text = format!("{}: {place}{interval}; {}", other.name, case_words(group, difference));
    text.push_str(&seed_words(group, pair));
    text.push('.');
    let worse: Vec<&str> =
        pair.labels.iter().zip(&group.labels).filter(|(d, _)| is_worse(d)).map(|(_, l)| l.as_str()).collect();
    if !worse.is_empty() {
        let _ = write!(text, " It is the better one at {}, beyond chance over cases.", worse.join(", "));
    }
    text
}

fn is_worse(difference: &Difference) -> bool {
    beyond_cases(difference) && difference.estimate.mean.is_some_and(|mean| mean < 0.0)
}

/// What the test over cases says.
fn case_words(group: &Group, difference: &Difference) -> String {
    let (Some(test), Some(corrected)) = (difference.test, difference.corrected) else {
        return "no case differs".to_owned();
    };
    let pairs = group.comparisons.len();
    let p = format!("Wilcoxon p {}, {} after Holm's correction", p_text(test.p), p_text(corrected));
    let p = if pairs == 1 { format!("Wilcoxon p {}", p_text(test.p)) } else { p };
    if corrected < LEVEL {
        return format!("beyond chance over {} ({p})", count(difference.cases, "case"));
    }
    let reachable = (smallest_p(test.used) * pairs as f64).min(1.0);
    if reachable >= LEVEL {
        let cases = count(difference.cases, "case");
        return format!("{cases} are too few to show it ({p}; the smallest possible is {})", p_text(reachable));
    }
    format!("it may be chance over {} ({p})", count(difference.cases, "case"))
}

fn p_text(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

fn seed_words(group: &Group, pair: &Comparison) -> String {
    let (Some(noise), Some(mean)) = (group.noise, pair.mean.estimate.mean) else { return String::new() };
    let [a, b] = [pair.a, pair.b].map(|place| group.settings[place].rows.len());
    let half_width = noise.half_width(a, b);
    if mean.abs() <= noise.deviation {
        format!("; it is smaller than the seed-to-seed noise of {:.3}", noise.deviation)
    } else if mean.abs() <= half_width {
        format!("; with {a} and {b} runs seeds alone explain up to {half_width:.3}")
    } else {
        format!("; beyond the {half_width:.3} that seeds alone explain")
    }
}

fn noise_sentence(group: &Group) -> String {
    let Some(noise) = group.noise else {
        return "How much the seed alone changes a score is not known: no setting was trained with a second seed on \
                the same cases. Add `seed: [1, 2, 3]` to the sweep before believing a small difference."
            .to_owned();
    };
    let how = if group.ground.split_by_seed && noise_is_residual(group) {
        "what is left after settings and validation cases are taken out, since each seed has its own split"
    } else {
        "the standard deviation between runs that differ in the seed alone"
    };
    let degrees = count(noise.degrees, "degree");
    format!("Seed-to-seed noise of a run's mean Dice: {:.3} ({how}; {degrees} of freedom).", noise.deviation)
}

/// Whether no setting has two runs on the same cases.
fn noise_is_residual(group: &Group) -> bool {
    group.settings.iter().all(|setting| setting.largest_block() < 2)
}

fn warnings(group: &Group) -> Vec<String> {
    let mut warnings = Vec::new();
    warnings.extend(selection(group));
    warnings.extend(left_out(group));
    let cases = |setting: &Setting| setting.cases.len();
    let (fewest, most) = (group.settings.iter().map(cases).min(), group.settings.iter().map(cases).max());
    if let (Some(fewest), Some(most)) = (fewest, most)
        && fewest < most
    {
        warnings.push(format!(
            "Settings were validated on {fewest} to {most} cases, so their means are not of the same cases; the differences are."
        ));
    }
    warnings
}

/// The best epoch was chosen on the cases that it is scored on.
fn selection(group: &Group) -> Option<String> {
    if group.epoch == Epoch::Last {
        return None;
    }
    let chosen = group.rows.iter().filter_map(|row| row.chosen.as_ref()).filter(|chosen| chosen.choices > 1);
    let gains: Vec<f64> = chosen.clone().filter_map(|chosen| Some(chosen.mean.mean? - chosen.last?)).collect();
    let gain = super::statistics::mean(gains)?;
    let (fewest, most) = (chosen.clone().map(|c| c.choices).min()?, chosen.map(|c| c.choices).max()?);
    let among = if fewest == most { most.to_string() } else { format!("{fewest} to {most}") };
    let uneven = if fewest == most { "" } else { ", and runs with more to choose from look better" };
    Some(format!(
        "The best of {among} scored epochs was chosen on the very cases that it is scored on, so scores flatter \
         (on average {} above the last epoch{uneven}). `--epoch last` compares the last epochs; a test split \
         that took part in no choice is the honest number.",
        three(gain)
    ))
}

fn left_out(group: &Group) -> Option<String> {
    let reasons: Vec<&str> = group.rows.iter().filter_map(|row| row.left_out.as_deref()).collect();
    if reasons.is_empty() {
        return None;
    }
    let mut counts = std::collections::BTreeMap::new();
    for reason in &reasons {
        let kind = if reason.starts_with("repeats") { "repeats of another run with the same seed" } else { reason };
        *counts.entry(kind).or_insert(0usize) += 1;
    }
    let words: Vec<String> = counts.iter().map(|(kind, number)| format!("{number} {kind}")).collect();
    Some(format!(
        "{} in no mean: {}.",
        if reasons.len() == 1 { "1 run is".to_owned() } else { format!("{} runs are", reasons.len()) },
        words.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::compare::compare;
    use crate::report::compare::tests::run;
    use crate::report::runs::Run;

    /// Two settings with two seeds each on `cases` cases; the second is behind by `lead` on each case and the seeds
    /// are apart by `noise`.
    fn runs(cases: usize, lead: f64, noise: f64) -> Vec<Run> {
        let scores = |base: f64| (0..cases).map(|case| base + 0.01 * case as f64).collect::<Vec<_>>();
        vec![
            run("a1", "{lr: 1, seed: 1}", &scores(0.5)),
            run("a2", "{lr: 1, seed: 2}", &scores(0.5 + noise)),
            run("b1", "{lr: 2, seed: 1}", &scores(0.5 - lead)),
            run("b2", "{lr: 2, seed: 2}", &scores(0.5 - lead + noise)),
        ]
    }

    fn verdict(runs: Vec<Run>) -> Verdict {
        Verdict::of(&compare(runs, Epoch::Best)[0])
    }

    #[test]
    fn a_lead_beyond_cases_and_seeds_is_believed() {
        let verdict = verdict(runs(10, 0.1, 0.001));
        assert_eq!(verdict.headline, "lr 1 is better than the other setting, beyond chance.");
        assert!(verdict.sentences[1].starts_with("lr 2: 0.100 behind"), "{verdict:?}");
        assert!(verdict.sentences[1].contains("beyond chance over 10 cases (Wilcoxon p 0.002)"), "{verdict:?}");
        assert_eq!(verdict.warnings, [""; 0]);
    }

    #[test]
    fn a_lead_smaller_than_the_noise_of_seeds_is_not_believed() {
        let verdict = verdict(runs(10, 0.01, 0.05));
        assert_eq!(verdict.headline, "lr 1 leads, but its lead over the other setting may be chance.");
        assert!(verdict.sentences[1].contains("smaller than the seed-to-seed noise of 0.035"), "{verdict:?}");
    }

    #[test]
    fn too_few_cases_are_said_to_be_too_few() {
        let verdict = verdict(runs(4, 0.1, 0.001));
        assert!(verdict.sentences[1].contains("4 cases are too few to show it"), "{verdict:?}");
        assert!(verdict.sentences[1].contains("the smallest possible is 0.125"), "{verdict:?}");
    }

    #[test]
    fn one_seed_leaves_the_noise_unknown_and_the_lead_unbelieved() {
        let runs = runs(10, 0.1, 0.0).into_iter().step_by(2).collect();
        let verdict = verdict(runs);
        assert!(verdict.headline.contains("may be chance"), "{verdict:?}");
        assert!(verdict.sentences[2].contains("is not known"), "{verdict:?}");
    }

    #[test]
    fn choosing_the_best_epoch_on_the_scored_cases_is_warned_of() {
        let mut runs = runs(10, 0.1, 0.001);
        for run in &mut runs {
            let row = run.metrics.rows[0].clone();
            run.metrics.rows.push(vec![Some(2.0), row[1], row[2].map(|mean| mean - 0.02)]);
        }
        let verdict = verdict(runs);
        assert!(
            verdict.warnings[0].contains("The best of 2 scored epochs was chosen on the very cases"),
            "{verdict:?}"
        );
        assert!(verdict.warnings[0].contains("on average 0.020 above the last epoch"), "{verdict:?}");
    }

    #[test]
    fn what_rounds_to_zero_has_no_sign() {
        assert_eq!((three(-0.0004), three(-0.0006)), ("0.000".to_owned(), "-0.001".to_owned()));
    }
}
