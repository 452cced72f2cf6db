//! The keys in which the plans of runs differ.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use crate::format::number;

/// A key of the plan whose value varies between runs.
#[derive(Clone, Debug, PartialEq)]
pub struct VaryingKey {
    /// Its dotted path, as in `--set`.
    pub path: String,
    /// The value in each run; `None` if the run has no such key.
    pub values: Vec<Option<String>>,
}

impl VaryingKey {
    /// Returns the last part of the path.
    pub fn short(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or(&self.path)
    }

    /// Returns the values as numbers, or `None` if any value is not a number.
    pub fn numbers(&self) -> Option<Vec<Option<f64>>> {
        let number = |value: &Option<String>| match value {
            Some(text) => text.parse().ok().filter(|value: &f64| value.is_finite()).map(Some),
            None => Some(None),
        };
        self.values.iter().map(number).collect()
    }

    /// Returns the distinct values, sorted: numbers by value, texts alphabetically.
    pub fn levels(&self) -> Vec<String> {
        let mut levels: Vec<&String> = self.values.iter().flatten().collect::<BTreeSet<_>>().into_iter().collect();
        if self.numbers().is_some() {
            let number = |text: &str| text.parse::<f64>().unwrap_or(f64::INFINITY);
            levels.sort_by(|a, b| number(a).total_cmp(&number(b)));
        }
        levels.into_iter().cloned().collect()
    }
}

/// Returns the keys that vary between plans.
///
/// For a component such as the loss, which is a map with one key, its name varies; its parameters are compared only
/// among the runs that have the same component.
pub fn varying_keys(plans: &[&Json]) -> Vec<VaryingKey> {
    let mut keys = Vec::new();
    let nodes: Vec<Option<&Json>> = plans.iter().map(|plan| Some(*plan)).collect();
    collect("", &nodes, &mut keys);
    keys
}

fn collect(path: &str, nodes: &[Option<&Json>], keys: &mut Vec<VaryingKey>) {
    let mut present = nodes.iter().flatten();
    let Some(first) = present.next() else { return };
    if present.all(|node| node == first) && nodes.iter().all(Option::is_some) {
        return;
    }
    let present: Vec<&Json> = nodes.iter().flatten().copied().collect();
    let maps: Option<Vec<&Map<String, Json>>> = present.iter().map(|node| node.as_object()).collect();
    let lists: Option<Vec<&Vec<Json>>> = present.iter().map(|node| node.as_array()).collect();
    match (maps, lists) {
        (Some(maps), _) if same_keys(&maps) => {
            for name in maps[0].keys() {
                collect(&join(path, name), &children(nodes, name), keys);
            }
        }
        (Some(maps), _) if maps.iter().all(|map| map.len() == 1) => compare_components(path, nodes, &maps, keys),
        (_, Some(lists)) if lists.iter().all(|list| list.len() == lists[0].len() && contains_maps(list)) => {
            for index in 0..lists[0].len() {
                let items: Vec<_> = nodes.iter().map(|node| node.and_then(|node| node.get(index))).collect();
                collect(&join(path, &index.to_string()), &items, keys);
            }
        }
        _ => keys.push(VaryingKey { path: path.to_owned(), values: distinct_values(nodes) }),
    }
}

/// Compares components: maps with one key, the name of the component.
fn compare_components(path: &str, nodes: &[Option<&Json>], maps: &[&Map<String, Json>], keys: &mut Vec<VaryingKey>) {
    let values = nodes.iter().map(|node| node.map(component_name)).collect();
    keys.push(VaryingKey { path: path.to_owned(), values });
    let names: BTreeSet<&String> = maps.iter().flat_map(|map| map.keys()).collect();
    for name in names {
        let items = children(nodes, name);
        let mut present = items.iter().flatten();
        let first = present.next();
        if !present.all(|item| Some(item) == first) {
            collect_present(&join(path, name), &items, keys);
        }
    }
}

/// Collects the varying keys among the runs that have the node.
fn collect_present(path: &str, items: &[Option<&Json>], keys: &mut Vec<VaryingKey>) {
    let present: Vec<usize> = (0..items.len()).filter(|index| items[*index].is_some()).collect();
    let own: Vec<Option<&Json>> = present.iter().map(|index| items[*index]).collect();
    let mut own_keys = Vec::new();
    collect(path, &own, &mut own_keys);
    keys.extend(own_keys.into_iter().map(|key| {
        let mut values = vec![None; items.len()];
        for (index, value) in present.iter().zip(key.values) {
            values[*index] = value;
        }
        VaryingKey { path: key.path, values }
    }));
}

/// Returns the values in short form, or in full if different values have the same short form.
fn distinct_values(nodes: &[Option<&Json>]) -> Vec<Option<String>> {
    let values: Vec<Option<String>> = nodes.iter().map(|node| node.map(short_form)).collect();
    let different: BTreeSet<String> = nodes.iter().flatten().map(|node| node.to_string()).collect();
    let shown: BTreeSet<&String> = values.iter().flatten().collect();
    if shown.len() == different.len() { values } else { nodes.iter().map(|node| node.map(full_form)).collect() }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn children<'a>(nodes: &[Option<&'a Json>], name: &str) -> Vec<Option<&'a Json>> {
    nodes.iter().map(|node| node.and_then(|node| node.get(name))).collect()
}

fn same_keys(maps: &[&Map<String, Json>]) -> bool {
    maps.iter().all(|map| map.len() == maps[0].len() && map.keys().all(|name| maps[0].contains_key(name)))
}

fn contains_maps(list: &[Json]) -> bool {
    list.iter().any(Json::is_object)
}

/// Returns the name of a component.
fn component_name(node: &Json) -> String {
    node.as_object().and_then(|map| map.keys().next()).cloned().unwrap_or_else(|| short_form(node))
}

/// Formats a value in short form: a list of components by their names.
fn short_form(node: &Json) -> String {
    match node {
        Json::Array(items) if contains_maps(items) => items.iter().map(component_name).collect::<Vec<_>>().join(", "),
        node => full_form(node),
    }
}

/// Formats a value as YAML in flow style.
pub(super) fn full_form(node: &Json) -> String {
    match node {
        Json::Null => "null".to_owned(),
        Json::String(text) => text.clone(),
        Json::Number(value) => value.as_f64().filter(|_| value.is_f64()).map_or_else(|| value.to_string(), number),
        Json::Bool(on) => on.to_string(),
        Json::Array(items) => format!("[{}]", items.iter().map(full_form).collect::<Vec<_>>().join(", ")),
        Json::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(name, node)| format!("{name}: {}", full_form(node))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(plans: &[&str]) -> Vec<(String, Vec<String>)> {
        let plans: Vec<Json> = plans
            .iter()
            .map(|text| serde_json::to_value(serde_yaml::from_str::<serde_yaml::Value>(text).unwrap()).unwrap())
            .collect();
        let keys = varying_keys(&plans.iter().collect::<Vec<_>>());
        let values = |key: &VaryingKey| key.values.iter().map(|value| value.clone().unwrap_or_default()).collect();
        keys.iter().map(|key| (key.path.clone(), values(key))).collect()
    }

    fn key(path: &str, values: &[&str]) -> (String, Vec<String>) {
        (path.to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
    }

    #[test]
    fn equal_plans_have_no_varying_key() {
        assert_eq!(keys(&["a: {b: [1, 2]}", "a: {b: [1, 2]}"]), []);
    }

    #[test]
    fn numbers_and_lists_of_numbers_are_values() {
        let varying = keys(&["lr: 0.001\nwidths: [8, 16]", "lr: 1.0e-8\nwidths: [8, 16, 32]"]);
        assert_eq!(varying, [key("lr", &["0.001", "1e-8"]), key("widths", &["[8, 16]", "[8, 16, 32]"])]);
    }

    #[test]
    fn a_component_varies_by_its_name_and_then_by_its_parameters() {
        let varying = keys(&["loss: {dice: {smooth: 1}}", "loss: {dice: {smooth: 2}}", "loss: {cross_entropy: {}}"]);
        let expected = [key("loss", &["dice", "dice", "cross_entropy"]), key("loss.dice.smooth", &["1", "2", ""])];
        assert_eq!(varying, expected);
    }

    #[test]
    fn lists_of_components_vary_by_their_names_or_in_full_if_the_names_are_equal() {
        let varying = keys(&["augment: []", "augment: [{noise: {std: 1}}, {flip: {}}]"]);
        assert_eq!(varying, [key("augment", &["[]", "noise, flip"])]);
        let varying = keys(&["augment: [{noise: {std: 1}}]", "augment: [{noise: {std: 2}}]"]);
        assert_eq!(varying, [key("augment.0.noise.std", &["1", "2"])]);
        let varying = keys(&["a: []", "a: [{noise: {std: 1}}]", "a: [{noise: {std: 2}}]"]);
        assert_eq!(varying, [key("a", &["[]", "[{noise: {std: 1}}]", "[{noise: {std: 2}}]"])]);
    }

    #[test]
    fn levels_of_numbers_are_sorted_by_value() {
        let key = VaryingKey { path: "a.lr".into(), values: ["10", "9", "1e-3", "9"].map(|v| Some(v.into())).to_vec() };
        assert_eq!((key.short(), key.levels()), ("lr", vec!["1e-3".to_owned(), "9".into(), "10".into()]));
    }
}
