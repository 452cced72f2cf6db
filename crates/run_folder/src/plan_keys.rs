//! Keys of a plan that do not affect the results of a run.

use serde_json::Value as Json;

/// The keys of a plan that affect neither training nor scores, as dotted paths.
///
/// Runs whose plans differ in them only are the same run: they have the same id in a sweep, are one setting of a report,
/// and are compared by `reproduce`. A resumed run may change them.
pub const WITHOUT_EFFECT: [&str; 6] =
    ["name", "extends", "device", "queue.workers", "checkpoint.every_steps", "checkpoint.every_secs"];

/// The keys whose values are places of the data of a run; keys below them count as well. A run may find its data elsewhere,
/// if the files have the content that it recorded.
pub const PLACES: [&str; 3] = ["data.source", "data.split.file", "sampler.weighted.map"];

/// Returns whether the value of a key is a place of the data.
pub fn is_place(key: &str) -> bool {
    let is_below = |place: &str| key.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    PLACES.iter().any(|place| is_below(place))
}

/// Returns whether a key affects neither training nor scores.
pub fn has_no_effect(key: &str) -> bool {
    WITHOUT_EFFECT.contains(&key)
}

/// Removes the key at a dotted path from a plan.
pub fn remove(plan: &mut Json, key: &str) {
    let (parent, name) = match key.rsplit_once('.') {
        Some((parent, name)) => (plan.pointer_mut(&format!("/{}", parent.replace('.', "/"))), name),
        None => (Some(plan), key),
    };
    if let Some(entries) = parent.and_then(Json::as_object_mut) {
        entries.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_below_a_place_are_places() {
        assert!(["data.source", "data.source.msd.root", "data.split.file"].iter().all(|key| is_place(key)));
        assert!(["data", "data.sources", "data.split", "seed"].iter().all(|key| !is_place(key)));
    }

    #[test]
    fn a_key_is_removed_at_its_path_only() {
        let mut plan = json!({ "name": "a", "queue": { "workers": 2, "name": 3 } });
        ["name", "queue.workers", "checkpoint.every_steps", "seed"].iter().for_each(|key| remove(&mut plan, key));
        assert_eq!(plan, json!({ "queue": { "name": 3 } }));
    }
}
