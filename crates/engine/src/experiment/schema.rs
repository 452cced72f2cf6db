//! The JSON Schema of an experiment, generated from the types that parse it.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::spec::Experiment;
use volume::Label;

/// Returns the JSON Schema of an experiment file, draft 2020-12, as text that ends with a newline.
///
/// A file with `extends` only states differences, so the required keys are required only of a file without `extends`.
pub fn experiment() -> String {
    let mut schema = experiment_json();
    let required = schema["required"].take();
    let Value::Object(root) = &mut schema else { return String::new() };
    root.remove("required");
    root.insert("if".to_owned(), json!({ "required": ["extends"] }));
    root.insert("then".to_owned(), json!({}));
    root.insert("else".to_owned(), json!({ "required": required }));
    format!("{schema:#}\n")
}

/// Returns the JSON Schema of an experiment without `extends`.
pub(super) fn experiment_json() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Experiment>();
    let mut schema = schema.to_value();
    allow_short_forms(&mut schema);
    if let Some(types) = schema["$defs"].as_object_mut() {
        types.insert("Label".to_owned(), label());
    }
    schema
}

/// The schema of a label.
fn label() -> Value {
    json!({
        "description": "A label: its number, or its name in `data.labels`; `background` is 0.",
        "type": ["integer", "string"],
        "minimum": 0,
        "maximum": Label::MAX,
    })
}

/// Allows what the parser accepts for every key of a type: names of labels, and one value for all three axes.
fn allow_short_forms(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(allow_short_forms),
        Value::Object(entries) => {
            // The names of labels themselves have numbers as keys.
            let is_data = entries.get("properties").is_some_and(|keys| keys.get("orientation").is_some());
            for (key, value) in entries.iter_mut() {
                if key == "default" {
                    continue;
                }
                if let (true, Some(labels)) = (is_data && key == "properties", value.get("labels").cloned()) {
                    allow_short_forms(value);
                    value["labels"] = labels;
                } else {
                    allow_short_forms(value);
                }
            }
            if entries.get("format").is_some_and(|format| format == "uint16") {
                let description = entries.remove("description");
                let default = entries.remove("default");
                let null = entries["type"].as_array().is_some_and(|types| types.iter().any(|name| name == "null"));
                entries.clear();
                entries.insert("$ref".to_owned(), json!("#/$defs/Label"));
                if null {
                    let reference = Value::Object(std::mem::take(entries));
                    entries.insert("anyOf".to_owned(), json!([reference, { "type": "null" }]));
                }
                entries.extend(description.map(|text| ("description".to_owned(), text)));
                entries.extend(default.map(|value| ("default".to_owned(), value)));
            }
            if entries.get("patternProperties").and_then(|keys| keys.get(r"^\d+$")).is_some()
                && let Some(mut patterns) = entries.remove("patternProperties")
            {
                entries.insert("additionalProperties".to_owned(), patterns[r"^\d+$"].take());
                entries.insert("propertyNames".to_owned(), json!({ "$ref": "#/$defs/Label" }));
            }
            if entries.get("minItems").is_some_and(|count| count == 3)
                && entries.get("maxItems") == entries.get("minItems")
            {
                one_for_all(entries);
            }
        }
        _ => {}
    }
}

/// Allows one value instead of a list of three equal ones.
fn one_for_all(list: &mut Map<String, Value>) {
    let Some(item) = list.get("items").cloned() else { return };
    let outside = ["description", "default"];
    let annotations: Vec<_> = outside.iter().filter_map(|key| Some(((*key).to_owned(), list.remove(*key)?))).collect();
    let mut types = list.get("type").cloned();
    let is_nullable = types.as_ref().is_some_and(Value::is_array);
    if is_nullable {
        types = Some(json!("array"));
    }
    list.extend(types.map(|name| ("type".to_owned(), name)));
    let list_of_three = Value::Object(std::mem::take(list));
    let mut forms = vec![item, list_of_three];
    if is_nullable {
        forms.push(json!({ "type": "null" }));
    }
    list.insert("oneOf".to_owned(), Value::Array(forms));
    list.extend(annotations);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_invalid() {
        let schema: Value = serde_json::from_str(&experiment()).unwrap();
        assert_eq!(schema["additionalProperties"], false);
        assert!(schema["else"]["required"].as_array().unwrap().iter().any(|key| key == "data"));
    }

    /// The parser takes a `u16` for a label, so nothing else may be one.
    #[test]
    fn only_keys_of_labels_are_16_bits_wide() {
        fn keys_of_labels(schema: &Value, key: &str, found: &mut Vec<String>) {
            match schema {
                Value::Object(entries) if entries.get("$ref").is_some_and(|name| name == "#/$defs/Label") => {
                    found.push(key.to_owned());
                }
                Value::Object(entries) => entries.iter().for_each(|(name, child)| {
                    let is_keyword = ["items", "properties", "oneOf", "anyOf", "additionalProperties", "propertyNames"]
                        .contains(&&name[..]);
                    keys_of_labels(child, if is_keyword { key } else { name }, found);
                }),
                Value::Array(items) => items.iter().for_each(|item| keys_of_labels(item, key, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        keys_of_labels(&experiment_json(), "", &mut found);
        found.sort();
        found.dedup();
        assert_eq!(found, ["labels", "lesion", "liver", "map", "regions", "tumour"]);
    }
}
