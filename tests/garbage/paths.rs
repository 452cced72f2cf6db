//! Names in an experiment that become paths: a run writes only to its run folder and the cache, whatever the names are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use assert_cmd::Command;
use engine::experiment::check::{Environment, check};
use engine::experiment::load::{load, parse};

use super::feed::EXPERIMENT;

const TINY: &str = "\
data:
  source: { phantom: { subjects: 4, shape: [16, 16, 16], spacing_mm: [20, 20, 18] } }
  labels: { 1: '../../liver', 2: '/tumour' }
  split: { first: 2 }
sampler: { uniform: { patch: [8, 8, 8] } }
queue: { max_length: 3, samples_per_volume: 1, workers: 0 }
model: { unet: { widths: [2, 4] } }
loss: { dice: {} }
optimizer: { adam: { learning_rate: 1.0e-2 } }
train: { epochs: 1 }
metrics: [{ dice: { regions: { '../../../whole': [1, 2] } } }]
";

/// Returns the relative paths of all files and folders in a folder.
fn paths_in(root: &Path) -> BTreeSet<String> {
    let entries = walkdir::WalkDir::new(root).min_depth(1).into_iter().map(Result::unwrap);
    entries.map(|entry| entry.path().strip_prefix(root).unwrap().display().to_string()).collect()
}

fn runner(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
    command.current_dir(folder).env("RUNNER_CACHE_DIR", "cache").args(arguments).assert().success();
}

#[test]
fn labels_and_regions_whose_names_are_paths_write_only_to_the_run_folder() {
    // Deep enough to detect a file that is written to `../../..`.
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("one/two/three/four");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("tiny.yaml"), TINY).unwrap();
    runner(&folder, &["run", "tiny.yaml", "--quiet"]);
    let run = "runs/tiny/latest";
    runner(&folder, &["evaluate", run, "--checkpoint", "last", "--quiet"]);
    runner(&folder, &["report", "runs", "--out", "report"]);
    let outside = paths_in(root.path()).into_iter().filter(|path| {
        let inside = ["runs", "cache", "report"].map(|folder| format!("one/two/three/four/{folder}"));
        !inside.iter().any(|inside| path.starts_with(inside.as_str()))
            && !"one/two/three/four/tiny.yaml".starts_with(path.as_str())
    });
    assert_eq!(outside.collect::<Vec<_>>(), Vec::<String>::new());
    assert_eq!(fs::read_dir(folder.join("runs")).unwrap().count(), 1, "only the run is written");
    assert_eq!(fs::read_dir(folder.join("runs/tiny")).unwrap().count(), 2, "the run and the link to it");
}

#[test]
fn a_name_that_is_a_path_is_rejected() {
    for name in ["../up", "/etc", "a/b", "a\\\\b", "..", ".hidden", "", "a\\nb", &"x".repeat(300)] {
        let text = format!("{EXPERIMENT}name: \"{name}\"\n");
        let environment = Environment { cache_dir: "no-cache".into(), memory_bytes: None };
        let problems = parse("a.yaml", &text).and_then(|document| check(&document, &environment, None)).unwrap_err();
        assert_eq!(problems.0[0].message, "expected a valid folder name", "{name}");
    }
}

#[test]
fn a_file_whose_stem_cannot_be_the_name_of_a_folder_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["...yaml", ".yaml"] {
        let path = folder.path().join(file);
        fs::write(&path, EXPERIMENT).unwrap();
        let environment = Environment { cache_dir: "no-cache".into(), memory_bytes: None };
        let problems = check(&load(&path, &[]).unwrap(), &environment, None).unwrap_err();
        assert!(problems.0[0].message.ends_with("is not a valid folder name"), "{problems}");
    }
}

#[test]
fn invalid_sampled_parameters_are_a_problem_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("a.yaml"), TINY.replace("loss:", "augment: [{ affine: { scales: [0.9, 1.1] } }]\nloss:")).unwrap();
    runner(folder.path(), &["phantom", "phantoms", "--subjects", "1", "--shape", "16,16,16"]);
    let arguments = ["transform", "a.yaml", "phantoms/imagesTr/phantom_000.nii.gz", "--out", "out"];
    runner(folder.path(), &arguments);
    let draws = fs::read_to_string(path("out/draws.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&draws).unwrap();
    json["draws"][1]["affine"]["scales"][1] = 0.into();
    fs::write(path("edited.json"), json.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
    let output = command.current_dir(folder.path()).args(arguments).args(["--draws", "edited.json"]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(
        message.contains("edited.json: draws.1 of affine: expected scales between 0.001 and 1000, got 0"),
        "{message}"
    );
}
