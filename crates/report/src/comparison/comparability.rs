//! Which runs are comparable, and which of them have the same recipe.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::plan_differences::full_form;
use crate::format::count;
use crate::runs::{ComparedMetric, Run};
use run_folder::plan_keys::{WITHOUT_EFFECT, remove};

/// What two runs must have in common for their scores to be comparable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ComparabilityKey {
    pub(super) metric: ComparedMetric,
    pub(super) labels: Vec<String>,
    /// The keys of the metric that affect its scores, such as `empty: nan` of Dice.
    convention: String,
    /// A fingerprint of the data.
    data: String,
    /// A fingerprint of the split.
    split: String,
    /// The split in words.
    pub split_description: String,
    /// Whether each seed has its own validation cases.
    pub split_depends_on_seed: bool,
    /// Whether runs validate on different parts of one data set.
    pub has_folds: bool,
}

/// Groups runs by their comparability key, for the requested metric or the default one.
pub(super) fn group_by_key(runs: Vec<Run>, metric: Option<&str>) -> Vec<(ComparabilityKey, Vec<Run>)> {
    let mut by_key: BTreeMap<ComparabilityKey, Vec<Run>> = BTreeMap::new();
    for run in runs {
        by_key.entry(ComparabilityKey::of(&run, metric)).or_default().push(run);
    }
    let mut groups = join_folds(by_key.into_iter().collect());
    // The labels of a run without scores are unknown; it joins a scored group that matches otherwise.
    let (unscored, mut scored): (Vec<_>, Vec<_>) = groups.drain(..).partition(|(key, _)| key.labels.is_empty());
    for (key, runs) in unscored {
        let matches = |other: &ComparabilityKey| {
            let is_unknown = key.convention == UNKNOWN_CONVENTION;
            let convention = if is_unknown { &key.convention } else { &other.convention }.clone();
            let (metric, labels) = (key.metric.clone(), key.labels.clone());
            ComparabilityKey { metric, labels, convention, ..other.clone() } == key
        };
        match scored.iter_mut().find(|(other, _)| matches(other)) {
            Some((_, members)) => members.extend(runs),
            None => scored.push((key, runs)),
        }
    }
    scored
}

/// Joins groups whose splits come from files and whose validation cases are disjoint: they are folds of one data set.
fn join_folds(groups: Vec<(ComparabilityKey, Vec<Run>)>) -> Vec<(ComparabilityKey, Vec<Run>)> {
    let (from_files, mut joined): (Vec<_>, Vec<_>) =
        groups.into_iter().partition(|(_, runs)| runs[0].is_split_by_file());
    let mut candidates: BTreeMap<ComparabilityKey, Vec<(ComparabilityKey, Vec<Run>)>> = BTreeMap::new();
    for (key, runs) in from_files {
        let without_split = ComparabilityKey { split: String::new(), split_description: String::new(), ..key.clone() };
        candidates.entry(without_split).or_default().push((key, runs));
    }
    for (without_split, folds) in candidates {
        let cases: Vec<String> = folds.iter().flat_map(|(_, runs)| runs[0].validation()).collect();
        let is_disjoint = cases.iter().collect::<BTreeSet<_>>().len() == cases.len();
        if folds.len() == 1 || !is_disjoint {
            joined.extend(folds);
            continue;
        }
        let split_description = format!("{} folds from files, {} cases", folds.len(), cases.len());
        let split = digest(cases.iter().collect::<BTreeSet<_>>());
        let runs = folds.into_iter().flat_map(|(_, runs)| runs).collect();
        joined.push((ComparabilityKey { split, split_description, has_folds: true, ..without_split }, runs));
    }
    joined
}

impl ComparabilityKey {
    pub(super) fn of(run: &Run, metric: Option<&str>) -> Self {
        let metric = run.compared_metric(metric);
        let parts = run.parts.as_ref();
        let all: BTreeSet<&String> =
            parts.iter().flat_map(|parts| [&parts.train, &parts.val, &parts.test]).flatten().collect();
        let SplitKey { fingerprint, description, depends_on_seed, has_folds } = split(run);
        Self {
            labels: run.labels(&metric.name),
            convention: convention(run, &metric.name),
            metric,
            data: match run.planned(&["data", "source", "phantom"]) {
                Json::Object(phantom) => format!("phantoms {}", Json::from(phantom.clone())),
                _ => run.data_fingerprint.clone().unwrap_or_else(|| digest(all)),
            },
            split: fingerprint,
            split_description: description,
            split_depends_on_seed: depends_on_seed,
            has_folds,
        }
    }

    /// Describes the differences to another key, one per item.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        if self.metric.name != other.metric.name {
            differences.push(format!("another metric: {} instead of {}", self.metric.title, other.metric.title));
        }
        if self.labels != other.labels {
            let list = |labels: &[String]| if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
            differences.push(format!("other labels: {} instead of {}", list(&self.labels), list(&other.labels)));
        }
        if self.metric.name == other.metric.name && self.convention != other.convention {
            let (title, own, others) = (&self.metric.title, &self.convention, &other.convention);
            differences.push(format!("another metric convention: {title} {own} instead of {others}"));
        }
        if self.data != other.data {
            differences.push("other data".to_owned());
        }
        match (self.split != other.split, self.split_description == other.split_description) {
            (true, true) if self.data == other.data => {
                differences.push("another split: other validation cases".to_owned());
            }
            (true, false) => {
                let (own, others) = (&self.split_description, &other.split_description);
                differences.push(format!("another split: {own} instead of {others}"));
            }
            _ => {}
        }
        differences
    }
}

/// The convention of a metric that the run does not declare.
const UNKNOWN_CONVENTION: &str = "{ unknown }";

/// Returns the keys of a metric that affect its scores, with their defaults.
fn convention(run: &Run, metric: &str) -> String {
    let declared = run.declared.iter().find(|declared| declared.name() == metric).filter(|_| !run.plan.is_null());
    let Some(tree) = declared.and_then(|metric| serde_json::to_value(metric).ok()) else {
        return UNKNOWN_CONVENTION.to_owned();
    };
    let keys = tree[metric].as_object().into_iter().flatten().filter(|(key, _)| !NEUTRAL_KEYS.contains(&key.as_str()));
    let keys: Vec<String> = keys.map(|(key, value)| format!("{key}: {}", full_form(value))).collect();
    if keys.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", keys.join(", ")) }
}

/// Keys of a metric that add scores, and do not change those of labels.
const NEUTRAL_KEYS: [&str; 2] = ["regions", "global"];

/// What the comparability of a run depends on in its split.
struct SplitKey {
    fingerprint: String,
    description: String,
    depends_on_seed: bool,
    has_folds: bool,
}

impl SplitKey {
    /// A split whose description is its fingerprint.
    fn described(description: String, depends_on_seed: bool, has_folds: bool) -> Self {
        Self { fingerprint: description.clone(), description, depends_on_seed, has_folds }
    }
}

/// Returns what the comparability of a run depends on in its split.
fn split(run: &Run) -> SplitKey {
    let split = run.planned(&["data", "split"]);
    if !split["nnunet"].is_null() {
        return SplitKey::described("nnU-Net's 5 folds".to_owned(), false, true);
    }
    if let Some(count) = split["fold"]["count"].as_u64() {
        let description = format!("{count} folds{}", split_keys(&split["fold"]));
        return SplitKey::described(description, split["fold"]["seed"].is_null(), true);
    }
    if let Some(fractions) = split["fraction"].as_object() {
        let fraction = |part: &str| fractions.get(part).and_then(Json::as_f64).unwrap_or(0.0);
        let [train, val, test] = ["train", "val", "test"].map(fraction);
        let description = format!("random split of {train} / {val} / {test}{}", split_keys(&split["fraction"]));
        let depends_on_seed = split["fraction"]["seed"].is_null();
        return SplitKey::described(description, depends_on_seed, depends_on_seed);
    }
    let subjects = run.validation();
    let fingerprint = digest(&subjects);
    let description = match subjects.len() {
        0 => "no validation cases".to_owned(),
        cases => format!("the same {}", count(cases, "validation case")),
    };
    SplitKey { fingerprint, description, depends_on_seed: false, has_folds: false }
}

/// Describes the seed, the groups and the strata of a split.
fn split_keys(split: &Json) -> String {
    let attribute = |value: &Json| {
        let entry = value.as_object().and_then(|entries| entries.iter().next());
        entry.map(|(kind, name)| format!("{kind} {}", name.as_str().unwrap_or_default()))
    };
    let seed = split["seed"].as_u64().map(|seed| format!(", seed {seed}"));
    let groups = attribute(&split["groups"]).map(|groups| format!(", grouped by {groups}"));
    let strata = attribute(&split["stratify"]).map(|strata| format!(", stratified by {strata}"));
    seed.into_iter().chain(groups).chain(strata).collect()
}

fn digest<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let mut hash = Sha256::new();
    for name in names {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
    }
    hex::encode(&hash.finalize()[..8])
}

/// Returns what the runs of a setting have in common, whatever their split: the plan without seed, split, and keys that affect
/// neither training nor scores.
pub fn setting_recipe(run: &Run) -> Json {
    let key = ComparabilityKey { has_folds: true, ..ComparabilityKey::of(run, None) };
    recipe(run, &key)
}

/// Returns the plan without seed, fold, and keys that affect neither training nor scores: runs with the same recipe
/// are one setting.
pub(super) fn recipe(run: &Run, key: &ComparabilityKey) -> Json {
    let mut plan = run.plan.clone();
    // Seed and split distinguish the runs of a setting; metrics and checkpoints are what is kept of a run.
    let kept = ["metrics", "checkpoint.keep_best", "checkpoint.keep_last"];
    let own = ["seed", "data.source", "data.labels", "data.split"].into_iter().chain(kept);
    for key in WITHOUT_EFFECT.into_iter().chain(own) {
        remove(&mut plan, key);
    }
    if let (Some(parts), Some(plan), false) = (&run.parts, plan.as_object_mut(), key.has_folds) {
        let mut train = parts.train.clone();
        train.sort();
        let description = format!("{} subjects ({})", train.len(), &digest(&train)[..6]);
        plan.insert("training".to_owned(), description.into());
    }
    plan
}
