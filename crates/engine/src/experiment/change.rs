//! Changes of single keys: `--set`, `--grid` and the keys of sweep files.

use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::keys::{Keys, join};
use super::merge::merge;
use super::other_choice::other_choice;
use super::parse_error::names_help;
use super::problem::{Problem, SourceSpan, SourceText};
use super::tree::{ANY_CHOICE, Node, Value};

/// The maximum number of parts of a key, which is the maximum depth of a document.
const MAX_PARTS: usize = 64;

/// One `--set KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetArgument {
    /// A dotted path; list items by their index, `*` for whichever component is chosen.
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

/// A value for one key of a document, with source locations.
#[derive(Clone, Debug)]
pub struct Change {
    /// A dotted path; list items by their index, `*` for whichever component is chosen.
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
        let [start, end] = [SET.len(), SET.len() + set.key.len()];
        let source = SourceText::argument(format!("{SET}{}={}", set.key, set.value));
        let value = value_of(&source, end + 1)?;
        Ok(Self { key: set.key.clone(), key_location: SourceSpan { source, span: start..end }, value })
    }

    /// Parses a `--grid` argument, whose values are separated by commas as in a YAML list: one change for each value.
    ///
    /// # Errors
    /// If the values are not YAML, or there are none.
    pub fn from_grid(key: &str, values: &str) -> Result<Vec<Self>, Problem> {
        let [start, end] = [GRID.len(), GRID.len() + key.len()];
        let source = SourceText::argument(format!("{GRID}{key}={values}"));
        // The `[` of the list replaces the `=`, so the parser's offsets are those of the argument.
        let list = SourceText::argument(format!("{}[{values}]", " ".repeat(end)));
        let whole = SourceSpan { source: source.clone(), span: end + 1..source.text.len() };
        let help = "write values as in a YAML list: --grid seed=1,2,3";
        let node = Node::parse(&list).map_err(|problem| {
            // A value may end the list itself, so the parser's location can be past the argument.
            Problem { location: Some(whole.clone()), ..problem }.help(help)
        })?;
        let key_location = SourceSpan { source: source.clone(), span: start..end };
        match node.value {
            Value::List(items) if !items.is_empty() => Ok(items
                .into_iter()
                .map(|mut value| {
                    value.move_to(&source);
                    Self { key: key.to_owned(), key_location: key_location.clone(), value }
                })
                .collect()),
            _ => Err(Problem::at(Some(whole), format!("`{key}` has no values")).help(help)),
        }
    }

    /// Returns the change of a key by an option of its own, such as `--name NAME`; the value is text.
    pub fn from_option(option: &str, key: &str, text: &str) -> Self {
        let source = SourceText::argument(format!("{option} {text}"));
        let value_span = option.len() + 1..source.text.len();
        let key_location = SourceSpan { source: source.clone(), span: 0..option.len() };
        let value = Node { value: Value::Text(text.to_owned()), source, key_span: None, value_span };
        Self { key: key.to_owned(), key_location, value }
    }

    /// Applies the change to a document.
    ///
    /// # Errors
    /// If a list has no such item, the path goes through a scalar, or through a component that is not the chosen one.
    pub fn apply(&self, document: &mut Node) -> Result<(), Problem> {
        let SourceSpan { source, span } = &self.key_location;
        let is_quoted = source.text[span.clone()].starts_with(['"', '\'']);
        let first = span.start + usize::from(is_quoted);
        if self.key.split('.').count() > MAX_PARTS {
            let message = format!("expected a key of at most {MAX_PARTS} parts");
            let problem = Problem::at(Some(self.key_location.clone()), message);
            return Err(problem.help("write the dotted path of a key of the experiment"));
        }
        let parts: Vec<Part> = self
            .key
            .split('.')
            .scan(first, |start, name| Some(Part { start: std::mem::replace(start, *start + name.len() + 1), name }))
            .collect();
        let key_span = parts.last().filter(|_| !self.is_option()).map(|part| part.start..part.start + part.name.len());
        let value = Node { key_span: key_span.or(Some(span.clone())), ..self.value.clone() };
        self.set(document, &parts, value, "")
    }

    /// Returns whether the source is an option of its own, which does not name the key.
    fn is_option(&self) -> bool {
        let SourceSpan { source, span } = &self.key_location;
        source.is_argument() && source.text.get(span.clone()) != Some(self.key.as_str())
    }

    /// Sets the value at the path `parts` below `node`, which is at `path`.
    fn set(&self, node: &mut Node, parts: &[Part], value: Node, path: &str) -> Result<(), Problem> {
        let [part, rest @ ..] = parts else {
            merge(node, value, path);
            return Ok(());
        };
        match &mut node.value {
            Value::List(items) => {
                let count = items.len();
                match part.name.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                    Some(item) => self.set(item, rest, value, &join(path, part.name)),
                    None => {
                        let message =
                            format!("expected an index into the list `{path}` of length {count}, got `{}`", part.name);
                        let problem = Problem::at(Some(self.location(part)), message);
                        Err(problem.help("items are counted from 0; to add one, set the whole list"))
                    }
                }
            }
            Value::Null | Value::Map(_) => {
                let name = self.key_in(node, part, rest, path)?;
                let below = join(path, &name);
                if rest.is_empty() {
                    let location = self.location(part);
                    let entries = vec![(name, value)];
                    let change = Node {
                        value: Value::Map(entries),
                        source: location.source,
                        key_span: None,
                        value_span: location.span,
                    };
                    merge(node, change, path);
                    return Ok(());
                }
                if node.value == Value::Null {
                    node.value = Value::Map(Vec::new());
                }
                let Value::Map(entries) = &mut node.value else { return Ok(()) };
                let index = entries.iter().position(|(key, _)| *key == name).unwrap_or_else(|| {
                    entries.push((name, self.unwritten(&below, part, rest)));
                    entries.len() - 1
                });
                self.set(&mut entries[index].1, rest, value, &below)
            }
            _ => Err(Problem::at(
                Some(self.location(part)),
                format!("`{path}` is a scalar and has no key `{}`", part.name),
            )),
        }
    }

    /// Returns the key that a part of the path names in a map: if the map chooses a component, only the chosen one.
    fn key_in(&self, node: &Node, part: &Part, rest: &[Part], path: &str) -> Result<String, Problem> {
        let location = || Some(self.location(part));
        let written: Vec<&str> = match &node.value {
            Value::Map(entries) => entries.iter().map(|(name, _)| name.as_str()).collect(),
            _ => Vec::new(),
        };
        let Some(names) = Keys::experiment().choices(path) else {
            if part.name != ANY_CHOICE {
                return Ok(part.name.to_owned());
            }
            let message = "`*` stands for the chosen component, and no component is chosen here".to_owned();
            return Err(Problem::at(location(), message).help("write the key, as in `optimizer.*.learning_rate`"));
        };
        // A choice may have a key beside the component, such as `index` beside the `file` of a split.
        let chosen = written.iter().copied().find(|name| names.contains(name)).or(written.first().copied());
        match chosen {
            Some(chosen) if part.name == ANY_CHOICE || part.name == chosen => Ok(chosen.to_owned()),
            None if part.name == ANY_CHOICE => {
                let message = format!("`*` stands for the chosen component, and `{path}` has none");
                Err(Problem::at(location(), message).help(format!("choose one of {}", names.join(", "))))
            }
            Some(_) if !names.contains(&part.name) && written.contains(&part.name) => Ok(part.name.to_owned()),
            _ if !names.contains(&part.name) => {
                let message = format!("unknown name `{}`", part.name);
                Err(Problem::at(location(), message).help(names_help(part.name, &names, "names")))
            }
            None => Ok(part.name.to_owned()),
            Some(chosen) => {
                let rest: Vec<&str> = rest.iter().map(|part| part.name).collect();
                Err(other_choice(self, location(), path, chosen, part.name, &rest))
            }
        }
    }

    /// Returns the map at a dotted path that is not written: the default if the rest of the path leads into the component
    /// that is chosen by default, else an empty one.
    fn unwritten(&self, path: &str, part: &Part, rest: &[Part]) -> Node {
        let keys = Keys::experiment();
        let is_default = |default: &&Json| {
            keys.choices(path).is_some()
                && rest.first().is_some_and(|next| next.name == ANY_CHOICE || default.get(next.name).is_some())
        };
        let empty = Json::Object(Map::new());
        Node::from_json(keys.default(path).filter(is_default).unwrap_or(&empty), &self.location(part))
    }

    fn location(&self, part: &Part) -> SourceSpan {
        let SourceSpan { source, span } = &self.key_location;
        let own = part.start..part.start + part.name.len();
        SourceSpan { source: source.clone(), span: if self.is_option() { span.clone() } else { own } }
    }
}

/// What precedes the key in the arguments as they are shown.
const SET: &str = "--set ";
const GRID: &str = "--grid ";

/// A part of a dotted path, with its offset in the source.
struct Part<'a> {
    start: usize,
    name: &'a str,
}

/// Parses the value of an argument that starts at an offset, with source locations in the argument.
fn value_of(source: &Arc<SourceText>, start: usize) -> Result<Node, Problem> {
    let text = &source.text[start..];
    let whole = SourceSpan { source: source.clone(), span: start..source.text.len() };
    if text.trim().is_empty() {
        return Ok(Node { value: Value::Null, source: source.clone(), key_span: None, value_span: whole.span });
    }
    // Spaces replace the key, so the parser's offsets are those of the argument.
    let blank = SourceText::argument(format!("{}{text}", " ".repeat(start)));
    let mut node = Node::parse(&blank).map_err(|mut problem| {
        problem.location =
            Some(problem.location.map_or(whole, |location| SourceSpan { source: source.clone(), span: location.span }));
        problem
    })?;
    node.move_to(source);
    Ok(node)
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

    fn marked(problem: &Problem) -> &str {
        let location = problem.location.as_ref().unwrap();
        &location.source.text[location.span.clone()]
    }

    const ADAMW: &str = "optimizer: { adamw: { learning_rate: 1e-3, weight_decay: 0.05 } }\n";

    #[test]
    fn a_path_through_the_chosen_component_changes_one_key() {
        let expected = parse("optimizer: { adamw: { learning_rate: 1e-4, weight_decay: 0.05 } }");
        for set in ["optimizer.adamw.learning_rate=1e-4", "optimizer.*.learning_rate=1e-4"] {
            assert_eq!(with_sets(ADAMW, &[set]).unwrap(), expected, "{set}");
        }
    }

    #[test]
    fn a_path_through_another_component_is_a_problem_that_names_both_and_the_ways_out() {
        for (text, set, chosen, ways) in [
            (
                ADAMW,
                "optimizer.adam.learning_rate=1e-4",
                "`optimizer` is `adamw`, not `adam`",
                ["--set optimizer.adamw.learning_rate=1e-4", "--set 'optimizer={adam: {learning_rate: 1e-4}}'"],
            ),
            (
                ADAMW,
                "optimizer.sgd.momentum=0.9",
                "not `sgd`",
                ["adamw has no `momentum`", "momentum: 0.9, learning_rate: ...}}'"],
            ),
            (
                "loss: { dice: {} }\n",
                "loss.focal={}",
                "`loss` is `dice`",
                ["--set loss.dice", "--set 'loss={focal: {}}'"],
            ),
            (
                "data: { source: { msd: { root: a } } }\n",
                "data.source.phantom.subjects=3",
                "`data.source` is `msd`",
                ["msd has no `subjects`", "--set 'data.source={phantom: {subjects: 3}}'"],
            ),
            (
                "augment: [{ affine: { degrees: 3 } }]\n",
                "augment.0.noise.std=1",
                "`augment.0` is `affine`",
                ["affine has no `std`", "--set 'augment.0={noise: {std: 1}}'"],
            ),
            (
                "preprocess: [{ mask: { keep: { above: 3 } } }]\n",
                "preprocess.0.mask.keep.labels=[1]",
                "is `above`",
                ["--set preprocess.0.mask.keep.above", "{labels: [1]}"],
            ),
        ] {
            let problem = with_sets(text, &[set]).unwrap_err();
            let help = problem.help.clone().unwrap();
            assert!(problem.message.contains(chosen), "{}", problem.message);
            assert!(ways.iter().all(|way| help.contains(way)), "{set}: {help}");
        }
    }

    #[test]
    fn a_whole_map_replaces_the_component_and_later_paths_lead_into_it() {
        let sets = ["optimizer={sgd: {learning_rate: 1}}", "optimizer.sgd.momentum=0.9", "optimizer.*.nesterov=true"];
        let expected = parse("optimizer: { sgd: { learning_rate: 1, momentum: 0.9, nesterov: true } }");
        assert_eq!(with_sets(ADAMW, &sets).unwrap(), expected);
        assert_eq!(
            with_sets(ADAMW, &["optimizer.adamw=null", "optimizer.adam={}"]).unwrap(),
            parse("optimizer: { adam: {} }")
        );
    }

    #[test]
    fn a_path_into_the_default_component_keeps_its_other_keys() {
        let fold = "data: { split: { fold: { count: 5, index: 2 } } }";
        assert_eq!(
            with_sets("seed: 1", &["data.split.fold.index=2"]).unwrap().child("data"),
            parse(fold).child("data")
        );
        let node = with_sets("seed: 1", &["schedule.*.warmup_steps=9", "data.split.first=7"]).unwrap();
        assert_eq!(node.child("schedule"), parse("schedule: { constant: { warmup_steps: 9 } }").child("schedule"));
        assert_eq!(node.child("data"), parse("data: { split: { first: 7 } }").child("data"));
    }

    #[test]
    fn a_star_needs_a_chosen_component() {
        for (set, message) in [
            ("optimizer.*.learning_rate=1", "`optimizer` has none"),
            ("train.*=1", "no component is chosen here"),
            ("optimiser.*.learning_rate=1", "no component is chosen here"),
        ] {
            let problem = with_sets("train: { epochs: 1 }", &[set]).unwrap_err();
            assert!(problem.message.contains(message), "{}", problem.message);
            assert_eq!(marked(&problem), "*");
        }
        let problem = with_sets(ADAMW, &["optimizer.admaw.learning_rate=1"]).unwrap_err();
        assert_eq!(
            (marked(&problem), problem.help.as_deref()),
            ("admaw", Some("did you mean `adamw`? allowed names: adam, adamw, sgd"))
        );
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
        assert_eq!(marked(&with_sets("augment: [{ noise: {} }]", &["augment.3.noise={}"]).unwrap_err()), "3");
    }

    #[test]
    fn the_location_of_a_value_is_in_the_argument() {
        let node = with_sets("a: 1", &["train.epochs=many"]).unwrap();
        let location = node.child("train").unwrap().child("epochs").unwrap().location();
        assert_eq!(location.source.text, "--set train.epochs=many");
        assert_eq!(&location.source.text[location.span], "many");

        let mut node = parse("a: 1");
        Change::from_option("--name", "name", "a/b").apply(&mut node).unwrap();
        let location = node.child("name").unwrap().location();
        assert_eq!((&location.source.text[..], &location.source.text[location.span]), ("--name a/b", "a/b"));
    }
}
