//! Factors of a sweep, and all combinations of their levels.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{GridArgument, Random, SweepSpec};
use engine::experiment::load::{Base, Change, SetArgument};
use engine::experiment::problem::{Problem, Problems};
use engine::experiment::tree::{Node, Value};
use random::{Purpose, Seed};
use run_folder::plan_keys::has_no_effect;

/// The maximum number of runs of a sweep.
const MAX_COMBINATIONS: usize = 10_000;

/// The levels of a factor: each combination uses one level, which sets some keys.
pub(super) type Factor = Vec<Vec<Change>>;

/// Returns the factors of a sweep file: each key of the grid, the list, and the random samples.
pub(super) fn written(root: &Node, spec: &SweepSpec) -> Result<Vec<Factor>, Problems> {
    let mut factors = Vec::new();
    for (key, values) in entries(root.child("grid")) {
        let Value::List(items) = &values.value else { continue };
        if items.is_empty() {
            let problem = Problem::at(Some(values.key_location()), format!("`{key}` has no values"));
            return Err(problem.help("give at least one, or remove the key").into());
        }
        factors.push(items.iter().map(|item| vec![change(key, values, item)]).collect());
    }
    if let Some(Value::List(items)) = root.child("list").map(|list| &list.value).filter(|_| !spec.list.is_empty()) {
        let changes = |item: &Node| {
            let entries = entries(Some(item)).iter();
            entries.map(|(key, value)| change(key, value, value)).collect()
        };
        factors.push(items.iter().map(changes).collect());
    }
    if let Some(random) = &spec.random {
        factors.push(samples(root, random)?);
    }
    Ok(factors)
}

/// Checks that the values of grid keys are not maps, which nested keys and ranges would be.
pub(super) fn check_nested_keys(root: &Node) -> Result<(), Problems> {
    let nested = entries(root.child("grid")).iter().filter(|(_, values)| matches!(values.value, Value::Map(_)));
    let problem = |(key, values): &(String, Node)| {
        let problem =
            Problem::at(Some(values.key_location()), format!("expected a list of values for `{key}`, got a map"));
        problem.help(
            "write keys as dotted paths: `optimizer.adam.learning_rate: [1e-3, 1e-2]`; ranges belong in `random: { keys: ... }`",
        )
    };
    let problems: Vec<Problem> = nested.map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

/// Returns the entries of a map in the order of the file.
fn entries(node: Option<&Node>) -> &[(String, Node)] {
    match node.map(|node| &node.value) {
        Some(Value::Map(entries)) => entries,
        _ => &[],
    }
}

fn change(key: &str, written: &Node, value: &Node) -> Change {
    Change { key: key.to_owned(), key_location: written.key_location(), value: value.clone() }
}

/// Samples the random combinations. A key's samples depend on the seed, the key and the index only.
fn samples(root: &Node, random: &Random) -> Result<Factor, Problems> {
    let written = entries(root.child("random").and_then(|random| random.child("keys")));
    if written.is_empty() {
        let location = root.child("random").map(Node::key_location);
        return Err(Problem::at(location, "`random` has no keys")
            .help("add `keys: {KEY: {uniform: [LOW, HIGH]}}`")
            .into());
    }
    let problems: Vec<Problem> = written
        .iter()
        .filter_map(|(key, node)| Some(Problem::at(Some(node.key_location()), random.keys.get(key)?.problem()?)))
        .collect();
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let count = random.count.get().min(MAX_COMBINATIONS + 1) as u64;
    let sample = |index: u64| {
        let sample = |(key, node): &(String, Node)| {
            let value = random.keys[key].sample(&mut Seed(random.seed).stream(Purpose::Sweep, 0, key, index));
            let location = node.key_location();
            Change { key: key.clone(), value: Node::from_json(&value, &location), key_location: location }
        };
        written.iter().map(sample).collect()
    };
    Ok((0..count).map(sample).collect())
}

/// Returns the factor of a `--grid` argument.
pub(super) fn from_argument(grid: &GridArgument) -> Result<Factor, Problem> {
    Ok(Change::from_grid(&grid.key, &grid.values)?.into_iter().map(|change| vec![change]).collect())
}

/// Checks that each key belongs to one factor only, and is not set by `--set` as well; a `*` in a key is the component
/// that the experiment chooses.
pub(super) fn check(factors: &[Factor], sets: &[SetArgument], base: &Base) -> Result<(), Problems> {
    let count = factors.iter().map(Vec::len).fold(1, usize::saturating_mul);
    if count > MAX_COMBINATIONS {
        let problem = Problem::at(None, format!("expected at most {MAX_COMBINATIONS} runs, got {count}"));
        return Err(problem.help("use fewer values, or sample some: `random: {count: N, ...}`").into());
    }
    let covers = |a: &str, b: &str| a == b || b.strip_prefix(a).is_some_and(|rest| rest.starts_with('.'));
    let mut problems: Vec<Problem> = fixed_keys(factors);
    // The factor of each key.
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (index, factor) in factors.iter().enumerate() {
        for change in factor.iter().flatten() {
            let key = &base.resolve_choices(&change.key);
            if seen.get(key) == Some(&index) {
                continue;
            }
            if let Some(set) = sets.iter().find(|set| covers(key, &base.resolve_choices(&set.key))) {
                let message = format!("the sweep varies `{key}`, and --set fixes `{}`", set.key);
                problems.push(Problem::at(Some(change.key_location.clone()), message).help("keep one of them"));
            }
            let above = key.match_indices('.').map(|(end, _)| &key[..end]).chain([key.as_str()]);
            let known = above.filter_map(|above| seen.get_key_value(above));
            let below = format!("{key}.");
            let below = seen.range(below.clone()..).take_while(|(known, _)| known.starts_with(&below));
            if let Some((known, _)) = known.chain(below).find(|(_, other)| **other != index) {
                let message = format!("`{key}` is given twice: another part of the sweep has `{known}`");
                problems.push(Problem::at(Some(change.key_location.clone()), message).help("keep one of them"));
            }
            seen.entry(key.clone()).or_insert(index);
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

/// Returns a problem for each key that does not affect the results of a run.
fn fixed_keys(factors: &[Factor]) -> Vec<Problem> {
    let why = |key: &str| match key {
        "device" => Some("give devices with --devices or `devices`; runs are distributed over them"),
        "queue.workers" => Some("the number of workers does not affect results; set it with --set queue.workers=N"),
        "name" => Some("name the sweep; its runs are named by their ids"),
        "extends" => Some("write a sweep for each file, or vary the keys in which they differ"),
        key if has_no_effect(key) => Some("it does not affect results; set it in the experiment"),
        _ => None,
    };
    let mut seen = BTreeSet::new();
    let changes = factors.iter().flatten().flatten().filter(|change| seen.insert(change.key.as_str()));
    let problem = |change: &Change| {
        let why = why(&change.key)?;
        let message = format!("`{}` cannot be varied", change.key);
        Some(Problem::at(Some(change.key_location.clone()), message).help(why))
    };
    changes.filter_map(problem).collect()
}

/// Returns every combination of the factors; the last one varies fastest.
pub(super) fn product(factors: &[Factor]) -> Vec<Vec<Change>> {
    factors.iter().fold(vec![Vec::new()], |combinations, factor| {
        let extended = |combination: &Vec<Change>| {
            let combination = combination.clone();
            factor.iter().map(move |alternative| combination.iter().chain(alternative).cloned().collect())
        };
        combinations.iter().flat_map(extended).collect()
    })
}
