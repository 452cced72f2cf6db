//! Merging documents: `extends` and `--set`.

use std::str::FromStr;
use std::sync::Arc;

use super::problem::{Problem, SourceSpan, SourceText};
use super::tree::{Node, Value};

/// The maps with one key that selects a component: another key replaces the whole map.
pub const CHOICES: [&str; 7] = ["data.source", "data.split", "sampler", "model", "loss", "optimizer", "schedule"];

/// The maximum number of parts of a key, which is the maximum depth of a document.
const MAX_PARTS: usize = 64;

/// One `--set KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetArgument {
    /// A dotted path; list items by their index.
    pub key: String,
    /// Any YAML value.
    pub value: String,
}

impl FromStr for SetArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() && key.split('.').all(|part| !part.is_empty()) => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err(format!("expected KEY=VALUE with a dotted path as KEY, got `{text}`")),
        }
    }
}

/// Merges `over` into `base`: maps are merged, other values are replaced and `null` removes a key.
///
/// `path` is the dotted path of both in the document.
pub fn merge(base: &mut Node, over: Node, path: &str) {
    let (Value::Map(entries), Value::Map(changes)) = (&mut base.value, &over.value) else {
        *base = over;
        return;
    };
    if CHOICES.contains(&path)
        && changes.iter().any(|(key, node)| node.value != Value::Null && !entries.iter().any(|(name, _)| name == key))
    {
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

/// A value for one key of a document, with source locations.
#[derive(Clone, Debug)]
pub struct Change {
    /// A dotted path; list items by their index.
    pub key: String,
    /// The source location of the path.
    pub key_location: SourceSpan,
    /// The value.
    pub value: Node,
}

impl Change {
    /// Parses a `--set` argument.
    ///
    /// # Errors
    /// If the value is not YAML.
    pub fn from_set(set: &SetArgument) -> Result<Self, Problem> {
        let source = SourceText::new("--set", format!("{}={}", set.key, set.value));
        let value = value_of(set, &source)?;
        Ok(Self { key: set.key.clone(), key_location: SourceSpan { source, span: 0..set.key.len() }, value })
    }

    /// Applies the change to a document.
    ///
    /// # Errors
    /// If a list has no such item, or the path goes through a scalar.
    pub fn apply(&self, document: &mut Node) -> Result<(), Problem> {
        let SourceSpan { source, span } = &self.key_location;
        let is_quoted = source.text[span.clone()].starts_with(['"', '\'']);
        let first = span.start + usize::from(is_quoted);
        if self.key.split('.').count() > MAX_PARTS {
            let message = format!("expected a key of at most {MAX_PARTS} parts");
            let problem = Problem::at(Some(self.key_location.clone()), message);
            return Err(problem.help("write the dotted path of a key of the experiment"));
        }
        let parts: Vec<(usize, &str)> = self
            .key
            .split('.')
            .scan(first, |start, part| Some((std::mem::replace(start, *start + part.len() + 1), part)))
            .collect();
        let key_span = parts.last().map(|(start, part)| *start..start + part.len());
        set_value(document, &parts, Node { key_span, ..self.value.clone() }, "", source)
    }
}

/// Parses the value of a `--set`, with source locations in the argument.
fn value_of(set: &SetArgument, source: &Arc<SourceText>) -> Result<Node, Problem> {
    let shift = set.key.len() + 1;
    let whole = SourceSpan { source: source.clone(), span: shift..source.text.len() };
    if set.value.trim().is_empty() {
        return Ok(Node { value: Value::Null, source: source.clone(), key_span: None, value_span: whole.span });
    }
    // Spaces replace the key, so the parser's offsets are those of the argument.
    let blank = SourceText::new("--set", format!("{}{}", " ".repeat(shift), set.value));
    let mut node = Node::parse(&blank).map_err(|mut problem| {
        problem.location =
            Some(problem.location.map_or(whole, |location| SourceSpan { source: source.clone(), span: location.span }));
        problem
    })?;
    node.move_to(source);
    Ok(node)
}

fn set_value(
    node: &mut Node,
    parts: &[(usize, &str)],
    value: Node,
    path: &str,
    source: &Arc<SourceText>,
) -> Result<(), Problem> {
    let [(start, part), rest @ ..] = parts else {
        merge(node, value, path);
        return Ok(());
    };
    let location = Some(SourceSpan { source: source.clone(), span: *start..start + part.len() });
    match &mut node.value {
        Value::List(items) => {
            let count = items.len();
            match part.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                Some(item) => set_value(item, rest, value, &join(path, part), source),
                None => Err(Problem::at(
                    location,
                    format!("expected an index into the list `{path}` of length {count}, got `{part}`"),
                )
                .help("items are counted from 0; to add one, set the whole list")),
            }
        }
        Value::Map(entries) if !rest.is_empty() && entries.iter().any(|(name, _)| name == part) => {
            let child = entries.iter_mut().find(|(name, _)| name == part).map(|(_, child)| child);
            child.map_or(Ok(()), |child| set_value(child, rest, value, &join(path, part), source))
        }
        Value::Map(_) | Value::Null => {
            let change = nest(parts, value, source);
            merge(node, change, path);
            Ok(())
        }
        _ => Err(Problem::at(location, format!("`{path}` is a scalar and has no key `{part}`"))),
    }
}

/// Wraps a value in one map per part of the path.
fn nest(parts: &[(usize, &str)], value: Node, source: &Arc<SourceText>) -> Node {
    parts.iter().enumerate().rev().fold(value, |inner, (index, (start, part))| {
        let key_span = (index > 0).then(|| parts[index - 1].0..parts[index - 1].0 + parts[index - 1].1.len());
        let value_span = *start..start + part.len();
        Node { value: Value::Map(vec![((*part).to_owned(), inner)]), source: source.clone(), key_span, value_span }
    })
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Node {
        Node::parse(&SourceText::new("a.yaml", text)).unwrap()
    }

    fn with_sets(text: &str, sets: &[&str]) -> Result<Node, Problem> {
        let mut node = parse(text);
        sets.iter().try_for_each(|set| Change::from_set(&set.parse().unwrap())?.apply(&mut node))?;
        Ok(node)
    }

    #[test]
    fn maps_merge_and_lists_replace() {
        let mut base = parse("train: { epochs: 3, batch_size: 2 }\naugment: [a, b]\n");
        merge(&mut base, parse("train: { epochs: 5 }\naugment: [c]\n"), "");
        assert_eq!(base, parse("train: { epochs: 5, batch_size: 2 }\naugment: [c]\n"));
    }

    #[test]
    fn null_removes_a_key() {
        let mut base = parse("a: 1\nb: 2\n");
        merge(&mut base, parse("a: null\nc: null\n"), "");
        assert_eq!(base, parse("b: 2\n"));
    }

    #[test]
    fn another_component_replaces_the_whole_map() {
        let node = with_sets("loss:\n  binary_cross_entropy: {}\n", &["loss.dice={}"]).unwrap();
        assert_eq!(node, parse("loss: { dice: {} }"));
    }

    #[test]
    fn the_same_component_is_merged() {
        let node =
            with_sets("optimizer: { adam: { learning_rate: 1, epsilon: 2 } }", &["optimizer.adam.learning_rate=1e-3"])
                .unwrap();
        assert_eq!(node, parse("optimizer: { adam: { learning_rate: 1e-3, epsilon: 2 } }"));
    }

    #[test]
    fn a_set_creates_missing_maps() {
        assert_eq!(with_sets("a: 1", &["train.epochs=3"]).unwrap(), parse("a: 1\ntrain: { epochs: 3 }"));
    }

    #[test]
    fn a_set_reaches_list_items_by_index() {
        let node = with_sets("augment: [{ noise: { std: 1 } }]", &["augment.0.noise.std=[0, 2]"]).unwrap();
        assert_eq!(node, parse("augment: [{ noise: { std: [0, 2] } }]"));
    }

    #[test]
    fn an_index_out_of_range_is_located_at_the_index() {
        let problem = with_sets("augment: [{ noise: {} }]", &["augment.3.noise={}"]).unwrap_err();
        let location = problem.location.unwrap();
        assert_eq!(&location.source.text[location.span], "3");
    }

    #[test]
    fn the_location_of_a_set_value_is_in_the_argument() {
        let node = with_sets("a: 1", &["train.epochs=many"]).unwrap();
        let location = node.child("train").unwrap().child("epochs").unwrap().location();
        assert_eq!((&location.source.name[..], &location.source.text[location.span]), ("--set", "many"));
    }
}
