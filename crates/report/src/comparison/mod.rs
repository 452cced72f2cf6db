//! Which runs can be compared, and what follows when they are.
//!
//! Runs are compared when their numbers mean the same: same labels, metric convention, data and split.
//! Runs that differ in nothing but the seed and the fold are one **setting**. A setting is judged by its
//! cases: the score of a case is its mean over seeds, and the score of the setting the mean over cases. Two
//! settings are compared case by case, over the sets of validation cases that both have seen.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::runs::Run;
use crate::statistics::SeedVariation;
use run_folder::manifest::Status;

mod comparability;
mod compared_run;
mod estimate;
mod pairs;
pub mod plan_differences;
mod settings;

pub use comparability::ComparabilityKey;
pub use compared_run::{ComparedRun, EpochScores, word};
pub use estimate::{CaseScores, Estimate};
pub use pairs::{Comparison, Difference};
pub use plan_differences::{VaryingKey, varying_keys};
pub use settings::Setting;

use comparability::recipe;
use estimate::Intervals;
use pairs::compare_pairs;
use settings::noise;

/// Which epoch of a run is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ComparedEpoch {
    /// The best by the run's own monitor.
    #[default]
    Best,
    /// The last that was scored.
    Last,
}

/// Runs whose numbers mean the same.
#[derive(Clone, Debug)]
pub struct Group {
    /// What they have in common.
    pub comparability: ComparabilityKey,
    /// Why they are set apart from the first group; empty for the first.
    pub differences: Vec<String>,
    /// The labels whose Dice is in the mean.
    pub labels: Vec<String>,
    /// The runs, the best first.
    pub rows: Vec<ComparedRun>,
    /// The keys that differ, with a value for each row.
    pub keys: Vec<VaryingKey>,
    /// The settings, the best first.
    pub settings: Vec<Setting>,
    /// Every pair of settings that share validation cases.
    pub comparisons: Vec<Comparison>,
    /// What the seed alone does.
    pub noise: Option<SeedVariation>,
    /// Which epoch of each run is compared.
    pub epoch: ComparedEpoch,
}

/// Sorts runs into groups that can be compared, the largest first, and compares them.
pub fn compare(runs: Vec<Run>, epoch: ComparedEpoch) -> Vec<Group> {
    let mut groups = comparability::sort(runs);
    let done = |runs: &[Run]| runs.iter().filter(|run| is_done(run) && !run.scored_epochs().is_empty()).count();
    groups.sort_by_key(|(_, runs)| std::cmp::Reverse((done(runs), runs.len())));
    let first = groups.first().map(|(comparability, _)| comparability.clone());
    let reasons = |comparability: &ComparabilityKey| {
        first.as_ref().map(|first| comparability.differences(first)).unwrap_or_default()
    };
    groups
        .into_iter()
        .map(|(comparability, runs)| Group::new(reasons(&comparability), comparability, runs, epoch))
        .collect()
}

/// Whether a run came to its end; of one without a manifest nobody knows, and its numbers are taken as they are.
fn is_done(run: &Run) -> bool {
    matches!(run.status, None | Some(Status::Done))
}

impl Group {
    fn new(differences: Vec<String>, comparability: ComparabilityKey, runs: Vec<Run>, epoch: ComparedEpoch) -> Self {
        let labels = comparability.labels.clone();
        let mut intervals = Intervals::default();
        let mut rows: Vec<ComparedRun> =
            runs.into_iter().map(|run| ComparedRun::new(run, &labels, epoch, &mut intervals)).collect();
        if comparability.has_folds {
            number_folds(&mut rows);
        }
        rows.sort_by(|a, b| b.mean().total_cmp(&a.mean()).then_with(|| a.run.name.cmp(&b.run.name)));
        let unfinished: Vec<bool> = rows.iter().map(|row| row.left_out.is_some()).collect();
        let recipes: Vec<Json> = rows.iter().map(|row| recipe(&row.run, &comparability)).collect();
        let keys = varying_keys(&recipes.iter().collect::<Vec<_>>());
        leave_out_repeats(&mut rows, &recipes);
        let mut group = Self {
            comparability,
            differences,
            labels,
            rows,
            keys,
            settings: vec![],
            comparisons: vec![],
            noise: None,
            epoch,
        };
        group.settings = group.make_settings(&recipes, &unfinished, &mut intervals);
        for (place, setting) in group.settings.iter().enumerate() {
            for row in &setting.rows {
                group.rows[*row].setting = Some(place);
            }
        }
        group.comparisons = compare_pairs(&group.settings, group.labels.len(), &mut intervals);
        group.noise = noise(&group.settings, group.comparability.split_by_seed && group.num_scored_seeds() > 1);
        group
    }

    /// How many seeds there are.
    pub fn num_seeds(&self) -> usize {
        self.rows.iter().filter_map(|row| row.run.seed()).collect::<BTreeSet<_>>().len()
    }

    /// How many seeds there are among the runs that are in some mean.
    fn num_scored_seeds(&self) -> usize {
        let scored = self.rows.iter().filter(|row| row.setting.is_some());
        scored.filter_map(|row| row.run.seed()).collect::<BTreeSet<_>>().len()
    }

    /// Whether the rows differ in their fold.
    pub fn has_folds(&self) -> bool {
        self.rows.iter().map(|row| row.fold).collect::<BTreeSet<_>>().len() > 1
    }

    /// The values of a row under the keys.
    pub fn values(&self, row: usize) -> impl Iterator<Item = &str> {
        self.keys.iter().map(move |key| key.values[row].as_deref().unwrap_or(""))
    }

    /// What sets a run apart from others: its values under the keys that differ, or else its experiment's name.
    pub fn describe(&self, row: usize) -> String {
        let is_ambiguous = |key: &VaryingKey| self.keys.iter().filter(|other| other.short() == key.short()).count() > 1;
        let words = self.keys.iter().filter_map(|key| {
            let value = key.values[row].as_deref()?;
            let name = if is_ambiguous(key) { &key.path } else { key.short() };
            Some(format!("{name} {value}"))
        });
        let words: Vec<String> = words.collect();
        if words.is_empty() { self.rows[row].run.title() } else { words.join(", ") }
    }

    /// `unfinished` says of each row whether it has no scores to count, apart from repeats.
    fn make_settings(&self, recipes: &[Json], unfinished: &[bool], intervals: &mut Intervals) -> Vec<Setting> {
        let mut members: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut lost: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, row) in self.rows.iter().enumerate() {
            let recipe = recipes[place].to_string();
            match row.left_out {
                None => members.entry(recipe).or_default().push(place),
                Some(_) if unfinished[place] => lost.entry(recipe).or_default().push(place),
                Some(_) => {}
            }
        }
        let setting = |(recipe, rows): (String, Vec<usize>)| {
            Setting::new(self, rows, lost.get(&recipe).map_or(&[], Vec::as_slice), intervals)
        };
        let mut settings: Vec<Setting> = members.into_iter().map(setting).collect();
        settings.sort_by(|a, b| {
            let mean = |setting: &Setting| setting.mean.mean.unwrap_or(f64::NEG_INFINITY);
            mean(b).total_cmp(&mean(a)).then_with(|| a.name.cmp(&b.name))
        });
        settings::name_briefly(&mut settings);
        settings
    }
}

/// Gives folds that come from files their numbers, in the order of their cases.
fn number_folds(rows: &mut [ComparedRun]) {
    let folds: BTreeSet<Vec<String>> = rows.iter().map(|row| row.run.validation()).collect();
    for row in rows.iter_mut().filter(|row| row.fold.is_none() && row.run.is_split_by_file()) {
        let cases = row.run.validation();
        row.fold = folds.iter().position(|fold| *fold == cases).map(|fold| fold as u64);
    }
}

/// Of runs with the same recipe, seed and cases the newest counts: they would pass for several seeds.
fn leave_out_repeats(rows: &mut [ComparedRun], recipes: &[Json]) {
    let mut alike: BTreeMap<(String, Option<u64>, Vec<String>), Vec<usize>> = BTreeMap::new();
    for (place, row) in rows.iter().enumerate().filter(|(_, row)| row.left_out.is_none()) {
        let key = (recipes[place].to_string(), row.run.seed(), row.run.validation());
        alike.entry(key).or_default().push(place);
    }
    for places in alike.into_values() {
        let Some(newest) = places.iter().copied().max_by_key(|place| (&rows[*place].run.start, *place)) else {
            continue;
        };
        let reason = format!("repeats {}, with the same seed", rows[newest].run.name);
        for place in places.into_iter().filter(|place| *place != newest) {
            rows[place].left_out = Some(reason.clone());
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::runs::Cases;
    use dataset::split::Parts;
    use run_folder::table::Table;

    /// A finished run with one scored epoch, whose cases `c0`, `c1`, … have these scores of the label `liver`.
    pub(crate) fn run(name: &str, plan: &str, scores: &[f64]) -> Run {
        let names = |count: usize| (0..count).map(|case| format!("c{case}")).collect();
        run_on(name, plan, names(scores.len()), scores)
    }

    fn run_on(name: &str, plan: &str, subjects: Vec<String>, scores: &[f64]) -> Run {
        let plan: serde_yaml::Value = serde_yaml::from_str(plan).unwrap();
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        let cases = subjects.iter().cloned().zip(scores.iter().map(|score| vec![Some(*score)])).collect();
        Run {
            name: name.to_owned(),
            status: Some(Status::Done),
            start: name.to_owned(),
            data: Some("data".to_owned()),
            plan: serde_json::to_value(plan).unwrap(),
            parts: Some(Parts { train: vec!["t".to_owned()], val: subjects, test: vec![] }),
            metrics: Table {
                names: ["epoch", "val_dice_liver", "val_dice_mean"].map(str::to_owned).to_vec(),
                rows: vec![vec![Some(1.0), Some(mean), Some(mean)]],
            },
            cases: Cases { columns: vec!["dice_liver".to_owned()], epochs: [(1, cases)].into() },
            ..Run::default()
        }
    }

    #[test]
    fn runs_that_differ_in_the_seed_are_one_setting_and_the_best_comes_first() {
        let runs = vec![
            run("a1", "{name: x, seed: 1, lr: 1, device: flex}", &[0.1, 0.3]),
            run("a2", "{name: y, seed: 2, lr: 1, device: auto}", &[0.3, 0.5]),
            run("b1", "{seed: 1, lr: 2}", &[0.5, 0.6]),
        ];
        let group = compare(runs, ComparedEpoch::Best).remove(0);
        let names: Vec<&str> = group.settings.iter().map(|setting| setting.name.as_str()).collect();
        assert_eq!(names, ["lr 2", "lr 1"]);
        let second = &group.settings[1];
        assert_eq!((second.seeds, second.rows.len()), (2, 2));
        assert!((second.mean.mean.unwrap() - 0.3).abs() < 1e-12);
        // Case by case: 0.5 - 0.2 and 0.6 - 0.4.
        let pair = &group.comparisons[0];
        assert!((pair.mean.estimate.mean.unwrap() - 0.25).abs() < 1e-12);
        assert_eq!((pair.mean.cases, pair.mean.test.unwrap().p), (2, 0.5));
        // The means 0.2 and 0.4 differ from 0.3 by 0.1 each, with one degree of freedom.
        assert!((group.noise.unwrap().deviation - 0.02f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn runs_that_cannot_be_compared_are_set_apart_with_the_reason() {
        let split = "data: {split: {first: 5}}";
        let mut other_labels = run("c", split, &[0.5, 0.5]);
        other_labels.cases.columns = vec!["dice_spleen".to_owned()];
        other_labels.metrics.names[1] = "val_dice_spleen".to_owned();
        let mut other_data = run("e", split, &[0.5, 0.5]);
        other_data.data = Some("more data".to_owned());
        let runs = vec![
            run("a", split, &[0.5, 0.5]),
            run("b", &format!("{{seed: 2, {split}}}"), &[0.5, 0.5]),
            other_labels,
            run("d", "{data: {split: {first: 5}}, metrics: [{dice: {empty: one}}]}", &[0.5, 0.5]),
            other_data,
            run("f", "{data: {split: {first: 6}}}", &[0.5, 0.5, 0.5]),
        ];
        let groups = compare(runs, ComparedEpoch::Best);
        assert_eq!((groups[0].rows.len(), groups.len()), (2, 5));
        let reason = |name: &str| {
            let group = groups.iter().find(|group| group.rows[0].run.name == name).unwrap();
            group.differences.join("; ")
        };
        assert_eq!(reason("c"), "other labels: spleen instead of liver");
        assert_eq!(reason("d"), "another metric convention: Dice of an empty class is one instead of nan");
        assert_eq!(reason("e"), "other data");
        assert!(reason("f").starts_with("another split: the same 3 validation cases"), "{}", reason("f"));
    }

    #[test]
    fn what_says_the_same_in_other_words_is_compared() {
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
        assert_eq!((groups.len(), groups[0].rows.len()), (1, 3));
        assert_eq!(groups[0].rows[2].left_out.as_deref(), Some("failed"));
    }

    #[test]
    fn folds_from_files_are_taken_together_where_they_share_no_case() {
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
        assert_eq!(groups[0].comparisons[0].mean.cases, 4);
        // A case that stands in two of them makes them other splits.
        runs.push(on("c", 1, 2, ["s3", "s4"]));
        assert_eq!(compare(runs, ComparedEpoch::Best).len(), 3);
    }

    #[test]
    fn folds_are_taken_together_and_settings_compared_on_common_ones() {
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
        assert_eq!(group.noise, None);
    }

    #[test]
    fn where_the_seed_makes_the_split_noise_is_what_settings_and_splits_leave() {
        let plan = |lr: u32, seed: u32| {
            format!("{{lr: {lr}, seed: {seed}, data: {{split: {{fold: {{index: 0, count: 2}}}}}}}}")
        };
        let subjects = |seed: u32| vec![format!("s{seed}")];
        let runs = [(1, 1, 0.5), (1, 2, 0.9), (2, 1, 0.6), (2, 2, 0.8)]
            .map(|(lr, seed, score)| run_on(&format!("{lr}{seed}"), &plan(lr, seed), subjects(seed), &[score]));
        let group = compare(runs.to_vec(), ComparedEpoch::Best).remove(0);
        // Residuals are 0.05 each, four of them, with one degree of freedom.
        let noise = group.noise.unwrap();
        assert!((noise.deviation - 0.1).abs() < 1e-12 && noise.degrees == 1, "{noise:?}");
    }

    #[test]
    fn unfinished_runs_and_repeats_are_in_no_mean() {
        let mut stopped = run("b", "seed: 2", &[0.9]);
        stopped.status = Some(Status::Stopped);
        let runs = vec![run("a", "seed: 1", &[0.5]), stopped, run("z", "seed: 1", &[0.7])];
        let group = compare(runs, ComparedEpoch::Best).remove(0);
        let left_out: Vec<_> = group.rows.iter().map(|row| row.left_out.as_deref().unwrap_or("")).collect();
        assert_eq!(left_out, ["stopped", "", "repeats z, with the same seed"]);
        assert_eq!(group.settings[0].mean.mean, Some(0.7));
    }

    #[test]
    fn a_half_scored_epoch_is_in_no_mean() {
        let mut torn = run("a", "seed: 1", &[0.5, 0.6]);
        torn.cases.epochs.get_mut(&1).unwrap().remove("c1");
        let group = compare(vec![torn], ComparedEpoch::Best).remove(0);
        assert_eq!(group.rows[0].left_out.as_deref(), Some("the scores of its cases are missing"));
        assert_eq!(group.rows[0].chosen.as_ref().unwrap().mean.mean, Some(0.55));
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
