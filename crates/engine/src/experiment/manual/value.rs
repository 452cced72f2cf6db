//! What a value may be, in words.

use serde_json::Value as Json;

use crate::experiment::keys::Keys;

/// Describes the values that a schema allows.
pub(super) fn in_words(keys: &Keys, schema: &Json) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        match name {
            "Label" => return "label".to_owned(),
            "Range" => return "`[low, high]`, or a number".to_owned(),
            "AxisRanges" => return "`[low, high]` or a number, or one of them for each of x, y and z".to_owned(),
            "DeviceName" => return "device".to_owned(),
            "Transform" => return "transform".to_owned(),
            "SizePerLevel" => return "whole number ≥ 1, or 3 of them, or list of 3 for each level".to_owned(),
            "CountPerLevel" => return "whole number, or list of one for each level".to_owned(),
            "RegionSpec" => return "list of labels, or `{ labels, write }`".to_owned(),
            "Axes" => return "orientation code".to_owned(),
            _ => {}
        }
    }
    if let Some(schemas) = schema["anyOf"].as_array() {
        return alternatives(keys, schemas);
    }
    if let Some(schemas) = keys.definition(schema)["anyOf"].as_array() {
        return alternatives(keys, schemas);
    }
    let schema = keys.resolved(schema);
    if let Some(components) = keys.components(schema) {
        let names: Vec<String> = components.iter().map(|(name, _)| format!("`{name}`")).collect();
        return format!("one of {}", names.join(", "));
    }
    if let Some(words) = words(schema) {
        return quoted(&words);
    }
    if let Some([item, _] | [item, _, _]) = schema["oneOf"].as_array().map(Vec::as_slice)
        && schema["oneOf"][1]["minItems"] == 3
    {
        let null = if schema["oneOf"].as_array().is_some_and(|forms| forms.len() == 3) { ", or `null`" } else { "" };
        return format!("{}, or 3 of them{null}", in_words(keys, item));
    }
    if let Some(schemas) = schema["oneOf"].as_array() {
        return alternatives(keys, schemas);
    }
    match &schema["type"] {
        Json::Array(types) => {
            let plain = |name: &Json| in_words(keys, &with_type(schema, name));
            joined(types.iter().map(plain))
        }
        name => of_type(keys, schema, name.as_str().unwrap_or_default()),
    }
}

fn with_type(schema: &Json, name: &Json) -> Json {
    let mut schema = schema.clone();
    schema["type"] = name.clone();
    schema
}

fn of_type(keys: &Keys, schema: &Json, name: &str) -> String {
    match name {
        "null" => "`null`".to_owned(),
        "boolean" => "`true` or `false`".to_owned(),
        "integer" => bounded("whole number", schema),
        "number" => bounded("number", schema),
        "string" => "text".to_owned(),
        "array" => {
            let items = plural(&in_words(keys, &schema["items"]));
            match (schema["minItems"].as_u64(), schema["maxItems"].as_u64()) {
                (Some(min), Some(max)) if min == max => format!("list of {min} {items}"),
                _ => format!("list of {items}"),
            }
        }
        "object" if schema["additionalProperties"].is_object() => {
            let names = if schema["propertyNames"].is_object() { "labels" } else { "names" };
            format!("map from {names} to {}", plural(&in_words(keys, &schema["additionalProperties"])))
        }
        "object" if schema["patternProperties"].is_object() => {
            let value = schema["patternProperties"].as_object().and_then(|patterns| patterns.values().next());
            format!("map from numbers to {}", value.map_or_else(String::new, |value| plural(&in_words(keys, value))))
        }
        "object" => "map".to_owned(),
        _ => "any value".to_owned(),
    }
}

fn alternatives(keys: &Keys, schemas: &[Json]) -> String {
    joined(schemas.iter().map(|schema| in_words(keys, schema)))
}

/// Joins alternatives, each once.
fn joined(names: impl Iterator<Item = String>) -> String {
    let mut distinct: Vec<String> = Vec::new();
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct.join(", or ")
}

/// Returns the plural of a kind of value.
fn plural(value: &str) -> String {
    for kind in ["number", "label", "transform", "text", "list", "map"] {
        let after = value.strip_prefix("whole ").unwrap_or(value);
        if let Some(rest) = after.strip_prefix(kind) {
            let whole = &value[..value.len() - after.len()];
            return format!("{whole}{kind}s{rest}");
        }
    }
    format!("items: {value}")
}

/// Adds the bounds of a number.
fn bounded(kind: &str, schema: &Json) -> String {
    /// Bounds that only follow from the number of bits.
    const MAX_SHOWN: f64 = 1e9;
    let bound = |key: &str| schema[key].as_f64().filter(|bound| bound.abs() < MAX_SHOWN);
    match (bound("minimum"), bound("maximum"), bound("exclusiveMinimum"), bound("exclusiveMaximum")) {
        (Some(min), Some(max), ..) => format!("{kind} from {min} to {max}"),
        (Some(min), _, _, Some(below)) => format!("{kind} ≥ {min} and < {below}"),
        (Some(min), ..) => format!("{kind} ≥ {min}"),
        (_, Some(max), ..) => format!("{kind} ≤ {max}"),
        (_, _, Some(above), _) => format!("{kind} > {above}"),
        _ => kind.to_owned(),
    }
}

/// Returns the words that a value may have, each with its meaning.
pub(super) fn words_of(keys: &Keys, schema: &Json) -> Vec<(String, String)> {
    let own = words(keys.resolved(schema)).unwrap_or_default();
    own.into_iter().filter(|(_, text)| !text.is_empty()).collect()
}

/// Returns the words of a schema that allows words only.
fn words(schema: &Json) -> Option<Vec<(String, String)>> {
    let word = |word: &Json, text: &Json| {
        let text = text.as_str().unwrap_or_default().split('\n').collect::<Vec<_>>().join(" ");
        Some((word.as_str()?.to_owned(), text))
    };
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().map(|name| word(name, &Json::Null)).collect();
    }
    let groups = schema["oneOf"].as_array()?.iter().map(|schema| match schema["enum"].as_array() {
        Some(words) => words.iter().map(|name| word(name, &Json::Null)).collect::<Option<Vec<_>>>(),
        None => Some(vec![word(&schema["const"], &schema["description"])?]),
    });
    Some(groups.collect::<Option<Vec<_>>>()?.concat())
}

fn quoted(words: &[(String, String)]) -> String {
    let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    match words.as_slice() {
        [before @ .., last] if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        words => words.concat(),
    }
}

/// Writes plain data as YAML in one line.
pub(super) fn flow(json: &Json) -> String {
    match json {
        Json::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Json::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Json::Object(entries) => {
            let entries: Vec<String> = entries.iter().map(|(key, value)| format!("{key}: {}", flow(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Json::String(text) => text.clone(),
        Json::Number(number) => match number.as_f64() {
            Some(value) if value != 0.0 && value.abs() < 1e-3 => format!("{value:e}").replace("e", ".0e"),
            Some(value) => value.to_string(),
            None => number.to_string(),
        },
        plain => plain.to_string(),
    }
}
