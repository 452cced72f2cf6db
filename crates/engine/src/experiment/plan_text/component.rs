//! Components of an experiment as text.

use serde::Serialize;
use serde_yaml::{Mapping, Value as Yaml};

/// Maximum length of the description of a component in characters; landmarks and reference grids are long.
const MAX_LENGTH: usize = 600;

/// Returns a part of the experiment as a tree of plain values, with keys in the order of their declaration.
pub(super) fn tree(value: &impl Serialize) -> Yaml {
    serde_yaml::with::singleton_map_recursive::serialize(value, serde_yaml::value::Serializer)
        .expect("the parts of an experiment are plain data")
}

/// Describes a list of components, one in each line.
pub(super) fn components(list: &[impl Serialize], if_empty: &str) -> String {
    let lines: Vec<String> = list.iter().map(|item| component(&tree(item))).collect();
    if lines.is_empty() { if_empty.to_owned() } else { lines.join("\n") }
}

/// Describes a component, a map from its name to its keys, such as `adam: learning_rate 0.001, epsilon 1e-8`; keys without
/// a value are left out.
pub(super) fn component(node: &Yaml) -> String {
    let text = match node.as_mapping().and_then(|map| map.iter().next()) {
        Some((name, keys)) => match keys {
            Yaml::Mapping(keys) => match entries(keys, " ") {
                entries if entries.is_empty() => value(name),
                entries => format!("{}: {entries}", value(name)),
            },
            keys => format!("{}: {}", value(name), value(keys)),
        },
        None => value(node),
    };
    if text.chars().count() <= MAX_LENGTH {
        return text;
    }
    text.chars().take(MAX_LENGTH).chain(['…']).collect()
}

/// Describes the entries that have a value.
fn entries(map: &Mapping, separator: &str) -> String {
    // An intensity without a value is the minimum.
    let is_minimum = |name: &Yaml, node: &Yaml| node.is_null() && matches!(name.as_str(), Some("fill" | "with"));
    let is_set = |node: &&Yaml| match node {
        Yaml::Null | Yaml::Bool(false) => false,
        Yaml::Sequence(items) => !items.is_empty(),
        Yaml::Mapping(map) => !map.is_empty(),
        _ => true,
    };
    let set = map.iter().filter(|(name, node)| is_set(node) || is_minimum(name, node));
    let entry = |(name, node): (&Yaml, &Yaml)| match node {
        Yaml::Bool(true) => value(name),
        Yaml::Null => format!("{}{separator}minimum", value(name)),
        node => format!("{}{separator}{}", value(name), value(node)),
    };
    set.map(entry).collect::<Vec<_>>().join(", ")
}

pub(super) fn value(node: &Yaml) -> String {
    match node {
        Yaml::Null => "null".to_owned(),
        Yaml::Bool(value) => value.to_string(),
        Yaml::Number(number) if number.is_f64() => number.as_f64().map(number_text).unwrap_or_default(),
        Yaml::Number(number) => number.to_string(),
        Yaml::String(text) => text.clone(),
        // One range for all axes is written once.
        Yaml::Sequence(items)
            if items.len() == 3 && items[0].is_sequence() && items.iter().all(|item| *item == items[0]) =>
        {
            value(&items[0])
        }
        Yaml::Sequence(items) if items.iter().any(Yaml::is_mapping) => {
            format!("[{}]", items.iter().map(item).collect::<Vec<_>>().join("; "))
        }
        Yaml::Sequence(items) => format!("[{}]", items.iter().map(value).collect::<Vec<_>>().join(", ")),
        Yaml::Mapping(map) => format!("{{{}}}", entries(map, ": ")),
        Yaml::Tagged(tagged) => value(&tagged.value),
    }
}

/// Describes an item of a list that contains maps: a component has its name as the only key.
fn item(node: &Yaml) -> String {
    let is_component = node.as_mapping().is_none_or(|map| map.len() == 1);
    if is_component { component(node) } else { value(node) }
}

/// Formats a number in plain notation, or in scientific notation if that is clearly shorter.
fn number_text(number: f64) -> String {
    let (plain, scientific) = (format!("{number}"), format!("{number:e}"));
    if plain.len() <= scientific.len() + 2 { plain } else { scientific }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(yaml: &str) -> String {
        component(&serde_yaml::from_str(yaml).unwrap())
    }

    #[test]
    fn components_are_described_by_the_keys_that_have_a_value() {
        for (yaml, expected) in [
            ("constant: {}", "constant"),
            (
                "foreground_normalize: { statistics: [{ low: -100, high: 200 }] }",
                "foreground_normalize: statistics [{low: -100, high: 200}]",
            ),
            (
                "adam: { learning_rate: 1.0e-4, epsilon: 1.0e-8, amsgrad: false }",
                "adam: learning_rate 0.0001, epsilon 1e-8",
            ),
            (
                "dice: { regions: { whole: [1, 2] }, empty: nan, global: true }",
                "dice: regions {whole: [1, 2]}, empty nan, global",
            ),
            (
                "affine: { degrees: [[-10, 10], [-10, 10], [-10, 10]], fill: null }",
                "affine: degrees [-10, 10], fill minimum",
            ),
            (
                "maybe: { probability: 0.5, steps: [{ flip: { probabilities: [1, 0, 0] } }, { gamma: { log_gamma: [0, 1] } }] }",
                "maybe: probability 0.5, steps [flip: probabilities [1, 0, 0]; gamma: log_gamma [0, 1]]",
            ),
            ("one_of: [{ z_normalize: {} }]", "one_of: [z_normalize]"),
        ] {
            assert_eq!(described(yaml), expected);
        }
    }

    #[test]
    fn long_descriptions_are_cut() {
        let text = described(&format!("resample: {{ numbers: {:?} }}", vec![1; 300]));
        assert_eq!((text.chars().count(), text.chars().last()), (MAX_LENGTH + 1, Some('…')));
    }
}
