//! What makes the numbers of two runs comparable, and what makes two runs the same recipe.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::report::runs::Run;

/// What makes numbers comparable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ground {
    pub(super) labels: Vec<String>,
    metrics: String,
    data: String,
    split: String,
    /// The split in words.
    pub split_words: String,
    /// Whether each seed has validation cases of its own.
    pub split_by_seed: bool,
}

impl Ground {
    pub(super) fn of(run: &Run) -> Self {
        let parts = run.parts.as_ref();
        let all: BTreeSet<&String> =
            parts.iter().flat_map(|parts| [&parts.train, &parts.val, &parts.test]).flatten().collect();
        let (split, split_words, split_by_seed) = split(run);
        Self {
            labels: run.labels(),
            metrics: run.plan["metrics"].to_string(),
            data: match run.planned(&["data", "source", "phantom"]) {
                Json::Object(phantom) => format!("phantoms {}", Json::from(phantom.clone())),
                _ => run.data.clone().unwrap_or_else(|| digest(all)),
            },
            split,
            split_words,
            split_by_seed,
        }
    }

    /// In what it differs from another, in words.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.labels != other.labels {
            let list = |labels: &[String]| if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
            reasons.push(format!("other labels: {} instead of {}", list(&self.labels), list(&other.labels)));
        }
        if self.metrics != other.metrics {
            let words = |text: &str| text.replace('"', "");
            let (own, others) = (words(&self.metrics), words(&other.metrics));
            reasons.push(format!("another metric convention: {own} instead of {others}"));
        }
        if self.data != other.data {
            reasons.push("other data".to_owned());
        }
        if self.split != other.split && (self.data == other.data || self.split_words != other.split_words) {
            reasons.push(format!("another split: {} instead of {}", self.split_words, other.split_words));
        }
        reasons
    }
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
    (identity.clone(), format!("validation on {} cases ({})", subjects.len(), &identity[..6]), false)
}

fn digest<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let mut hash = Sha256::new();
    for name in names {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The plan without what does not change what is learnt, or is the same in a group by other names.
pub(super) fn recipe(run: &Run, ground: &Ground) -> Json {
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
    if let (Some(parts), Some(plan), false) = (&run.parts, plan.as_object_mut(), ground.split_by_seed) {
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
