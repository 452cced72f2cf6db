//! The keys of an experiment, from its JSON Schema: which keys there are, and where one component is chosen.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::Value as Json;

use super::schema;
use super::tree::ANY_CHOICE;

/// The keys of a kind of file.
#[derive(Debug)]
pub struct Keys {
    schema: Json,
}

/// The keys of an experiment.
static EXPERIMENT: LazyLock<Keys> = LazyLock::new(|| Keys { schema: schema::experiment_json() });

impl Keys {
    /// Returns the keys of an experiment.
    pub fn experiment() -> &'static Self {
        &EXPERIMENT
    }

    /// Returns the names to choose from if the value at a dotted path is a map with one key, the name of a component.
    pub fn choices(&self, path: &str) -> Option<Vec<&str>> {
        components(self.at(path)?).map(|components| components.into_iter().map(|(name, _)| name).collect())
    }

    /// Returns the default of the value at a dotted path.
    pub fn default(&self, path: &str) -> Option<&Json> {
        let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
        self.at(parent)?.get("properties")?.get(key)?.get("default")
    }

    /// Returns whether there is a key at a dotted path.
    pub fn contains(&self, path: &str) -> bool {
        self.at(path).is_some()
    }

    /// Returns whether the value at a dotted path is a map with keys of its own.
    pub(super) fn is_map(&self, path: &str) -> bool {
        self.at(path).is_some_and(|schema| schema["properties"].is_object())
    }

    /// Returns whether the value at a dotted path is a list.
    pub(super) fn is_list(&self, path: &str) -> bool {
        self.at(path).is_some_and(|schema| schema["items"].is_object())
    }

    /// Returns the description of the value at a dotted path: that of its type if it is an item of a list or has an
    /// example, else that of the key.
    pub(super) fn description(&self, path: &str) -> Option<&str> {
        let of_type = self.at(path).and_then(|schema| schema["description"].as_str());
        let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
        let of_key = self.at(parent).and_then(|schema| {
            let is_component = |variant: &&Json| variant["properties"].get(key).is_some();
            let written = match components(schema) {
                Some(_) => schema["oneOf"].as_array()?.iter().find(is_component)?,
                None => schema["properties"].get(key)?,
            };
            written["description"].as_str()
        });
        match of_type {
            Some(text) if text.contains("```") => of_type,
            _ => of_key.or(of_type),
        }
    }

    /// Returns the schema of a key or component as it is written, with its description.
    pub(super) fn child<'a>(&'a self, schema: &'a Json, key: &str) -> Option<&'a Json> {
        match components(schema) {
            Some(components) => components.into_iter().find(|(name, _)| *name == key).map(|(_, schema)| schema),
            None => schema["properties"].get(key),
        }
    }

    /// Returns the components of a choice, each with its name and schema, if a schema is one.
    pub(super) fn components<'a>(&self, schema: &'a Json) -> Option<Vec<(&'a str, &'a Json)>> {
        components(schema)
    }

    /// Returns the keys that the map at a dotted path must have.
    pub fn required(&self, path: &str) -> Vec<&str> {
        let keys = self.at(path).and_then(|schema| schema["required"].as_array());
        keys.into_iter().flatten().filter_map(Json::as_str).collect()
    }

    /// Returns the shortest dotted path that ends with a key and needs no index of a list. Where components are chosen
    /// and several have the key, the path has a `*`.
    pub fn find(&self, key: &str) -> Option<String> {
        let mut level = vec![(String::new(), &self.schema)];
        while !level.is_empty() {
            let mut next = Vec::new();
            let mut found = BTreeSet::new();
            for (path, schema) in level {
                let is_choice = components(schema).is_some();
                for (name, child) in self.children(schema) {
                    let path = join(&path, name);
                    if name == key && !is_choice {
                        found.insert(path.clone());
                    }
                    next.push((path, child));
                }
            }
            // Of equally short ones, options of training come first.
            if let Some(path) = found.iter().min_by_key(|path| !path.starts_with("train.")) {
                return Some(if found.len() > 1 { self.generalized(path, &found) } else { path.clone() });
            }
            level = next;
        }
        None
    }

    /// Replaces the chosen component of a path by `*`, if the other paths differ in it only.
    fn generalized(&self, path: &str, all: &BTreeSet<String>) -> String {
        let parts: Vec<&str> = path.split('.').collect();
        let with_star = |index: usize| {
            let parts = parts.iter().enumerate().map(|(other, part)| if other == index { ANY_CHOICE } else { part });
            parts.collect::<Vec<_>>().join(".")
        };
        let is_component = |index: &usize| self.choices(&parts[..*index].join(".")).is_some();
        match (1..parts.len()).find(is_component) {
            Some(index) => {
                let (before, after) = (parts[..index].join("."), parts[index + 1..].join("."));
                let has_others = all
                    .iter()
                    .filter(|other| *other != path)
                    .any(|other| other.starts_with(&format!("{before}.")) && other.ends_with(&format!(".{after}")));
                if has_others { with_star(index) } else { path.to_owned() }
            }
            None => path.to_owned(),
        }
    }

    /// Returns the keys of a map or the components of a choice, each with its schema.
    pub(super) fn children<'a>(&'a self, schema: &'a Json) -> Vec<(&'a str, &'a Json)> {
        if let Some(components) = components(schema) {
            return components.into_iter().map(|(name, schema)| (name, self.resolved(schema))).collect();
        }
        let properties = schema["properties"].as_object();
        properties.into_iter().flatten().map(|(key, schema)| (key.as_str(), self.resolved(schema))).collect()
    }

    /// Returns the schema of the value at a dotted path, in which any name stands for a key that the user chooses, and `*`
    /// for a component that has the rest of the path.
    pub(super) fn at(&self, path: &str) -> Option<&Json> {
        let parts: Vec<&str> = path.split('.').filter(|part| !part.is_empty()).collect();
        self.below(&self.schema, &parts)
    }

    fn below<'a>(&'a self, schema: &'a Json, parts: &[&str]) -> Option<&'a Json> {
        let schema = self.resolved(schema);
        let [part, rest @ ..] = parts else { return Some(schema) };
        if let Some(components) = components(schema) {
            let mut matching = components.into_iter().filter(|(name, _)| *part == ANY_CHOICE || name == part);
            return matching.find_map(|(_, schema)| self.below(schema, rest));
        }
        let child = match schema["properties"].get(part) {
            Some(child) => child,
            None if part.parse::<usize>().is_ok() && schema["items"].is_object() => &schema["items"],
            None if schema["additionalProperties"].is_object() => &schema["additionalProperties"],
            None => schema["patternProperties"].as_object()?.values().next()?,
        };
        self.below(child, rest)
    }

    /// Returns the definition that a schema refers to, or else the schema.
    pub(super) fn definition<'a>(&'a self, schema: &'a Json) -> &'a Json {
        match schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
            Some(name) => self.definition(&self.schema["$defs"][name]),
            None => schema,
        }
    }

    /// Returns the schema that a reference, a nullable value or a value with a short form stands for.
    pub(super) fn resolved<'a>(&'a self, schema: &'a Json) -> &'a Json {
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
            return self.resolved(&self.schema["$defs"][name]);
        }
        let is_value = |schema: &&Json| schema["type"] != "null";
        let mut values = schema["anyOf"].as_array().into_iter().flatten().filter(is_value);
        match (values.next(), values.next(), values.next()) {
            (Some(value), None, _) => self.resolved(value),
            // A text stands for a map with one key.
            (Some(text), Some(map), None) if text["type"] == "string" && map["properties"].is_object() => map,
            _ => schema,
        }
    }
}

/// Returns the components of a choice, each with its name and schema, if a schema is one.
fn components<'a>(schema: &'a Json) -> Option<Vec<(&'a str, &'a Json)>> {
    let component = |schema: &'a Json| {
        let (name, schema) = schema["properties"].as_object().filter(|keys| keys.len() == 1)?.iter().next()?;
        Some((name.as_str(), schema))
    };
    schema["oneOf"].as_array()?.iter().map(component).collect()
}

/// Appends a key to a dotted path.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_map_with_one_component_is_a_choice() {
        let keys = Keys::experiment();
        for path in [
            "data.source",
            "data.split",
            "sampler",
            "model",
            "loss",
            "optimizer",
            "schedule",
            "augment.0",
            "augment.1.maybe.steps.0",
            "patch_augment.0",
            "preprocess.3.mask.keep",
            "preprocess.0.crop_or_pad.mask",
            "postprocess.0",
            "metrics.0",
        ] {
            assert!(keys.choices(path).is_some_and(|names| !names.is_empty()), "{path}");
        }
        for path in ["", "data", "train", "inference.blend", "metrics.0.dice.empty", "optimizer.adam", "data.labels"] {
            assert_eq!(keys.choices(path), None, "{path}");
        }
    }

    #[test]
    fn the_last_part_of_a_key_leads_to_its_path() {
        let keys = Keys::experiment();
        for (key, path) in [
            ("epochs", Some("train.epochs")),
            ("batch_size", Some("train.batch_size")),
            ("seed", Some("seed")),
            ("workers", Some("queue.workers")),
            ("learning_rate", Some("optimizer.*.learning_rate")),
            ("patch", Some("sampler.*.patch")),
            ("widths", Some("model.unet.widths")),
            ("momentum", Some("optimizer.sgd.momentum")),
            ("loss", Some("loss")),
            ("colour", None),
            ("adam", None),
        ] {
            assert_eq!(keys.find(key).as_deref(), path, "{key}");
        }
    }

    #[test]
    fn a_default_is_found_by_its_path() {
        let keys = Keys::experiment();
        assert_eq!(keys.default("data.split"), Some(&serde_json::json!({ "fold": { "index": 0, "count": 5 } })));
        assert_eq!(keys.default("loss"), None);
        assert_eq!(keys.required("optimizer.sgd"), ["learning_rate"]);
        assert!(keys.contains("optimizer.*.nesterov") && !keys.contains("optimizer.adam.nesterov"));
    }
}
