//! The JSON Schema of an experiment, from the types that parse it.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::experiment::Experiment;

/// The schema of an experiment file, draft 2020-12, as text that ends with a newline.
///
/// A file that extends another one states only what differs, so its sections need not be whole; the
/// keys that every experiment must have are asked only of a file that extends nothing.
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
    fn unknown_keys_are_refused() {
        let schema: Value = serde_json::from_str(&experiment()).unwrap();
        assert_eq!(schema["additionalProperties"], false);
        assert!(schema["else"]["required"].as_array().unwrap().iter().any(|key| key == "data"));
    }
}
