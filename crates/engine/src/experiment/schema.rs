//! The JSON Schema of an experiment, generated from the types that parse it.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::spec::Experiment;

/// Returns the JSON Schema of an experiment file, draft 2020-12, as text that ends with a newline.
///
/// A file with `extends` only states differences, so the required keys are required only of a file without `extends`.
pub fn experiment() -> String {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Experiment>();
    let mut schema = schema.to_value();
    let required = schema["required"].take();
    let Value::Object(root) = &mut schema else { return String::new() };
    root.remove("required");
    root.insert("if".to_owned(), json!({ "required": ["extends"] }));
    root.insert("then".to_owned(), json!({}));
    root.insert("else".to_owned(), json!({ "required": required }));
    format!("{schema:#}\n")
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
}
