//! The committed schema is that of the code, and it says what the parser says.

use std::fs;

use runner::spec::{load, schema};
use serde_json::Value;

const PATH: &str = "schemas/experiment.schema.json";

fn validator() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(&schema::experiment()).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

fn as_json(text: &str) -> Value {
    serde_json::to_value(serde_yaml::from_str::<serde_yaml::Value>(text).unwrap()).unwrap()
}

#[test]
fn the_committed_schema_is_fresh() {
    let fresh = schema::experiment();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(PATH, &fresh).unwrap();
    }
    let committed = fs::read_to_string(PATH).unwrap_or_default();
    assert!(committed == fresh, "{PATH} is stale; run UPDATE=1 cargo test --release --test schema");
}

#[test]
fn every_experiment_keeps_the_schema_and_loads() {
    let validator = validator();
    let Ok(files) = fs::read_dir("experiments") else { return eprintln!("skipped: no experiments") };
    for path in files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "yaml"))
    {
        let json = as_json(&fs::read_to_string(&path).unwrap());
        let errors: Vec<String> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", path.display());
        load::load(&path, &[]).unwrap_or_else(|problems| panic!("{}: {problems:?}", path.display()));
    }
}

#[test]
fn a_file_that_extends_another_may_lack_sections() {
    assert!(validator().is_valid(&as_json("extends: base.yaml\nseed: 7\n")));
    assert!(!validator().is_valid(&as_json("seed: 7\n")));
}

#[test]
fn the_schema_refuses_wrong_names_types_and_bounds() {
    let validator = validator();
    for name in [
        "misspelt_key",
        "misspelt_top_level_key",
        "unknown_transform",
        "unknown_loss",
        "wrong_type",
        "zero_epochs",
        "probability_above_one",
        "missing_key",
        "missing_section",
        "two_choices",
    ] {
        let text = fs::read_to_string(format!("tests/errors/{name}.yaml")).unwrap();
        assert!(!validator.is_valid(&as_json(&text)), "{name} is accepted");
    }
}
