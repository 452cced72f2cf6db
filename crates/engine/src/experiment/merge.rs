//! Merging documents: `extends`.

use super::keys::{Keys, join};
use super::tree::{Node, Value};

/// Merges `over` into `base`: maps are merged, other values are replaced and `null` removes a key. Where a map chooses one
/// component, another component replaces the whole map.
///
/// `path` is the dotted path of both in the document.
pub fn merge(base: &mut Node, over: Node, path: &str) {
    let (Value::Map(entries), Value::Map(changes)) = (&mut base.value, &over.value) else {
        *base = over;
        return;
    };
    // A key beside the component, such as the `index` of a split file, is not another component.
    let is_new = |(key, node): &(String, Node), names: &[&str]| {
        let is_component = names.contains(&key.as_str()) || !names.iter().any(|name| has(entries, name));
        is_component && node.value != Value::Null && !has(entries, key)
    };
    if Keys::experiment().choices(path).is_some_and(|names| changes.iter().any(|change| is_new(change, &names))) {
        *base = over;
        return;
    }
    base.source = over.source.clone();
    base.key_span = over.key_span.clone();
    base.value_span = over.value_span.clone();
    let Value::Map(changes) = over.value else { return };
    for (key, change) in changes {
        let position = entries.iter().position(|(name, _)| *name == key);
        match (position, change.value == Value::Null) {
            (Some(index), true) => drop(entries.remove(index)),
            (None, true) => {}
            (Some(index), false) => merge(&mut entries[index].1, change, &join(path, &key)),
            (None, false) => entries.push((key, change)),
        }
    }
}

fn has(entries: &[(String, Node)], key: &str) -> bool {
    entries.iter().any(|(name, _)| name == key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::problem::SourceText;

    fn parse(text: &str) -> Node {
        Node::parse(&SourceText::new("a.yaml", text)).unwrap()
    }

    fn merged(base: &str, over: &str) -> Node {
        let mut base = parse(base);
        merge(&mut base, parse(over), "");
        base
    }

    #[test]
    fn maps_merge_and_lists_replace() {
        let node =
            merged("train: { epochs: 3, batch_size: 2 }\naugment: [a, b]\n", "train: { epochs: 5 }\naugment: [c]\n");
        assert_eq!(node, parse("train: { epochs: 5, batch_size: 2 }\naugment: [c]\n"));
    }

    #[test]
    fn null_removes_a_key() {
        assert_eq!(merged("a: 1\nb: 2\n", "a: null\nc: null\n"), parse("b: 2\n"));
    }

    #[test]
    fn another_component_replaces_the_whole_map() {
        let base = "optimizer: { adamw: { learning_rate: 1e-3, weight_decay: 0.05 } }\n";
        let over = "optimizer: { adam: { learning_rate: 1e-4 } }\n";
        assert_eq!(merged(base, over), parse(over));
        let over = "optimizer: { adamw: { learning_rate: 1e-4 } }\n";
        let both = "optimizer: { adamw: { learning_rate: 1e-4, weight_decay: 0.05 } }\n";
        assert_eq!(merged(base, over), parse(both));
    }

    #[test]
    fn a_key_beside_a_component_is_not_another_component() {
        let base = "data: { split: { file: splits_final.json } }\n";
        let both = "data: { split: { file: splits_final.json, index: 2 } }\n";
        assert_eq!(merged(base, "data: { split: { index: 2 } }\n"), parse(both));
        let over = "data: { split: { first: 3 } }\n";
        assert_eq!(merged(both, over), parse(over));
    }
}
