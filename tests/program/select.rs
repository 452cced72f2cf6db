//! `runner select`, and `runner predict` with its result.

use std::fs;
use std::path::{Path, PathBuf};

use serde_yaml::Value;
use volume::io::read_label;

use crate::test_dir::{TestDir, stderr, stdout};

/// Trains both folds of a setting; `more` are further arguments.
fn train(dir: &TestDir, name: &str, more: &[&str]) -> Vec<PathBuf> {
    let fold = |index: usize| {
        let split = format!("data.split={{fold: {{index: {index}, count: 2, seed: 1}}}}");
        let own = ["run", "tiny.yaml", "--name", name, "--set", &split, "--runs-dir", "runs"];
        dir.runner(&[&own[..], more].concat()).success();
    };
    fold(0);
    fold(1);
    let entries = fs::read_dir(dir.path("runs").join(name)).unwrap().map(|entry| entry.unwrap().path());
    let mut runs: Vec<PathBuf> = entries.filter(|path| !path.is_symlink()).collect();
    runs.sort();
    assert_eq!(runs.len(), 2);
    runs
}

fn selection(dir: &TestDir, name: &str) -> Value {
    serde_yaml::from_str(&fs::read_to_string(dir.path(name)).unwrap()).unwrap()
}

fn label_map(path: &Path) -> Vec<u16> {
    read_label(path).unwrap().1.to_vec()
}

/// Keeps foreground in the label maps of networks that were hardly trained.
const THRESHOLD: [&str; 2] = ["--set", "postprocess=[{threshold: {at_least: 0.2}}]"];

#[test]
fn the_best_of_two_settings_and_their_ensemble_is_selected_and_predicts() {
    let dir = TestDir::new();
    train(&dir, "narrow", &THRESHOLD);
    train(&dir, "wide", &[&THRESHOLD[..], &["--set", "model.unet.widths=[4, 8]"]].concat());
    let result = dir.runner(&["select", "runs", "--quiet"]).success();
    let text = stdout(&result);
    let selected = selection(&dir, "selection.yaml");
    let evidence = &selected["evidence"];
    let candidates = evidence["candidates"].as_mapping().unwrap();
    let names: Vec<&str> = candidates.keys().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names, ["narrow", "narrow + wide", "wide"]);
    assert_eq!((evidence["subjects"].as_u64(), evidence["metric"].as_str()), (Some(4), Some("dice")));
    let best = candidates.values().filter_map(Value::as_f64).fold(0.0, f64::max);
    assert_eq!(evidence["selected"][0].as_f64(), Some(best));
    assert!(evidence["selected"][1].as_f64().unwrap() >= best, "{text}");
    assert!(text.contains("selection: selection.yaml") && text.contains("- all labels together:"), "{text}");
    assert!(text.contains("chosen on the same cases"), "{text}");
    assert!(dir.path("runs/selection/report.html").exists());
    // Every subject has a prediction by the run that was not trained on it.
    let setting = &selected["settings"][0];
    let runs = setting["runs"].as_sequence().unwrap();
    assert_eq!((runs.len(), setting["checkpoint"].as_str()), (2, Some("best")));
    for run in runs {
        let root = dir.path(run.as_str().unwrap());
        let split: serde_json::Value = serde_json::from_slice(&fs::read(root.join("split.json")).unwrap()).unwrap();
        let val = split["val"].as_array().unwrap();
        assert_eq!(val.len(), 2);
        for subject in val {
            assert!(root.join(format!("predictions/val/{}.nii.gz", subject.as_str().unwrap())).exists());
        }
    }
    // Nothing is predicted again.
    let before = fs::metadata(dir.path("runs/selection/report.html")).unwrap().modified().unwrap();
    let again = dir.runner(&["select", "runs", "--quiet", "--out", "again.yaml"]).success();
    assert_eq!(stdout(&again).replace("again.yaml", "selection.yaml"), text);
    assert_eq!(selection(&dir, "again.yaml")["evidence"]["candidates"], evidence["candidates"]);
    assert!(fs::metadata(dir.path("runs/selection/report.html")).unwrap().modified().unwrap() >= before);
}

#[test]
fn a_selection_averages_settings_by_their_weights_and_has_its_own_post_processing() {
    let dir = TestDir::new();
    let narrow = train(&dir, "narrow", &THRESHOLD);
    let wide = train(&dir, "wide", &[&THRESHOLD[..], &["--set", "model.unet.widths=[4, 8]"]].concat());
    let write = |name: &str, settings: &str, postprocess: &str| {
        let evidence = "{metric: dice, subjects: 4, candidates: {}, selected: [0.5, 0.5], version: '0', time: now}";
        dir.write(
            name,
            &format!("format: 1\nsettings: [{settings}]\npostprocess: {postprocess}\nevidence: {evidence}\n"),
        );
    };
    let setting = |name: &str, weight: f64, runs: &[PathBuf]| {
        let runs: Vec<String> = runs.iter().map(|run| run.display().to_string()).collect();
        format!("{{name: {name}, weight: {weight}, checkpoint: best, runs: [{}]}}", runs.join(", "))
    };
    let images = walkdir::WalkDir::new(dir.path("cache/phantoms")).into_iter().flatten().map(|entry| entry.into_path());
    let image = images.into_iter().find(|path| path.ends_with("imagesTr/phantom_002.nii.gz")).unwrap();
    let image = image.to_str().unwrap();
    let probabilities = |folder: &str| {
        volume::io::read_image(&dir.path(folder).join("phantom_002_probabilities.nii.gz")).unwrap().1.to_vec()
    };
    let mut of_settings = Vec::new();
    for (name, runs) in [("narrow", &narrow), ("wide", &wide)] {
        let runs: Vec<&str> = runs.iter().flat_map(|run| ["--run", run.to_str().unwrap()]).collect();
        dir.runner(&[&["predict", image, "--out", name, "--probabilities"][..], &runs].concat()).success();
        of_settings.push(probabilities(name));
    }
    let both = [setting("narrow", 0.25, &narrow), setting("wide", 0.75, &wide)].join(", ");
    write("both.yaml", &both, "[{threshold: {at_least: 0.2}}]");
    dir.runner(&["predict", "--selection", "both.yaml", image, "--out", "both", "--probabilities"]).success();
    for (index, value) in probabilities("both").into_iter().enumerate() {
        let expected = 0.25 * of_settings[0][index] + 0.75 * of_settings[1][index];
        assert!((value - expected).abs() < 1e-6, "{value}, expected {expected}");
    }
    // Other steps give another label map; the same prediction is not skipped.
    let map = |folder: &str| label_map(&dir.path(folder).join("phantom_002.nii.gz"));
    assert!(map("both").iter().any(|label| *label != 0));
    write("both.yaml", &both, "[{threshold: {at_least: 0.999}}]");
    dir.runner(&["predict", "--selection", "both.yaml", image, "--out", "both"]).success();
    assert!(map("both").iter().all(|label| *label == 0));
    let again = dir.runner(&["predict", "--selection", "both.yaml", image, "--out", "both"]).success();
    assert!(stdout(&again).contains("1 of 1 cases was done before"), "{}", stdout(&again));
    let conflict = dir.runner(&["predict", "--selection", "both.yaml", "--run", "runs", image, "--out", "x"]).code(2);
    assert!(stderr(&conflict).contains("cannot be used with"), "{}", stderr(&conflict));
}

#[test]
fn overlapping_and_missing_folds_are_named() {
    let dir = TestDir::new();
    let narrow = train(&dir, "narrow", &[]);
    train(&dir, "wide", &["--set", "model.unet.widths=[4, 8]"]);
    // One setting lacks a fold.
    fs::rename(&narrow[1], dir.path("elsewhere")).unwrap();
    let result = dir.runner(&["select", "runs", "--quiet", "--no-ensembles"]).success();
    let warning = stderr(&result);
    assert!(warning.contains("narrow is left out: it has no out-of-fold prediction of 2 of 4 subjects"), "{warning}");
    assert!(selection(&dir, "selection.yaml")["evidence"]["candidates"].as_mapping().unwrap().len() == 1);
    // A fold that shares a subject with another.
    fs::rename(dir.path("elsewhere"), &narrow[1]).unwrap();
    let split = narrow[0].join("split.json");
    let text = fs::read_to_string(&split).unwrap();
    let mut parts: serde_json::Value = serde_json::from_str(&text).unwrap();
    let moved = parts["train"].as_array_mut().unwrap().remove(0);
    parts["val"].as_array_mut().unwrap().push(moved);
    fs::write(&split, parts.to_string()).unwrap();
    let result = dir.runner(&["select", "runs", "--quiet", "--no-ensembles"]).success();
    assert!(stderr(&result).contains("both validate phantom_00"), "{}", stderr(&result));
    // A run without a split cannot be used at all.
    let only = dir.path("only");
    fs::create_dir(&only).unwrap();
    fs::rename(&narrow[0], only.join("run")).unwrap();
    fs::remove_file(only.join("run/split.json")).unwrap();
    let result = dir.runner(&["select", "only"]).code(2);
    assert!(stderr(&result).contains("run is left out: it has no split.json"), "{}", stderr(&result));
}
