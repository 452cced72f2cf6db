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
    let entries = match schema {
        Value::Array(items) => return items.iter_mut().for_each(allow_short_forms),
        Value::Object(entries) => entries,
        _ => return,
    };
    for (_, value) in entries.iter_mut().filter(|(key, _)| *key != "default") {
        // The names of labels themselves have numbers as keys.
        let own_labels = value.get("orientation").and(value.get("labels")).cloned();
        allow_short_forms(value);
        if let Some(labels) = own_labels {
            value["labels"] = labels;
        }
    }
    if entries.get("format").is_some_and(|format| format == "uint16") {
        name_labels(entries);
    }
    if let Some(values) = entries.get_mut("patternProperties").and_then(|keys| keys.get_mut(WHOLE_NUMBER)) {
        let values = values.take();
        entries.remove("patternProperties");
        entries.insert("additionalProperties".to_owned(), values);
        entries.insert("propertyNames".to_owned(), json!({ "$ref": LABEL }));
    }
    if entries.get("minItems").is_some_and(|count| count == 3) && entries.get("maxItems") == entries.get("minItems") {
        one_for_all(entries);
    }
}

/// The pattern of keys that are whole numbers.
const WHOLE_NUMBER: &str = r"^\d+$";

/// The reference to the schema of a label.
const LABEL: &str = "#/$defs/Label";

/// Turns the schema of a 16-bit number into that of a label.
fn name_labels(number: &mut Map<String, Value>) {
    let is_nullable = number.get("type").is_some_and(Value::is_array);
    let annotations = take_annotations(number);
    number.clear();
    match is_nullable {
        false => number.insert("$ref".to_owned(), json!(LABEL)),
        true => number.insert("anyOf".to_owned(), json!([{ "$ref": LABEL }, { "type": "null" }])),
    };
    number.extend(annotations);
}

/// Removes and returns what describes a key rather than its value.
fn take_annotations(schema: &mut Map<String, Value>) -> Vec<(String, Value)> {
    let keys = ["description", "default"];
    keys.iter().filter_map(|key| Some(((*key).to_owned(), schema.remove(*key)?))).collect()
}

/// Allows one value instead of a list of three equal ones.
fn one_for_all(list: &mut Map<String, Value>) {
    let Some(item) = list.get("items").cloned() else { return };
    let annotations = take_annotations(list);
    let mut forms = vec![item];
    if list.get("type").is_some_and(Value::is_array) {
        list.insert("type".to_owned(), json!("array"));
        forms.push(json!({ "type": "null" }));
    }
    forms.insert(1, Value::Object(std::mem::take(list)));
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
        assert_eq!(
            found,
            ["ignore_label", "labels", "lesion", "liver", "map", "probabilities", "regions", "tumour", "write"]
        );
    }
}
