//! What follows from a comparison, in plain sentences: which setting is better, and can that be believed?

use std::fmt::Write as _;

use crate::charts::cut;
use crate::comparison::{Comparison, Difference, Estimate, Group, Setting};
use crate::statistics::smallest_p;

mod warnings;

/// The error that is accepted: one false alarm in twenty reports.
const LEVEL: f64 = 0.05;

/// A setting with this share of the squares of the noise makes most of it.
const MOST: f64 = 0.8;

/// Letters of a setting's whole name in a sentence.
const MAX_NAME: usize = 200;

/// Settings that are compared with the best in a sentence of their own.
pub(super) const TOLD: usize = 5;

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
        let mut verdict = Self { warnings: warnings::of(group), ..Self::default() };
        let Some(best) = group.settings.first() else {
            verdict.headline = "No run has come to its end with scored volumes; nothing is compared.".to_owned();
            return verdict;
        };
        if group.settings.len() == 1 {
            verdict.headline = format!("One setting: {}.", scored(best));
            return verdict;
        }
        let against_best: Vec<&Comparison> = group.comparisons.iter().filter(|pair| pair.a == 0).collect();
        verdict.headline = headline(group, &against_best);
        if best.has_letter() {
            verdict.sentences.push(format!("{} is {}.", best.short, cut(&best.name, MAX_NAME)));
        }
        verdict.sentences.push(format!("{}: {}.", best.short, scored(best)));
        verdict.sentences.extend(against_best.iter().take(TOLD).map(|pair| pair_sentence(group, pair)));
        if against_best.len() > TOLD {
            let more = count(against_best.len() - TOLD, "more setting");
            verdict.sentences.push(format!("{more}: comparisons.csv has every pair."));
        }
        verdict.sentences.push(noise_sentence(group));
        verdict
    }
}

fn headline(group: &Group, against_best: &[&Comparison]) -> String {
    let (best, others) = (group.settings[0].short.clone(), group.settings.len() - 1);
    let means = || group.settings.iter().filter_map(|setting| setting.mean.mean);
    if means().all(|mean| mean == 0.0) {
        return "No setting found anything: every mean Dice is 0.".to_owned();
    }
    if means().count() == group.settings.len() && means().all(|mean| Some(mean) == group.settings[0].mean.mean) {
        return "All settings have the same mean Dice.".to_owned();
    }
    // The highest mean may be that of easier cases.
    let ahead = |pair: &&&Comparison| is_behind(&pair.mean);
    if let Some(pair) = against_best.iter().find(ahead) {
        let other = group.settings[pair.b].short.clone();
        return format!(
            "{best} has the highest mean, but {other} is ahead of it on the cases that both were scored on."
        );
    }
    let unpaired = others - against_best.len();
    if unpaired > 0 {
        return format!(
            "{best} leads, but {unpaired} of the {others} other settings share no validation cases with it."
        );
    }
    let unclear = against_best.iter().filter(|pair| !is_clear(group, pair));
    let unclear: Vec<String> = unclear.map(|pair| group.settings[pair.b].short.clone()).collect();
    match unclear.len() {
        0 if others == 1 => format!("{best} is better than the other setting, beyond chance."),
        0 => format!("{best} is better than each of the {others} other settings, beyond chance."),
        count if count == others => format!("{best} leads, but its lead over {} may be chance.", the_others(others)),
        1 | 2 => format!("{best} leads {others} others; its lead over {} may be chance.", unclear.join(" and ")),
        count => format!("{best} leads; its lead over {count} of the {others} other settings may be chance."),
    }
}

fn the_others(others: usize) -> String {
    if others == 1 { "the other setting".to_owned() } else { format!("each of the {others} others") }
}

/// Whether the first of a pair is ahead beyond what cases and seeds explain, and all its runs came through.
pub fn is_clear(group: &Group, pair: &Comparison) -> bool {
    let is_ahead = pair.mean.estimate.mean.is_some_and(|mean| mean > 0.0);
    let is_whole = group.settings[pair.a].lost == 0;
    is_ahead && is_whole && agrees(&pair.mean) && beyond_cases(&pair.mean) && beyond_seeds(group, pair) == Some(true)
}

fn beyond_cases(difference: &Difference) -> bool {
    difference.corrected.is_some_and(|p| p < LEVEL)
}

/// Whether the test over cases speaks for the sign of the mean: a few large differences can outweigh many small ones.
fn agrees(difference: &Difference) -> bool {
    let (Some(test), Some(mean)) = (difference.test, difference.estimate.mean) else { return false };
    test.is_positive == (mean > 0.0)
}

/// Whether the first of a pair is behind, beyond chance over cases.
fn is_behind(difference: &Difference) -> bool {
    agrees(difference) && beyond_cases(difference) && difference.estimate.mean.is_some_and(|mean| mean < 0.0)
}

/// Half the interval that seeds alone explain, of all pairs at once.
fn seeds_explain(group: &Group, pair: &Comparison) -> Option<f64> {
    Some(group.noise?.half_width(pair.seed_share, group.comparisons.len()))
}

/// Whether the difference is larger than what seeds alone explain; unknown where nothing tells the noise.
fn beyond_seeds(group: &Group, pair: &Comparison) -> Option<bool> {
    Some(pair.mean.estimate.mean?.abs() > seeds_explain(group, pair)?)
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
        return format!("{}: shares no defined score with the best.", other.short);
    };
    let interval = difference.estimate.interval;
    let interval =
        interval.map_or_else(String::new, |i| format!(" (95 % interval {} to {})", three(i.low), three(i.high)));
    let place = if mean < 0.0 {
        format!("{} ahead on the common cases", three(-mean))
    } else {
        format!("{} behind", three(mean))
    };
    let mut text = format!("{}: {place}{interval}; {}", other.short, case_words(group, difference));
    text.push_str(&seed_words(group, pair));
    text.push('.');
    let worse: Vec<&str> =
        pair.labels.iter().zip(&group.labels).filter(|(d, _)| is_behind(d)).map(|(_, l)| l.as_str()).collect();
    if !worse.is_empty() {
        let _ = write!(text, " It is the better one at {}, beyond chance over cases.", worse.join(", "));
    }
    text
}

/// What the test over cases says.
fn case_words(group: &Group, difference: &Difference) -> String {
    let (Some(test), Some(corrected)) = (difference.test, difference.corrected) else {
        return "no case differs".to_owned();
    };
    // Holm's correction counts the pairs that could be tested.
    let pairs = group.comparisons.iter().filter(|pair| pair.mean.test.is_some()).count();
    let p = format!("Wilcoxon p {}, {} after Holm's correction", p_text(test.p), p_text(corrected));
    let p = if pairs == 1 { format!("Wilcoxon p {}", p_text(test.p)) } else { p };
    let cases = count(difference.cases, "case");
    if corrected < LEVEL && !agrees(difference) {
        return format!("a few cases make the mean, and most of the {cases} say the opposite ({p})");
    }
    if corrected < LEVEL {
        return format!("consistent over {cases} ({p})");
    }
    let reachable = (smallest_p(test.used) * pairs as f64).min(1.0);
    if reachable >= LEVEL {
        let few = if test.used == difference.cases {
            format!("{cases} are")
        } else {
            format!("{} of {cases} differ,", test.used)
        };
        return format!("{few} too few to show it ({p}; the smallest possible is {})", p_text(reachable));
    }
    format!("it may be chance over {cases} ({p})")
}

fn p_text(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

/// What the noise between seeds says, after what the cases say.
fn seed_words(group: &Group, pair: &Comparison) -> String {
    let (Some(noise), Some(mean)) = (group.noise, pair.mean.estimate.mean) else { return String::new() };
    let half_width = seeds_explain(group, pair).unwrap_or(f64::INFINITY);
    let [a, b] = pair.runs;
    let joint = if beyond_cases(&pair.mean) { "but" } else { "and" };
    if mean == 0.0 {
        String::new()
    } else if half_width > 1.0 {
        "; with so few seeds nothing can be said of what they do".to_owned()
    } else if mean.abs() > half_width {
        format!("; larger than the {half_width:.3} that seeds alone explain")
    } else if mean.abs() <= noise.deviation {
        format!(", {joint} smaller than the seed-to-seed noise of {:.3}", noise.deviation)
    } else {
        format!(", {joint} no larger than seeds alone explain: up to {half_width:.3} with {a} and {b} runs")
    }
}

fn noise_sentence(group: &Group) -> String {
    let Some(noise) = group.noise else {
        return "How much the seed alone changes a score is not known: no setting was trained with a second seed on \
                the same cases. Add `seed: [1, 2, 3]` to the sweep before believing a small difference."
            .to_owned();
    };
    let how = if group.comparability.split_by_seed && noise_is_residual(group) {
        "what is left after settings and validation cases are taken out, since each seed has its own split"
    } else {
        "the standard deviation between runs that differ in the seed alone, pooled over settings"
    };
    let degrees = count(noise.degrees, "degree");
    let mut text =
        format!("Seed-to-seed noise of a run's mean Dice: {:.3} ({how}; {degrees} of freedom).", noise.deviation);
    if let Some(setting) = noisiest(group) {
        let _ = write!(text, " Most of it comes from {}, so for the others it is too large.", setting.short);
    }
    text
}

/// The setting that most of the noise comes from, where that is not the only one with several seeds.
fn noisiest(group: &Group) -> Option<&Setting> {
    let noises = group.settings.iter().filter_map(|setting| Some((setting, setting.noise()?)));
    let squares: Vec<(&Setting, f64)> =
        noises.map(|(setting, noise)| (setting, noise.deviation.powi(2) * noise.degrees as f64)).collect();
    let sum: f64 = squares.iter().map(|(_, squares)| squares).sum();
    let (setting, largest) = squares.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (squares.len() > 1 && largest > MOST * sum).then_some(setting)
}

/// Whether no setting has two runs on the same cases.
fn noise_is_residual(group: &Group) -> bool {
    group.settings.iter().all(|setting| setting.largest_block() < 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::tests::run;
    use crate::comparison::{ComparedEpoch, compare};
    use crate::runs::Run;
    use random::{Purpose, Seed};
    use run_folder::manifest::Status;

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
        Verdict::of(&compare(runs, ComparedEpoch::Best)[0])
    }

    #[test]
    fn a_lead_beyond_cases_and_seeds_is_believed() {
        let verdict = verdict(runs(10, 0.1, 0.001));
        assert_eq!(verdict.headline, "lr 1 is better than the other setting, beyond chance.");
        assert!(verdict.sentences[1].starts_with("lr 2: 0.100 behind"), "{verdict:?}");
        assert!(
            verdict.sentences[1].contains("consistent over 10 cases (Wilcoxon p 0.002); larger than the"),
            "{verdict:?}"
        );
        assert_eq!(verdict.warnings, [""; 0]);
    }

    #[test]
    fn a_lead_smaller_than_the_noise_of_seeds_is_not_believed() {
        let verdict = verdict(runs(10, 0.01, 0.05));
        assert_eq!(verdict.headline, "lr 1 leads, but its lead over the other setting may be chance.");
        assert!(verdict.sentences[1].contains("smaller than the seed-to-seed noise of 0.035"), "{verdict:?}");
    }

    #[test]
    fn the_highest_mean_of_easier_cases_is_not_called_better() {
        // The other setting is ahead on every common case, and has a hard case of its own.
        let fold = "data: {split: {fold: {index: 0, count: 2}}}";
        let scores = |base: f64| (0..10).map(|case| base + 0.01 * f64::from(case)).collect::<Vec<_>>();
        let plan = |lr: u32, seed: u32| format!("{{lr: {lr}, seed: {seed}, {fold}}}");
        let mut runs = vec![
            run("a1", &plan(1, 1), &scores(0.5)),
            run("a2", &plan(1, 2), &scores(0.501)),
            run("b1", &plan(2, 1), &scores(0.6)),
            run("b2", &plan(2, 2), &scores(0.601)),
        ];
        runs.push(run("b3", &plan(2, 3), &[0.01; 11]));
        let verdict = verdict(runs);
        let expected = "lr 1 has the highest mean, but lr 2 is ahead of it on the cases that both were scored on.";
        assert_eq!(verdict.headline, expected);
        assert!(verdict.sentences[1].starts_with("lr 2: 0.100 ahead on the common cases"), "{verdict:?}");
    }

    #[test]
    fn a_few_cases_that_most_others_contradict_make_nothing_better() {
        let scores = |few: f64, most: f64, seed: f64| {
            (0..30).map(|case| seed + if case < 3 { few } else { most } + 0.001 * f64::from(case)).collect::<Vec<_>>()
        };
        let verdict = verdict(vec![
            run("a1", "{lr: 1, seed: 1}", &scores(0.9, 0.5, 0.0)),
            run("a2", "{lr: 1, seed: 2}", &scores(0.9, 0.5, 0.0001)),
            run("b1", "{lr: 2, seed: 1}", &scores(0.1, 0.51, 0.0)),
            run("b2", "{lr: 2, seed: 2}", &scores(0.1, 0.51, 0.0001)),
        ]);
        assert_eq!(verdict.headline, "lr 1 leads, but its lead over the other setting may be chance.");
        assert!(verdict.sentences[1].contains("most of the 30 cases say the opposite"), "{verdict:?}");
    }

    #[test]
    fn a_setting_that_lost_a_run_is_not_called_better() {
        let mut runs = runs(10, 0.1, 0.001);
        let mut failed = run("a3", "{lr: 1, seed: 3}", &[0.0; 10]);
        failed.status = Some(Status::Failed);
        runs.push(failed.clone());
        let lossy = verdict(runs.clone());
        assert_eq!(lossy.headline, "lr 1 leads, but its lead over the other setting may be chance.");
        let told = "judged by those that came through: lr 1 (1 of 3)";
        assert!(lossy.warnings.iter().any(|warning| warning.contains(told)), "{lossy:?}");
        // Trained again with that seed, nothing is lost.
        runs.push(Run {
            status: Some(Status::Done),
            name: "a4".to_owned(),
            ..run("a4", "{lr: 1, seed: 3}", &[0.55; 10])
        });
        assert!(!verdict(runs).warnings.iter().any(|warning| warning.contains(told)));
    }

    #[test]
    fn settings_that_differ_by_chance_alone_are_seldom_called_better() {
        // Seeds move all cases together, so that a test over cases alone would find a winner nearly always.
        let mut rng = Seed(11).stream(Purpose::Phantom, 0, "", 0);
        let mut alarms = 0;
        for _ in 0..40 {
            let mut runs = Vec::new();
            for place in 0..24 {
                let (shift, plan) = (rng.normal() * 0.02, format!("{{lr: {}, seed: {}}}", place / 2, place % 2));
                let scores: Vec<f64> = (0..12).map(|case| 0.6 + 0.01 * f64::from(case) + shift).collect();
                runs.push(run(&format!("run{place}"), &plan, &scores));
            }
            let group = &compare(runs, ComparedEpoch::Best)[0];
            alarms += usize::from(group.comparisons.iter().any(|pair| is_clear(group, pair)));
        }
        assert!(alarms <= 4, "{alarms} of 40");
    }

    #[test]
    fn cases_that_only_one_setting_has_a_score_for_are_told() {
        let mut runs = runs(12, 0.1, 0.001);
        for run in &mut runs[2..] {
            run.cases.epochs.get_mut(&1).unwrap().get_mut("c3").unwrap()[0] = None;
        }
        let verdict = verdict(runs);
        assert!(verdict.warnings.iter().any(|warning| warning.contains("(liver in up to 1 case)")), "{verdict:?}");
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
