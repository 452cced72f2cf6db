//! What makes the numbers of two runs comparable, and what makes two runs the same recipe.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::runs::Run;

/// What makes numbers comparable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ComparabilityKey {
    pub(super) labels: Vec<String>,
    /// What the Dice of a class is that is empty in prediction and truth.
    empty: String,
    data: String,
    split: String,
    /// The split in words.
    pub split_words: String,
    /// Whether each seed has validation cases of its own.
    pub split_by_seed: bool,
    /// Whether runs validate on parts of one whole.
    pub has_folds: bool,
}

/// Sorts runs by what makes their numbers comparable.
pub(super) fn sort(runs: Vec<Run>) -> Vec<(ComparabilityKey, Vec<Run>)> {
    let mut by_key: BTreeMap<ComparabilityKey, Vec<Run>> = BTreeMap::new();
    for run in runs {
        by_key.entry(ComparabilityKey::of(&run)).or_default().push(run);
    }
    let mut groups = join_folds(by_key.into_iter().collect());
    // A run that ended before its first score has no labels; it belongs to those that got further.
    let (unscored, mut scored): (Vec<_>, Vec<_>) =
        groups.drain(..).partition(|(comparability, _)| comparability.labels.is_empty());
    for (comparability, runs) in unscored {
        let fits = |other: &ComparabilityKey| {
            ComparabilityKey { labels: comparability.labels.clone(), ..other.clone() } == comparability
        };
        match scored.iter_mut().find(|(other, _)| fits(other)) {
            Some((_, members)) => members.extend(runs),
            None => scored.push((comparability, runs)),
        }
    }
    scored
}

/// Splits from files whose validation cases have nothing in common are folds of one whole.
fn join_folds(groups: Vec<(ComparabilityKey, Vec<Run>)>) -> Vec<(ComparabilityKey, Vec<Run>)> {
    let (from_files, mut joined): (Vec<_>, Vec<_>) =
        groups.into_iter().partition(|(_, runs)| runs[0].is_split_by_file());
    let mut alike: BTreeMap<ComparabilityKey, Vec<(ComparabilityKey, Vec<Run>)>> = BTreeMap::new();
    for (comparability, runs) in from_files {
        let whole = ComparabilityKey { split: String::new(), split_words: String::new(), ..comparability.clone() };
        alike.entry(whole).or_default().push((comparability, runs));
    }
    for (whole, folds) in alike {
        let cases: Vec<String> = folds.iter().flat_map(|(_, runs)| runs[0].validation()).collect();
        let is_disjoint = cases.iter().collect::<BTreeSet<_>>().len() == cases.len();
        if folds.len() == 1 || !is_disjoint {
            joined.extend(folds);
            continue;
        }
        let split_words = format!("{} folds from files, {} cases", folds.len(), cases.len());
        let split = digest(cases.iter().collect::<BTreeSet<_>>());
        let runs = folds.into_iter().flat_map(|(_, runs)| runs).collect();
        joined.push((ComparabilityKey { split, split_words, has_folds: true, ..whole }, runs));
    }
    joined
}

impl ComparabilityKey {
    pub(super) fn of(run: &Run) -> Self {
        let parts = run.parts.as_ref();
        let all: BTreeSet<&String> =
            parts.iter().flat_map(|parts| [&parts.train, &parts.val, &parts.test]).flatten().collect();
        let (split, split_words, split_by_seed) = split(run);
        Self {
            labels: run.labels(),
            empty: empty_convention(run),
            data: match run.planned(&["data", "source", "phantom"]) {
                Json::Object(phantom) => format!("phantoms {}", Json::from(phantom.clone())),
                _ => run.data.clone().unwrap_or_else(|| digest(all)),
            },
            split,
            split_words,
            split_by_seed,
            has_folds: split_by_seed,
        }
    }

    /// In what it differs from another, in words.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.labels != other.labels {
            let list = |labels: &[String]| if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
            reasons.push(format!("other labels: {} instead of {}", list(&self.labels), list(&other.labels)));
        }
        if self.empty != other.empty {
            let (own, others) = (&self.empty, &other.empty);
            reasons.push(format!("another metric convention: Dice of an empty class is {own} instead of {others}"));
        }
        if self.data != other.data {
            reasons.push("other data".to_owned());
        }
        match (self.split != other.split, self.split_words == other.split_words) {
            (true, true) if self.data == other.data => reasons.push("another split: other validation cases".to_owned()),
            (true, false) => {
                reasons.push(format!("another split: {} instead of {}", self.split_words, other.split_words));
            }
            _ => {}
        }
        reasons
    }
}

/// What the Dice of a class is that is empty in prediction and truth; a plan that does not say so has the default.
fn empty_convention(run: &Run) -> String {
    let metrics = run.plan["metrics"].as_array().into_iter().flatten();
    let told = metrics.filter_map(|metric| metric["dice"]["empty"].as_str()).next();
    told.unwrap_or(if run.plan.is_null() { "unknown" } else { "nan" }).to_owned()
}

/// What a run validates on: as identity, in words, and whether the seed decides it.
fn split(run: &Run) -> (String, String, bool) {
    let split = run.planned(&["data", "split"]);
    if let Some(count) = split["fold"]["count"].as_u64() {
        return (format!("{count} folds"), format!("{count} folds"), true);
    }
    if let Some(shares) = split["fraction"].as_object() {
        let share = |part: &str| shares.get(part).and_then(Json::as_f64).unwrap_or(0.0);
        let words = format!("random shares of {} / {} / {}", share("train"), share("val"), share("test"));
        return (words.clone(), words, true);
    }
    let subjects = run.validation();
    let identity = digest(&subjects);
    (identity, format!("the same {} validation cases", subjects.len()), false)
}

fn digest<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let mut hash = Sha256::new();
    for name in names {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
    }
    hex::encode(&hash.finalize()[..8])
}

/// The plan without what does not change what is learnt, or is the same in a group by other names.
pub(super) fn recipe(run: &Run, comparability: &ComparabilityKey) -> Json {
    let mut plan = run.plan.clone();
    for key in ["name", "seed", "device", "extends"] {
        remove(&mut plan, &[key]);
    }
    for key in ["source", "labels", "split"] {
        remove(&mut plan, &["data", key]);
    }
    for key in ["keep_best", "keep_last"] {
        remove(&mut plan, &["checkpoint", key]);
    }
    remove(&mut plan, &["queue", "workers"]);
    if let (Some(parts), Some(plan), false) = (&run.parts, plan.as_object_mut(), comparability.has_folds) {
        let mut train = parts.train.clone();
        train.sort();
        let words = format!("{} subjects ({})", train.len(), &digest(&train)[..6]);
        plan.insert("training".to_owned(), words.into());
    }
    plan
}

fn remove(tree: &mut Json, path: &[&str]) {
    match path {
        [key] => drop(tree.as_object_mut().map(|map| map.remove(*key))),
        [key, rest @ ..] => drop(tree.get_mut(*key).map(|tree| remove(tree, rest))),
        [] => {}
    }
}
