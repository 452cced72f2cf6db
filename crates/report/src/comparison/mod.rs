//! Comparison of runs: which are comparable, and which settings score higher.
//!
//! Runs are comparable if their scores mean the same: same labels, metric convention, data and split
//! ([`ComparabilityKey`]). Comparable runs form a [`Group`]. Runs of a group that differ only in seed and fold are one
//! [`Setting`]. The score of a case is its mean over the runs of the setting, the score of a setting the mean over
//! cases. Two settings are compared case by case, on the validation sets that both were scored on ([`Comparison`]).

use std::cmp::Reverse;

use crate::runs::Run;

mod comparability;
mod compared_run;
mod estimate;
mod group;
mod pairs;
mod plan_differences;
mod settings;
#[cfg(test)]
pub(crate) mod test_runs;

pub use comparability::{ComparabilityKey, setting_recipe};
pub use compared_run::{ComparedRun, EpochScores, status_name};
pub use estimate::{Estimate, ScoresByColumn};
pub use group::Group;
pub use pairs::{Comparison, Difference};
pub use plan_differences::{VaryingKey, varying_keys};
pub use settings::Setting;

/// Which epoch of each run is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ComparedEpoch {
    /// The best scored epoch by the run's own monitor.
    #[default]
    Best,
    /// The last scored epoch.
    Last,
}

/// What was scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subject {
    /// Training runs, whose scores vary between seeds.
    #[default]
    Runs,
    /// Folders of predictions by any tools, of which nothing else is known.
    Predictions,
    /// Settings and ensembles of settings, by their predictions of subjects that they were not trained on.
    Candidates,
}

/// What of each run is compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Which epoch.
    pub epoch: ComparedEpoch,
    /// The name of the metric; by default Dice, or else that of a run's monitor.
    pub metric: Option<String>,
    /// What the scores are of.
    pub subject: Subject,
}

impl From<ComparedEpoch> for Compared {
    fn from(epoch: ComparedEpoch) -> Self {
        Self { epoch, ..Self::default() }
    }
}

/// Sorts runs into groups of comparable runs, the largest group first, and compares the settings of each group.
pub fn compare(runs: Vec<Run>, compared: impl Into<Compared>) -> Vec<Group> {
    let compared = compared.into();
    let mut groups = comparability::group_by_key(runs, compared.metric.as_deref());
    let num_scored = |key: &ComparabilityKey, runs: &[Run]| {
        runs.iter().filter(|run| run.is_done() && !run.scored_epochs(&key.metric.name).is_empty()).count()
    };
    groups.sort_by_key(|(key, runs)| Reverse((num_scored(key, runs), runs.len())));
    let first = groups.first().map(|(key, _)| key.clone());
    let differences = |key: &ComparabilityKey| first.as_ref().map(|first| key.differences(first)).unwrap_or_default();
    groups.into_iter().map(|(key, runs)| Group::new(differences(&key), key, runs, &compared)).collect()
}

#[cfg(test)]
mod tests {
    use super::test_runs::{run, run_on};
    use super::*;
    use crate::runs::Cases;
    use run_folder::manifest::Status;
    use run_folder::table::Table;

    #[test]
    fn runs_that_differ_only_in_the_seed_are_one_setting_and_the_best_setting_comes_first() {
        let runs = vec![
            run("a1", "{name: x, seed: 1, lr: 1, device: flex}", &[0.1, 0.3]),
            run("a2", "{name: y, seed: 2, lr: 1, device: auto}", &[0.3, 0.5]),
            run("b1", "{seed: 1, lr: 2}", &[0.5, 0.6]),
        ];
        let group = compare(runs, ComparedEpoch::Best).remove(0);
        let names: Vec<&str> = group.settings.iter().map(|setting| setting.name.as_str()).collect();
        assert_eq!(names, ["lr 2", "lr 1"]);
        let second = &group.settings[1];
        assert_eq!((second.num_seeds, second.runs.len()), (2, 2));
        assert!((second.mean.mean.unwrap() - 0.3).abs() < 1e-12);
        // Case by case: 0.5 - 0.2 and 0.6 - 0.4.
        let pair = &group.comparisons[0];
        assert!((pair.mean.estimate.mean.unwrap() - 0.25).abs() < 1e-12);
        assert_eq!((pair.mean.num_cases, pair.mean.test.unwrap().p_value), (2, 0.5));
        // The means 0.2 and 0.4 differ from 0.3 by 0.1 each, with one degree of freedom.
        assert!((group.seed_variation.unwrap().standard_deviation - 0.02f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn the_intervals_of_checkpoints_make_no_other_setting() {
        let runs = vec![
            run("a", "{lr: 1, seed: 1, checkpoint: {every_steps: 50}}", &[0.1, 0.3]),
            run("b", "{lr: 1, seed: 2, checkpoint: {every_secs: 60, keep_last: 3}}", &[0.5, 0.7]),
        ];
        let groups = compare(runs, ComparedEpoch::Best);
        assert_eq!((groups.len(), groups[0].settings.len()), (1, 1));
    }

    #[test]
    fn runs_that_are_not_comparable_are_in_other_groups_with_the_reason() {
        let split = "data: {split: {first: 5}}";
        let mut other_labels = run("c", split, &[0.5, 0.5]);
        other_labels.cases.columns = vec!["dice_spleen".to_owned()];
        other_labels.metrics.names[1] = "val_dice_spleen".to_owned();
        let mut other_data = run("e", split, &[0.5, 0.5]);
        other_data.data_fingerprint = Some("more data".to_owned());
        let runs = vec![
            run("a", split, &[0.5, 0.5]),
            run("b", &format!("{{seed: 2, {split}}}"), &[0.5, 0.5]),
            other_labels,
            run("d", "{data: {split: {first: 5}}, metrics: [{dice: {empty: one}}]}", &[0.5, 0.5]),
            other_data,
            run("f", "{data: {split: {first: 6}}}", &[0.5, 0.5, 0.5]),
        ];
        let groups = compare(runs, ComparedEpoch::Best);
        assert_eq!((groups[0].runs.len(), groups.len()), (2, 5));
        let reason = |name: &str| {
            let group = groups.iter().find(|group| group.runs[0].run.name == name).unwrap();
            group.differences.join("; ")
        };
        assert_eq!(reason("c"), "other labels: spleen instead of liver");
        assert_eq!(reason("d"), "another metric convention: Dice { empty: one } instead of { empty: nan }");
        assert_eq!(reason("e"), "other data");
        assert!(reason("f").starts_with("another split: the same 3 validation cases"), "{}", reason("f"));
    }

    #[test]
    fn equivalent_plans_and_unscored_runs_are_comparable() {
        let mut unscored = run("c", "data: {split: {first: 5}}", &[0.5]);
        unscored.metrics = Table::default();
        unscored.cases = Cases::default();
        unscored.status = Some(Status::Failed);
        let runs = vec![
            run("a", "{data: {split: {first: 5}}, metrics: [{dice: {}}]}", &[0.5]),
            run(
                "b",
                "{data: {split: {first: 5}}, metrics: [{dice: {empty: nan, regions: {}}}, {jaccard: {}}]}",
                &[0.5],
            ),
            unscored,
        ];
        let groups = compare(runs, ComparedEpoch::Best);
        assert_eq!((groups.len(), groups[0].runs.len()), (1, 3));
        assert_eq!(groups[0].runs[2].exclusion.as_deref(), Some("failed"));
    }

    #[test]
    fn disjoint_splits_from_files_are_folds_of_one_group() {
        let plan = |lr: u32, fold: u32| format!("{{lr: {lr}, data: {{split: {{file: fold{fold}.json}}}}}}");
        let on = |name: &str, lr: u32, fold: u32, subjects: [&str; 2]| {
            let mut run = run_on(name, &plan(lr, fold), subjects.map(str::to_owned).to_vec(), &[0.4, 0.6]);
            run.parts.as_mut().unwrap().train = vec![format!("not {fold}")];
            run
        };
        let mut runs = vec![
            on("a0", 1, 0, ["s0", "s1"]),
            on("a1", 1, 1, ["s2", "s3"]),
            on("b0", 2, 0, ["s0", "s1"]),
            on("b1", 2, 1, ["s2", "s3"]),
        ];
        let groups = compare(runs.clone(), ComparedEpoch::Best);
        assert_eq!((groups.len(), groups[0].settings.len(), groups[0].has_folds()), (1, 2, true));
        assert_eq!(groups[0].comparisons[0].mean.num_cases, 4);
        // A split that shares a case with another is no fold.
        runs.push(on("c", 1, 2, ["s3", "s4"]));
        assert_eq!(compare(runs, ComparedEpoch::Best).len(), 3);
    }

    #[test]
    fn folds_of_other_groups_or_seeds_are_not_compared_and_those_of_nnunet_are_numbered() {
        let on = |name: &str, seed: u32, split: &str, subject: &str| {
            let plan = format!("{{lr: 1, seed: {seed}, data: {{split: {split}}}}}");
            run_on(name, &plan, vec![subject.to_owned()], &[0.5])
        };
        let groups = compare(
            vec![
                on("a", 1, "{nnunet: {index: 0}}", "s0"),
                on("b", 2, "{nnunet: {index: 3}}", "s1"),
                on("c", 1, "{fold: {index: 0, count: 5}}", "s0"),
                on("d", 1, "{fold: {index: 0, count: 5, seed: 3, groups: {column: patient}}}", "s0"),
            ],
            ComparedEpoch::Best,
        );
        let mut descriptions: Vec<&str> = groups.iter().map(|group| group.key.split_description.as_str()).collect();
        descriptions.sort_unstable();
        assert_eq!(descriptions, ["5 folds", "5 folds, seed 3, grouped by column patient", "nnU-Net's 5 folds"]);
        let nnunet = groups.iter().find(|group| group.key.split_description.starts_with("nnU-Net")).unwrap();
        assert!(nnunet.has_folds() && !nnunet.key.split_depends_on_seed);
        let fold_of = |name: &str| nnunet.runs.iter().find(|run| run.run.name == name).unwrap().fold;
        assert_eq!([fold_of("a"), fold_of("b")], [Some(0), Some(3)]);
    }

    #[test]
    fn settings_that_differ_in_many_keys_are_called_by_their_experiments_if_these_differ() {
        let plan = |name: &str, value: u32| {
            let keys: Vec<String> = (0..9).map(|key| format!("long_key_{key}: {value}")).collect();
            format!("{{name: {name}, {}}}", keys.join(", "))
        };
        let names = |first: &str, second: &str| {
            let runs = vec![run("a", &plan(first, 1), &[0.9, 0.8]), run("b", &plan(second, 2), &[0.4, 0.6])];
            let group = compare(runs, ComparedEpoch::Best).remove(0);
            group.settings.iter().map(|setting| setting.short_name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names("volumes", "slices"), ["volumes", "slices"]);
        assert_eq!(names("same", "same"), ["A", "B"]);
    }

    #[test]
    fn folds_are_averaged_and_settings_compared_on_their_common_folds() {
        let plan = |lr: u32, fold: u32| format!("{{lr: {lr}, data: {{split: {{fold: {{index: {fold}, count: 2}}}}}}}}");
        let subjects = |fold: u32| vec![format!("f{fold}a"), format!("f{fold}b")];
        let runs = vec![
            run_on("a0", &plan(1, 0), subjects(0), &[0.4, 0.6]),
            run_on("a1", &plan(1, 1), subjects(1), &[0.1, 0.1]),
            run_on("b0", &plan(2, 0), subjects(0), &[0.3, 0.4]),
        ];
        let group = compare(runs, ComparedEpoch::Best).remove(0);
        assert_eq!((group.settings.len(), group.has_folds()), (2, true));
        let cases: Vec<usize> = group.settings.iter().map(|setting| setting.cases.len()).collect();
        // Setting 2 has the higher mean, over its one fold; on that fold setting 1 is ahead.
        assert_eq!((group.settings[0].name.as_str(), cases), ("lr 2", vec![2, 4]));
        assert!((group.comparisons[0].mean.estimate.mean.unwrap() + 0.15).abs() < 1e-12);
        assert_eq!(group.seed_variation, None);
    }

    #[test]
    fn if_the_split_depends_on_the_seed_the_variation_is_the_residual_of_settings_and_splits() {
        let plan = |lr: u32, seed: u32| {
            format!("{{lr: {lr}, seed: {seed}, data: {{split: {{fold: {{index: 0, count: 2}}}}}}}}")
        };
        let subjects = |seed: u32| vec![format!("s{seed}")];
        let runs = [(1, 1, 0.5), (1, 2, 0.9), (2, 1, 0.6), (2, 2, 0.8)]
            .map(|(lr, seed, score)| run_on(&format!("{lr}{seed}"), &plan(lr, seed), subjects(seed), &[score]));
        let group = compare(runs.to_vec(), ComparedEpoch::Best).remove(0);
        // Residuals are 0.05 each, four of them, with one degree of freedom.
        let variation = group.seed_variation.unwrap();
        assert!(
            (variation.standard_deviation - 0.1).abs() < 1e-12 && variation.degrees_of_freedom == 1,
            "{variation:?}"
        );
    }

    #[test]
    fn unfinished_runs_and_repeats_are_excluded() {
        let mut stopped = run("b", "seed: 2", &[0.9]);
        stopped.status = Some(Status::Stopped);
        let runs = vec![run("a", "seed: 1", &[0.5]), stopped, run("z", "seed: 1", &[0.7])];
        let group = compare(runs, ComparedEpoch::Best).remove(0);
        let exclusions: Vec<_> = group.runs.iter().map(|run| run.exclusion.as_deref().unwrap_or("")).collect();
        assert_eq!(exclusions, ["stopped", "", "repeats z, with the same seed"]);
        assert_eq!(group.settings[0].mean.mean, Some(0.7));
    }

    #[test]
    fn a_run_without_the_scores_of_all_cases_is_excluded() {
        let mut incomplete = run("a", "seed: 1", &[0.5, 0.6]);
        incomplete.cases.epochs.get_mut(&1).unwrap().remove("c1");
        let group = compare(vec![incomplete], ComparedEpoch::Best).remove(0);
        assert_eq!(group.runs[0].exclusion.as_deref(), Some("case scores are missing"));
        assert_eq!(group.runs[0].scores.as_ref().unwrap().mean.mean, Some(0.55));
    }

    #[test]
    fn the_last_epoch_can_be_compared_instead_of_the_best() {
        let mut falling = run("a", "seed: 1", &[0.5]);
        falling.metrics.rows.push(vec![Some(2.0), Some(0.25), Some(0.25)]);
        falling.cases.epochs.insert(2, [("c0".to_owned(), vec![Some(0.25)])].into());
        let mean = |epoch| {
            let group = compare(vec![falling.clone()], epoch).remove(0);
            group.settings[0].mean.mean.unwrap()
        };
        assert_eq!((mean(ComparedEpoch::Best), mean(ComparedEpoch::Last)), (0.5, 0.25));
    }
}
