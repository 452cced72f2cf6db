//! Sections of the reference: a map of keys, or the components of a choice.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::order::names_at;
use super::value::{flow, in_words, words_of};
use crate::experiment::keys::{Keys, join};
use crate::experiment::problem::nearest;

/// The reference: its sections in the order of a file.
#[derive(Clone, Debug)]
pub struct Manual {
    /// The sections.
    pub sections: Vec<Section>,
}

/// A section: what stands at one path of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// The dotted path, such as `sampler.label`; empty for the top of the file. List items have no index in it.
    pub path: String,
    /// The number of sections around it.
    pub depth: usize,
    /// What it is for.
    pub text: String,
    /// An example in YAML, if there is one.
    pub example: Option<String>,
    /// Its keys, if it is a map.
    pub keys: Vec<Key>,
    /// Its components with their descriptions, if one of them is chosen.
    pub components: Vec<(String, String)>,
}

/// A key of a section.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// What is written as its value.
    pub value: String,
    /// The default as YAML; `None` if the key is required.
    pub default: Option<String>,
    /// What it means, with an example.
    pub text: String,
    /// The words that it may have, with their meanings.
    pub words: Vec<(String, String)>,
}

/// What the reference has under a name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Topic<'a> {
    /// A section, with the sections below it.
    Section(&'a Section),
    /// A key of a section.
    Key(&'a Section, &'a Key),
}

/// The lists of transforms, which have the same components: they are described once, in the first.
const TRANSFORMS: [&str; 3] = ["preprocess", "augment", "patch_augment"];

impl Manual {
    /// Returns the reference of an experiment.
    pub fn experiment() -> Self {
        let mut sections = Vec::new();
        collect("", 0, &mut sections, &mut BTreeSet::new());
        Self { sections }
    }

    /// Returns what the reference has at a dotted path, which may have indices of lists and `*` for a component: the only topic
    /// if the path is whole; else all topics whose paths end with it, the shortest first. Each has its whole path.
    ///
    /// # Errors
    /// The path that is most similar, if there is none of this name.
    pub fn find(&self, path: &str) -> Result<Vec<(String, Topic<'_>)>, Option<String>> {
        let topics = self.topics();
        let is_name = |part: &&str| part.parse::<usize>().is_err();
        let mut wanted: Vec<&str> = path.split('.').filter(is_name).collect();
        if wanted.is_empty() {
            return Err(None);
        }
        if let [list, _, ..] = wanted.as_slice()
            && TRANSFORMS.contains(list)
        {
            wanted.remove(0);
        }
        let matches = |topic: &str| {
            let parts: Vec<&str> = topic.split('.').collect();
            parts.len() >= wanted.len()
                && parts[parts.len() - wanted.len()..]
                    .iter()
                    .zip(&wanted)
                    .all(|(own, part)| *part == "*" || own == part)
        };
        let mut matching: Vec<_> = topics.iter().filter(|(topic, _)| matches(topic)).cloned().collect();
        // A stable sort: of equally long paths, the first in the file stays first.
        matching.sort_by_key(|(topic, _)| topic.matches('.').count());
        let whole = wanted.join(".");
        if let Some(position) = matching.iter().position(|(topic, _)| *topic == whole) {
            return Ok(vec![matching.swap_remove(position)]);
        }
        if !matching.is_empty() {
            return Ok(matching);
        }
        if let Some(name) = transforms::name_of_alias(path) {
            return self.find(name);
        }
        let names = topics.iter().map(|(topic, _)| topic.as_str());
        let last = |path: &str| path.rsplit('.').next().unwrap_or(path).to_owned();
        let by_path = nearest(path, names.clone()).map(str::to_owned);
        let names: Vec<String> = names.map(last).collect();
        let by_name = nearest(&last(path), names.iter().map(String::as_str)).map(str::to_owned);
        Err(if path.contains('.') { by_path.or(by_name) } else { by_name.or(by_path) })
    }

    /// Returns the sections below a section.
    pub fn below<'a>(&'a self, section: &Section) -> impl Iterator<Item = &'a Section> {
        let prefix = join(&section.path, "");
        self.sections.iter().filter(move |other| other.path.starts_with(&prefix))
    }

    fn topics(&self) -> Vec<(String, Topic<'_>)> {
        let mut topics = Vec::new();
        for section in &self.sections {
            if !section.path.is_empty() {
                topics.push((section.path.clone(), Topic::Section(section)));
            }
            for key in &section.keys {
                let path = join(&section.path, &key.name);
                if !self.sections.iter().any(|other| other.path == path) {
                    topics.push((path, Topic::Key(section, key)));
                }
            }
            for (name, _) in &section.components {
                let path = join(&section.path, name);
                if !self.sections.iter().any(|other| other.path == path) {
                    topics.push((path, Topic::Section(section)));
                }
            }
        }
        topics
    }
}

/// Collects the sections of the value at a dotted path.
///
/// A type that is the value of several keys has one section, below the first of them; `seen` are the types that have one.
fn collect(path: &str, depth: usize, sections: &mut Vec<Section>, seen: &mut BTreeSet<String>) {
    let keys = Keys::experiment();
    let Some(schema) = keys.at(path) else { return };
    let names = names_at(path).unwrap_or_default();
    let children: Vec<(&str, &Json)> =
        names.iter().filter_map(|name| Some((*name, keys.child(schema, name)?))).collect();
    let (text, example) = split_example(keys.description(path).unwrap_or_default());
    let is_choice = keys.choices(path).is_some();
    let section = Section {
        path: without_indices(path),
        depth,
        text,
        example,
        keys: if is_choice {
            Vec::new()
        } else {
            children.iter().map(|(name, child)| key(schema, name, child)).collect()
        },
        components: match is_choice {
            true => children.iter().map(|(name, _)| ((*name).to_owned(), component_text(schema, name))).collect(),
            false => Vec::new(),
        },
    };
    sections.push(section);
    for (name, child) in children {
        let below = join(path, name);
        let (below, item) = match keys.resolved(child)["items"].is_object() {
            true => (join(&below, "0"), keys.resolved(&keys.resolved(child)["items"])),
            false => (below, keys.resolved(child)),
        };
        let is_map = item["type"] == "object" && item["additionalProperties"] == false;
        let is_described = item["properties"].is_object() || item["description"].is_string();
        let is_section = is_map && is_described || !is_choice && keys.choices(&below).is_some();
        if is_section && type_name(child).is_none_or(|name| seen.insert(name.to_owned())) {
            collect(&below, depth + 1, sections, seen);
        }
    }
}

/// Returns the name of the type of a value, or of its items.
fn type_name(schema: &Json) -> Option<&str> {
    let value = schema["anyOf"].as_array().and_then(|schemas| schemas.first()).unwrap_or(schema);
    let item = if value["items"].is_object() { &value["items"] } else { value };
    item["$ref"].as_str()?.rsplit('/').next()
}

/// Returns the description of a component of a choice.
fn component_text(schema: &Json, name: &str) -> String {
    let components = schema["oneOf"].as_array().into_iter().flatten();
    let own = components.filter(|component| component["properties"].get(name).is_some());
    own.filter_map(|component| component["description"].as_str()).map(unwrapped).next().unwrap_or_default()
}

fn key(section: &Json, name: &str, schema: &Json) -> Key {
    let keys = Keys::experiment();
    let is_required = section["required"].as_array().is_some_and(|required| required.iter().any(|key| key == name));
    let (text, _) = split_example(schema["description"].as_str().unwrap_or_default());
    let default = schema.get("default").map_or_else(|| described_default(&text, schema), flow);
    let default = (!is_required).then_some(default);
    Key {
        name: name.to_owned(),
        value: in_words(keys, schema),
        text: without_default(&text, default.as_deref()),
        default,
        words: words_of(keys, schema),
    }
}

/// Returns the default of a key that is not written in a plan when it has its default, and so has none in the schema.
fn described_default(text: &str, schema: &Json) -> String {
    match text.split_once("` (default") {
        Some((before, _)) => before.rsplit('`').next().unwrap_or_default().to_owned(),
        None if schema["type"] == "boolean" => "false".to_owned(),
        None => "null".to_owned(),
    }
}

/// Removes the default from a description, where it is nothing but the value that is shown beside it.
fn without_default(text: &str, default: Option<&str>) -> String {
    let Some(default) = default else { return text.to_owned() };
    let mut text = text.to_owned();
    for value in [format!("`{default}`"), default.to_owned()] {
        for (pattern, replacement) in [
            (format!(" (default {value})"), ""),
            (format!("; default {value}."), "."),
            (format!(", default {value}."), "."),
            (format!(", default {value};"), ";"),
            (format!("; default {value};"), ";"),
            (format!(", default {value}, "), ", "),
            (format!(" Default: {value}."), ""),
            (format!(" Default {value}."), ""),
        ] {
            text = text.replace(&pattern, replacement);
        }
    }
    text
}

/// Splits a doc comment into its paragraphs, each in one line, and the YAML of its example.
fn split_example(text: &str) -> (String, Option<String>) {
    match text.split_once("```yaml\n") {
        Some((before, rest)) => {
            let (example, after) = rest.split_once("```").unwrap_or((rest, ""));
            let text = [before.trim(), after.trim()].join("\n\n");
            (unwrapped(text.trim()), Some(example.trim_end().to_owned()))
        }
        None => (unwrapped(text), None),
    }
}

/// Joins the lines of each paragraph.
fn unwrapped(text: &str) -> String {
    let paragraphs = text.trim().split("\n\n");
    paragraphs.map(|paragraph| paragraph.split('\n').collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n\n")
}

fn without_indices(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').filter(|part| part.parse::<usize>().is_err()).collect();
    match parts.as_slice() {
        // Transforms are the same in both lists.
        [list, rest @ ..] if TRANSFORMS.contains(list) => [&["transforms"], rest].concat().join("."),
        parts => parts.join("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_their_types() {
        let manual = Manual::experiment();
        let names = |path: &str| {
            let section = manual.sections.iter().find(|section| section.path == path).unwrap();
            section
                .keys
                .iter()
                .map(|key| key.name.clone())
                .chain(section.components.iter().map(|(name, _)| name.clone()))
        };
        assert_eq!(names("").take(4).collect::<Vec<_>>(), ["extends", "name", "seed", "device"]);
        assert_eq!(names("optimizer.adam").collect::<Vec<_>>(), ["learning_rate", "betas", "epsilon", "weight_decay"]);
        assert_eq!(names("schedule").collect::<Vec<_>>(), ["constant", "polynomial", "cosine"]);
    }

    #[test]
    fn every_key_has_a_meaning_and_a_default_or_an_example() {
        let manual = Manual::experiment();
        assert!(manual.sections.len() > 80);
        // A reference's grid is written by the program, not by a user.
        for section in manual.sections.iter().filter(|section| !section.path.ends_with("reference.grid")) {
            assert!(!section.text.is_empty() || section.path.is_empty(), "{} is not described", section.path);
            for key in &section.keys {
                let path = join(&section.path, &key.name);
                assert!(!key.text.is_empty() && !key.value.is_empty(), "{path} is not described");
                let is_section = manual.sections.iter().any(|other| other.path == path);
                let has_default = key.default.as_deref().is_some_and(|default| default != "null");
                let in_section = section.example.as_ref().is_some_and(|example| example.contains(&key.name));
                let has_example =
                    key.text.contains('`') || key.text.contains("for example") || key.text.contains("such as");
                assert!(
                    is_section || has_default || in_section || has_example,
                    "{path} has neither default nor example"
                );
            }
        }
    }

    #[test]
    fn a_topic_is_found_by_its_path_its_end_or_an_index() {
        let manual = Manual::experiment();
        let path_of = |topic: &Topic| match topic {
            Topic::Section(section) => section.path.clone(),
            Topic::Key(section, key) => join(&section.path, &key.name),
        };
        let found = |path: &str| match manual.find(path) {
            Ok(topics) => topics.iter().map(|(_, topic)| path_of(topic)).collect::<Vec<_>>().join(" "),
            Err(near) => format!("not found, near {}", near.unwrap_or_default()),
        };
        for (path, topic) in [
            ("sampler.label", "sampler.label"),
            ("train.epochs", "train.epochs"),
            ("epochs", "train.epochs train.freeze.epochs"),
            ("freeze.epochs", "train.freeze.epochs"),
            ("augment.0.affine.degrees", "transforms.affine.degrees"),
            ("preprocess", "preprocess"),
            ("flip", "transforms.flip"),
            ("optimizer.adam.learning_rate", "optimizer.adam.learning_rate"),
            ("data.split.first", "data.split"),
            ("train.epoch", "not found, near train.epochs"),
            ("RandomFlip", "transforms.flip"),
            ("zebra", "not found, near "),
        ] {
            assert_eq!(found(path), topic);
        }
    }

    #[test]
    fn a_name_of_several_topics_finds_all_and_each_is_found_by_its_own_path() {
        let manual = Manual::experiment();
        let mut several = 0;
        for (path, _) in manual.topics() {
            let last = path.rsplit('.').next().unwrap();
            several += usize::from(manual.find(last).unwrap().len() > 1);
            let found = manual.find(&path).unwrap();
            assert!(found.len() == 1 && found[0].0 == path, "{path}: {found:?}");
        }
        assert!(several > 20);
        let rates = manual.find("optimizer.*.learning_rate").unwrap();
        assert!(rates.len() > 1 && rates.iter().all(|(path, _)| path.ends_with(".learning_rate")), "{rates:?}");
    }

    #[test]
    fn the_default_is_not_repeated_in_the_meaning() {
        assert_eq!(without_default("Number of folds (default 5).", Some("5")), "Number of folds.");
        assert_eq!(without_default("Axes; default `[0, 1]`. More.", Some("[0, 1]")), "Axes. More.");
        assert_eq!(without_default("A name. Default: `null`, none.", Some("null")), "A name. Default: `null`, none.");
    }
}
