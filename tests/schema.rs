//! The committed schemas are up to date and agree with the parser.

use std::collections::BTreeSet;
use std::fs;

use engine::experiment::manual::Manual;
use engine::experiment::{load, schema};
use serde_json::Value;
use sweep::document;

fn validator_of(schema: &str) -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(schema).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

fn validator() -> jsonschema::Validator {
    validator_of(&schema::experiment())
}

fn as_json(text: &str) -> Value {
    serde_json::to_value(serde_yaml::from_str::<serde_yaml::Value>(text).unwrap()).unwrap()
}

#[test]
fn the_committed_schemas_and_the_reference_are_up_to_date() {
    for (path, fresh) in [
        ("schemas/experiment.schema.json", schema::experiment()),
        ("schemas/sweep.schema.json", document::schema()),
        ("docs/experiment.md", Manual::experiment().to_markdown()),
    ] {
        if std::env::var_os("UPDATE").is_some() {
            fs::write(path, &fresh).unwrap();
        }
        let committed = fs::read_to_string(path).unwrap_or_default();
        assert!(committed == fresh, "{path} is out of date; run UPDATE=1 cargo test --release --test schema");
    }
}

#[test]
fn every_experiment_and_sweep_is_valid_and_loads() {
    let [experiment, sweep] = [schema::experiment(), document::schema()].map(|schema| validator_of(&schema));
    let files = fs::read_dir("experiments").unwrap().map(|file| file.unwrap().path());
    let mut sweeps = 0;
    for path in files.filter(|path| path.extension().is_some_and(|end| end == "yaml")) {
        let json = as_json(&fs::read_to_string(&path).unwrap());
        let is_sweep = json.get("experiment").is_some();
        let validator = if is_sweep { &sweep } else { &experiment };
        let errors: Vec<String> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", path.display());
        let loaded = match is_sweep {
            true => document::load(&path, &[], &[]).map(drop),
            false => load::load(&path, &[]).map(drop),
        };
        loaded.unwrap_or_else(|problems| panic!("{}: {problems:?}", path.display()));
        sweeps += usize::from(is_sweep);
    }
    assert!(sweeps > 0);
}

#[test]
fn the_torchio_guide_names_every_transform_and_no_other() {
    let schema: Value = serde_json::from_str(&schema::experiment()).unwrap();
    let steps = schema["$defs"]["Transform"]["oneOf"].as_array().unwrap();
    let steps: BTreeSet<&str> =
        steps.iter().flat_map(|step| step["properties"].as_object().unwrap().keys()).map(String::as_str).collect();
    let guide = fs::read_to_string("docs/torchio.md").unwrap();
    let in_code = |text| str::split(text, '`').skip(1).step_by(2);
    let named: BTreeSet<&str> = in_code(&guide).collect();
    assert_eq!(steps.difference(&named).collect::<Vec<_>>(), [&""; 0]);
    let rows = guide.lines().filter(|line| line.starts_with("| `"));
    let in_table: Vec<&str> = rows.flat_map(|row| in_code(row.split('|').nth(2).unwrap())).collect();
    assert!(in_table.len() > 25 && in_table.iter().all(|step| steps.contains(step)), "{in_table:?}");
}

#[test]
fn every_name_of_torchio_leads_to_the_transform_of_the_guide() {
    let guide = fs::read_to_string("docs/torchio.md").unwrap();
    let in_code = |text| str::split(text, '`').skip(1).step_by(2);
    let rows = guide.lines().filter(|line| line.starts_with("| `") && !line.contains("`p=…`"));
    for row in rows {
        let cells: Vec<&str> = row.split('|').collect();
        let ours: Vec<&str> = in_code(cells[2]).collect();
        for name in in_code(cells[1]) {
            let alias = transforms::name_of_alias(name);
            assert!(alias.is_some_and(|alias| ours.contains(&alias)), "{name} is {alias:?}, the guide has {ours:?}");
        }
    }
}

#[test]
fn short_forms_are_valid() {
    let validator = validator();
    let with = |sampler: &str, more: &str| {
        let text = format!(
            "data: {{ source: {{ phantom: {{}} }} }}\nsampler: {sampler}\nmodel: {{ unet: {{ widths: [4] }} }}\n\
             loss: {{ dice: {{}} }}\noptimizer: {{ adam: {{ learning_rate: 1.0e-4 }} }}\ntrain: {{ epochs: 1 }}\n{more}"
        );
        validator.is_valid(&as_json(&text))
    };
    assert!(with("{ label: { patch: 16, probabilities: { background: 0.5, liver: 0.5 } } }", ""));
    assert!(with("{ label: { patch: [16, 16, 16], probabilities: { 0: 0.5, 1: 0.5 } } }", ""));
    assert!(with("{ uniform: { patch: 16 } }", "postprocess: [{ keep_largest: { labels: [liver, 2] } }]\n"));
    assert!(with("{ uniform: { patch: 16 } }", "augment: [{ elastic_deformation: { max_displacement_mm: 4 } }]\n"));
    assert!(with("{ uniform: { patch: 16 } }", "augment: [{ affine: { scales: [[0.9, 1.1], 1, [1, 2]] } }]\n"));
    assert!(!with("{ uniform: { patch: [16, 16] } }", ""));
    assert!(!with("{ uniform: { patch: large } }", ""));
}

#[test]
fn a_file_that_extends_another_may_lack_sections() {
    assert!(validator().is_valid(&as_json("extends: base.yaml\nseed: 7\n")));
    assert!(!validator().is_valid(&as_json("seed: 7\n")));
}

#[test]
fn the_schema_rejects_wrong_names_types_and_bounds() {
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

#[test]
fn the_schema_of_a_sweep_rejects_wrong_names_types_and_bounds() {
    let validator = validator_of(&document::schema());
    let valid = "experiment: a.yaml\ngrid: { seed: [1, 2] }\n";
    assert!(validator.is_valid(&as_json(valid)));
    for wrong in [
        "gird: { seed: [1] }",
        "jobs: 0",
        "devices: [gpu]",
        "prune: { min_epochs: 0 }",
        "prune: { metric: val_loss }",
        "random: { count: 1, keys: { seed: { normal: [0, 1] } } }",
        "slurm: { gpu: 1 }",
        "kubernetes: { gpus: 0 }",
    ] {
        assert!(!validator.is_valid(&as_json(&format!("{valid}{wrong}\n"))), "{wrong} is accepted");
    }
}
