//! A group of comparable runs and their settings.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::comparability::recipe;
use super::estimate::BootstrapCache;
use super::pairs::compare_pairs;
use super::settings::{assign_short_names, seed_variation};
use super::{
    ComparabilityKey, Compared, ComparedEpoch, ComparedRun, Comparison, Difference, Estimate, Setting, Subject,
};
use super::{VaryingKey, varying_keys};
use crate::runs::{ComparedMetric, Run};
use crate::statistics::SeedVariation;

/// Runs whose scores are comparable.
#[derive(Clone, Debug)]
pub struct Group {
    /// What they have in common.
    pub key: ComparabilityKey,
    /// Why they are not comparable with the first group; empty for the first group.
    pub differences: Vec<String>,
    /// The metric that is compared.
    pub metric: ComparedMetric,
    /// The labels whose scores are in the mean.
    pub labels: Vec<String>,
    /// The runs, best first.
    pub runs: Vec<ComparedRun>,
    /// The plan's keys whose values vary, with the value in each run.
    pub varying_keys: Vec<VaryingKey>,
    /// The settings, best first.
    pub settings: Vec<Setting>,
    /// All pairs of settings that share validation cases.
    pub comparisons: Vec<Comparison>,
    /// The variation of a run's mean score between seeds; `None` if it cannot be estimated.
    pub seed_variation: Option<SeedVariation>,
    /// Which epoch of each run is compared.
    pub epoch: ComparedEpoch,
    /// What was scored.
    pub subject: Subject,
}

impl Group {
    pub(super) fn new(differences: Vec<String>, key: ComparabilityKey, runs: Vec<Run>, compared: &Compared) -> Self {
        let (metric, labels) = (key.metric.clone(), key.labels.clone());
        let mut cache = BootstrapCache::default();
        let mut runs: Vec<ComparedRun> =
            runs.into_iter().map(|run| ComparedRun::new(run, &key, compared.epoch, &mut cache)).collect();
        if key.has_folds {
            number_folds(&mut runs);
        }
        let rank = |run: &ComparedRun| metric.rank(run.mean());
        runs.sort_by(|a, b| rank(b).total_cmp(&rank(a)).then_with(|| a.run.name.cmp(&b.run.name)));
        let is_incomplete: Vec<bool> = runs.iter().map(|run| run.exclusion.is_some()).collect();
        let recipes: Vec<Json> = runs.iter().map(|run| recipe(&run.run, &key)).collect();
        let varying_keys = varying_keys(&recipes.iter().collect::<Vec<_>>());
        exclude_repeats(&mut runs, &recipes);
        let mut group = Self {
            key,
            differences,
            metric,
            labels,
            runs,
            varying_keys,
            settings: vec![],
            comparisons: vec![],
            seed_variation: None,
            epoch: compared.epoch,
            subject: compared.subject,
        };
        group.settings = group.make_settings(&recipes, &is_incomplete, &mut cache);
        for (index, setting) in group.settings.iter().enumerate() {
            for run in &setting.runs {
                group.runs[*run].setting = Some(index);
            }
        }
        group.comparisons = compare_pairs(&group.settings, &group.metric, group.labels.len(), &mut cache);
        let splits_vary = group.key.split_depends_on_seed && group.num_scored_seeds() > 1;
        group.seed_variation = seed_variation(&group.settings, splits_vary);
        group
    }

    /// Returns the number of different seeds.
    pub fn num_seeds(&self) -> usize {
        self.runs.iter().filter_map(|run| run.run.seed()).collect::<BTreeSet<_>>().len()
    }

    /// Returns the number of different seeds among the runs of settings.
    fn num_scored_seeds(&self) -> usize {
        let scored = self.runs.iter().filter(|run| run.setting.is_some());
        scored.filter_map(|run| run.run.seed()).collect::<BTreeSet<_>>().len()
    }

    /// Returns whether the runs differ in their fold.
    pub fn has_folds(&self) -> bool {
        self.runs.iter().map(|run| run.fold).collect::<BTreeSet<_>>().len() > 1
    }

    /// Returns what a setting is called: a folder, if predictions are compared.
    pub fn setting_noun(&self) -> &'static str {
        match self.subject {
            Subject::Runs => "setting",
            Subject::Predictions => "folder",
            Subject::Candidates => "candidate",
        }
    }

    /// Returns the difference `a - b` of a pair, whatever direction is better.
    pub fn difference(&self, advantage: &Difference) -> Estimate {
        let Estimate { mean, interval } = advantage.estimate;
        Estimate {
            mean: mean.map(|mean| self.metric.advantage(mean)),
            interval: interval.map(|interval| self.metric.advantage_interval(interval)),
        }
    }

    /// Returns the values of a run under the varying keys; a missing key is an empty text.
    pub fn values(&self, run: usize) -> impl Iterator<Item = &str> {
        self.varying_keys.iter().map(move |key| key.values[run].as_deref().unwrap_or(""))
    }

    /// Describes a run by its values under the varying keys, or by its experiment's name if no key varies; predictions by
    /// the name of their folder.
    pub fn describe(&self, run: usize) -> String {
        if self.subject != Subject::Runs {
            return self.runs[run].run.name.clone();
        }
        let is_ambiguous =
            |key: &VaryingKey| self.varying_keys.iter().filter(|other| other.short() == key.short()).count() > 1;
        let values = self.varying_keys.iter().filter_map(|key| {
            let value = key.values[run].as_deref()?;
            let name = if is_ambiguous(key) { &key.path } else { key.short() };
            Some(format!("{name} {value}"))
        });
        let values: Vec<String> = values.collect();
        if values.is_empty() { self.runs[run].run.title() } else { values.join(", ") }
    }

    /// Sorts runs with the same recipe into settings. Incomplete runs are only counted; repeats are ignored.
    fn make_settings(&self, recipes: &[Json], is_incomplete: &[bool], cache: &mut BootstrapCache) -> Vec<Setting> {
        let mut complete: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut incomplete: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, run) in self.runs.iter().enumerate() {
            let recipe = recipes[index].to_string();
            match run.exclusion {
                None => complete.entry(recipe).or_default().push(index),
                Some(_) if is_incomplete[index] => incomplete.entry(recipe).or_default().push(index),
                Some(_) => {}
            }
        }
        let setting = |(recipe, runs): (String, Vec<usize>)| {
            Setting::new(self, runs, incomplete.get(&recipe).map_or(&[], Vec::as_slice), cache)
        };
        let mut settings: Vec<Setting> = complete.into_iter().map(setting).collect();
        settings.sort_by(|a, b| {
            let rank = |setting: &Setting| self.metric.rank(setting.mean.mean);
            rank(b).total_cmp(&rank(a)).then_with(|| a.name.cmp(&b.name))
        });
        assign_short_names(&mut settings, &self.runs);
        settings
    }
}

/// Numbers folds that come from split files, in the order of their cases.
fn number_folds(runs: &mut [ComparedRun]) {
    let folds: BTreeSet<Vec<String>> = runs.iter().map(|run| run.run.validation()).collect();
    for run in runs.iter_mut().filter(|run| run.fold.is_none() && run.run.is_split_by_file()) {
        let cases = run.run.validation();
        run.fold = folds.iter().position(|fold| *fold == cases).map(|fold| fold as u64);
    }
}

/// Excludes all but the newest of several runs with the same recipe, seed and cases: they would count as several seeds.
fn exclude_repeats(runs: &mut [ComparedRun], recipes: &[Json]) {
    let mut repeats: BTreeMap<(String, Option<u64>, Vec<String>), Vec<usize>> = BTreeMap::new();
    for (index, run) in runs.iter().enumerate().filter(|(_, run)| run.exclusion.is_none()) {
        let key = (recipes[index].to_string(), run.run.seed(), run.run.validation());
        repeats.entry(key).or_default().push(index);
    }
    for indices in repeats.into_values() {
        let Some(newest) = indices.iter().copied().max_by_key(|index| (&runs[*index].run.start, *index)) else {
            continue;
        };
        let reason = format!("repeats {}, with the same seed", runs[newest].run.name);
        for index in indices.into_iter().filter(|index| *index != newest) {
            runs[index].exclusion = Some(reason.clone());
        }
    }
}
