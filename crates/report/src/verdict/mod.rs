//! The conclusion of a comparison in sentences: which setting is better, and how certain that is.
//!
//! [`significance`] decides; `headline`, `sentences` and `warnings` phrase the conclusion, the evidence and the caveats.

use crate::comparison::{Comparison, Group};
use crate::format::{count, truncate};

mod headline;
mod sentences;
pub mod significance;
mod warnings;

/// The maximum number of items in a list of sentences or names.
const MAX_ITEMS: usize = 5;

/// The maximum length of a setting's full name in a sentence.
const MAX_NAME_LENGTH: usize = 200;

/// The conclusion about a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// The conclusion in one sentence.
    pub headline: String,
    /// The evidence.
    pub sentences: Vec<String>,
    /// Caveats.
    pub warnings: Vec<String>,
}

impl Verdict {
    /// Draws the conclusion about a group.
    pub fn of(group: &Group) -> Self {
        let mut verdict = Self { warnings: warnings::warnings(group), ..Self::default() };
        let Some(best) = group.settings.first() else {
            verdict.headline = nothing_to_compare(group);
            return verdict;
        };
        if group.settings.len() == 1 {
            verdict.headline = format!("One {}: {}.", group.setting_noun(), sentences::score(group, best));
            return verdict;
        }
        let against_best: Vec<&Comparison> = group.comparisons.iter().filter(|pair| pair.a == 0).collect();
        verdict.headline = headline::headline(group, &against_best);
        if best.is_abbreviated() {
            verdict.sentences.push(format!("{} is {}.", best.short_name, truncate(&best.name, MAX_NAME_LENGTH)));
        }
        verdict.sentences.push(format!("{}: {}.", best.short_name, sentences::score(group, best)));
        verdict.sentences.extend(against_best.iter().take(MAX_ITEMS).map(|pair| sentences::pair(group, pair)));
        if against_best.len() > MAX_ITEMS {
            let more = count(against_best.len() - MAX_ITEMS, &format!("more {}", group.setting_noun()));
            verdict.sentences.push(format!("{more}: see comparisons.csv for all pairs."));
        }
        verdict.sentences.push(sentences::seed_variation(group));
        verdict
    }
}

/// Says why there is nothing to compare.
fn nothing_to_compare(group: &Group) -> String {
    let mut reasons: Vec<&str> = group.runs.iter().filter_map(|run| run.exclusion.as_deref()).collect();
    reasons.dedup();
    match reasons.as_slice() {
        [reason] if group.runs.len() > 1 => format!("There is nothing to compare. All runs: {reason}."),
        [reason] => format!("There is nothing to compare: {reason}."),
        _ => "No finished run has scored volumes; there is nothing to compare.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::significance::is_significantly_better;
    use super::*;
    use crate::comparison::test_runs::run;
    use crate::comparison::{ComparedEpoch, compare};
    use crate::runs::Run;
    use random::{Purpose, Seed};
    use run_folder::manifest::Status;

    /// Two settings with two seeds each on `cases` cases. The second setting scores lower by `lead` on each case, and the
    /// second seed higher by `noise`.
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
    fn a_lead_beyond_the_variation_of_cases_and_seeds_is_significant() {
        let verdict = verdict(runs(10, 0.1, 0.001));
        assert_eq!(verdict.headline, "lr 1 is significantly better than the other setting.");
        assert!(verdict.sentences[1].starts_with("lr 2: 0.100 lower than the best"), "{verdict:?}");
        assert!(
            verdict.sentences[1].contains(
                "significant over 10 cases (Wilcoxon p 0.002). With 2 seeds per setting, a gap of up to 0.003 could come from \
                 the seed alone (95 % t bound), and this one is larger."
            ),
            "{verdict:?}"
        );
        assert_eq!(verdict.warnings, [""; 0]);
    }

    #[test]
    fn a_lead_smaller_than_the_variation_between_seeds_is_not_significant() {
        let verdict = verdict(runs(10, 0.01, 0.05));
        assert_eq!(verdict.headline, "lr 1 leads, but its lead over the other setting is not significant.");
        assert!(
            verdict.sentences[1].contains("could come from the seed alone (95 % t bound), so this one could too"),
            "{verdict:?}"
        );
    }

    #[test]
    fn the_highest_mean_over_easier_cases_is_not_called_better() {
        // The other setting is better on every common case, but has an additional hard case.
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
        let expected = "lr 1 has the highest mean Dice, but lr 2 is better on the cases that both were scored on.";
        assert_eq!(verdict.headline, expected);
        assert!(
            verdict.sentences[1].starts_with("lr 2: 0.100 higher than the best on the common cases"),
            "{verdict:?}"
        );
    }

    #[test]
    fn a_few_cases_that_most_others_contradict_are_not_significant() {
        let scores = |few: f64, most: f64, seed: f64| {
            (0..30).map(|case| seed + if case < 3 { few } else { most } + 0.001 * f64::from(case)).collect::<Vec<_>>()
        };
        let verdict = verdict(vec![
            run("a1", "{lr: 1, seed: 1}", &scores(0.9, 0.5, 0.0)),
            run("a2", "{lr: 1, seed: 2}", &scores(0.9, 0.5, 0.0001)),
            run("b1", "{lr: 2, seed: 1}", &scores(0.1, 0.51, 0.0)),
            run("b2", "{lr: 2, seed: 2}", &scores(0.1, 0.51, 0.0001)),
        ]);
        assert_eq!(verdict.headline, "lr 1 leads, but its lead over the other setting is not significant.");
        assert!(verdict.sentences[1].contains("most of the 30 cases point the other way"), "{verdict:?}");
    }

    #[test]
    fn a_setting_with_a_failed_run_is_not_called_better() {
        let mut runs = runs(10, 0.1, 0.001);
        let mut failed = run("a3", "{lr: 1, seed: 3}", &[0.0; 10]);
        failed.status = Some(Status::Failed);
        runs.push(failed.clone());
        let incomplete = verdict(runs.clone());
        assert_eq!(incomplete.headline, "lr 1 leads, but its lead over the other setting is not significant.");
        let warning_text = "scores of their settings may be too high: lr 1 (1 of 3)";
        assert!(incomplete.warnings.iter().any(|warning| warning.contains(warning_text)), "{incomplete:?}");
        // A finished run with the same seed replaces it.
        runs.push(Run {
            status: Some(Status::Done),
            name: "a4".to_owned(),
            ..run("a4", "{lr: 1, seed: 3}", &[0.55; 10])
        });
        assert!(!verdict(runs).warnings.iter().any(|warning| warning.contains(warning_text)));
    }

    #[test]
    fn settings_that_differ_only_by_chance_are_rarely_called_better() {
        // Seeds shift all cases together, so a test over cases alone would nearly always find a winner.
        let mut rng = Seed(11).stream(Purpose::Phantom, 0, "", 0);
        let mut false_positives = 0;
        for _ in 0..40 {
            let mut runs = Vec::new();
            for index in 0..24 {
                let (shift, plan) = (rng.normal() * 0.02, format!("{{lr: {}, seed: {}}}", index / 2, index % 2));
                let scores: Vec<f64> = (0..12).map(|case| 0.6 + 0.01 * f64::from(case) + shift).collect();
                runs.push(run(&format!("run{index}"), &plan, &scores));
            }
            let group = &compare(runs, ComparedEpoch::Best)[0];
            false_positives += usize::from(group.comparisons.iter().any(|pair| is_significantly_better(group, pair)));
        }
        assert!(false_positives <= 4, "{false_positives} of 40");
    }

    #[test]
    fn cases_with_a_score_in_only_one_setting_are_reported() {
        let mut runs = runs(12, 0.1, 0.001);
        for run in &mut runs[2..] {
            run.cases.epochs.get_mut(&1).unwrap().get_mut("c3").unwrap()[0] = None;
        }
        let verdict = verdict(runs);
        assert!(verdict.warnings.iter().any(|warning| warning.contains("(liver in up to 1 case)")), "{verdict:?}");
    }

    #[test]
    fn a_mean_over_fewer_labels_is_reported() {
        let with_tumour = |mut run: Run, score: Option<f64>| {
            run.cases.columns.push("dice_tumour".to_owned());
            run.cases.epochs.get_mut(&1).unwrap().values_mut().for_each(|scores| scores.push(score));
            run.metrics.names.push("val_dice_tumour".to_owned());
            run.metrics.rows[0].push(score);
            run
        };
        let both = |score| {
            vec![with_tumour(run("a", "lr: 1", &[0.5]), Some(0.4)), with_tumour(run("b", "lr: 2", &[0.5]), score)]
        };
        let expected = "Dice is undefined in every case for tumour of lr 2";
        assert!(verdict(both(None)).warnings.iter().any(|warning| warning.starts_with(expected)));
        assert!(!verdict(both(Some(0.3))).warnings.iter().any(|warning| warning.starts_with(expected)));
    }

    #[test]
    fn too_few_cases_for_significance_are_reported() {
        let verdict = verdict(runs(4, 0.1, 0.001));
        assert!(verdict.sentences[1].contains("4 cases are too few for significance"), "{verdict:?}");
        assert!(verdict.sentences[1].contains("the smallest possible p is 0.125"), "{verdict:?}");
    }

    #[test]
    fn with_one_seed_the_variation_is_unknown_and_nothing_is_significant() {
        let runs = runs(10, 0.1, 0.0).into_iter().step_by(2).collect();
        let verdict = verdict(runs);
        assert!(verdict.headline.contains("is not significant"), "{verdict:?}");
        assert!(verdict.sentences[2].contains("is unknown"), "{verdict:?}");
    }

    #[test]
    fn selecting_the_best_epoch_on_the_scored_cases_is_a_caveat() {
        let mut runs = runs(10, 0.1, 0.001);
        for run in &mut runs {
            let row = run.metrics.rows[0].clone();
            let lower = |column: usize| row[column].map(|mean| mean - 0.02);
            run.metrics.rows.push(vec![Some(2.0), lower(1), lower(2)]);
        }
        let verdict = verdict(runs);
        assert!(
            verdict.warnings[0].contains("The best of 2 scored epochs was selected on the same cases"),
            "{verdict:?}"
        );
        assert!(verdict.warnings[0].contains("on average 0.020 better than the last epoch"), "{verdict:?}");
    }
}
