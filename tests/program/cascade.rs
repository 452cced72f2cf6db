//! Cascades: a run takes the out-of-fold predictions of other runs as input channels.

use std::fs;
use std::path::{Path, PathBuf};

use crate::test_dir::{TestDir, exact_files, stderr_line, stdout};

/// The keys of the first stage: half the resolution, and the first of two folds.
pub const FIRST_STAGE: [&str; 6] = [
    "--set",
    "data.split={fold: {index: 0, count: 2}}",
    "--set",
    "preprocess=[{clamp: {min: -200, max: 250}}, {rescale_intensity: {to: [-1, 1]}}, {resample: {spacing_mm: [40, 40, 36]}}]",
    "--set",
    "sampler={label: {patch: [4, 4, 4], probabilities: {0: 0.5, 1: 0.5}}}",
];

/// The keys of the second stage, whose patches are cropped, flipped and get other masks.
pub const SECOND_STAGE: [&str; 6] = [
    "--set",
    "data.split={fold: {index: 0, count: 2}}",
    "--set",
    "data.previous={runs: first/tiny, augment: [{random_morphology: {probability: 0.7, radius: [1, 2]}}, {remove_component: {probability: 0.7, max_fraction: 0.6}}]}",
    "--set",
    "patch_augment=[{crop: {start: [1, 0, 2], end: [1, 0, 0]}}, {flip: {probabilities: 0.5}}]",
];

const SECOND_FOLD: [&str; 2] = ["--set", "data.split.fold.index=1"];

/// Trains a fold of the first stage below `first`.
fn train_first(dir: &TestDir, more: &[&str]) {
    let arguments = ["run", "tiny.yaml", "--quiet", "--runs-dir", "first"];
    dir.runner(&[&arguments[..], &FIRST_STAGE, more].concat()).success();
}

/// Trains both folds of the first stage below `first`.
pub fn train_first_stage(dir: &TestDir) {
    train_first(dir, &[]);
    train_first(dir, &SECOND_FOLD);
}

/// Returns the paths of the files that a command writes into a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn manifest(run: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(run.join("manifest.json")).unwrap()).unwrap()
}

/// Returns the columns of the rows of a table of cases: the subject, and its Dice of each label.
fn dice(path: &Path, rows: impl Fn(&str) -> bool) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let columns: Vec<usize> = ["subject", "dice_liver", "dice_tumour"]
        .iter()
        .map(|name| header.iter().position(|column| column == name).unwrap())
        .collect();
    let row = |row: &str| {
        let cells: Vec<&str> = row.split(',').collect();
        columns.iter().map(|column| cells[*column]).collect::<Vec<_>>().join(",")
    };
    let mut rows: Vec<String> = text.lines().skip(1).filter(|row| rows(row)).map(row).collect();
    rows.sort();
    rows
}

#[test]
fn every_subject_needs_a_run_that_was_not_trained_on_it() {
    let dir = TestDir::new();
    let check = |more: &[&str]| dir.runner(&[&["check", "tiny.yaml"][..], &SECOND_STAGE, more].concat());
    let message = stderr_line(&check(&[]).code(2));
    assert!(message.contains("first/tiny does not exist"), "{message}");
    train_first(&dir, &[]);
    let message = stderr_line(&check(&[]).code(2));
    assert!(message.contains("2 subjects are predicted by no run that was not trained on them"), "{message}");
    assert!(message.contains("train the other folds of the previous stage too"), "{message}");
    train_first(&dir, &SECOND_FOLD);
    let printed = stdout(&check(&[]).success());
    assert!(printed.contains("1, and 2 of the previous runs: one for each of their labels"), "{printed}");
    assert!(printed.contains("first/tiny/") && printed.contains("random_morphology: "), "{printed}");
    // The runs may differ within a sweep.
    let grid = ["sweep", "tiny.yaml", "--grid", "data.previous.runs=first/tiny,./first/tiny", "--dry-run"];
    let planned = stdout(&dir.runner(&[&grid[..], &SECOND_STAGE].concat()).success());
    assert!(planned.contains("./first/tiny"), "{planned}");
    let unfinished = names(&dir.path("first/tiny"))[0].clone();
    let manifest = dir.path("first/tiny").join(unfinished).join("manifest.json");
    let done = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, done.replace("\"done\"", "\"stopped\"")).unwrap();
    let message = stderr_line(&check(&[]).code(2));
    assert!(message.contains("is not finished: its status is `stopped`") && message.contains("--resume"), "{message}");
    fs::write(&manifest, done).unwrap();
    // Runs that cannot be used together, or with this data.
    let other = stderr_line(&check(&["--set", "data.source.phantom.seed=9"]).code(2));
    assert!(other.contains("was trained on other phantoms"), "{other}");
    train_first(&dir, &["--set", "postprocess=[{argmax: {}}, {fill_holes: {}}]"]);
    let other = stderr_line(&check(&[]).code(2));
    assert!(other.contains("have different postprocess steps"), "{other}");
    let runs = names(&dir.path("first/tiny"));
    let third = dir.path("first/tiny").join(runs.iter().rfind(|name| *name != "latest").unwrap());
    fs::remove_dir_all(third).unwrap();
    train_first(&dir, &[]);
    let other = stderr_line(&check(&[]).code(2));
    assert!(other.contains("both validate"), "{other}");
}

#[test]
fn a_second_stage_needs_its_run_folder_only() {
    let dir = TestDir::new();
    train_first_stage(&dir);
    let epochs = ["--set", "train.epochs=4"];
    let whole = dir.run("whole", &[&SECOND_STAGE[..], &epochs].concat());
    let run = dir.run("runs", &SECOND_STAGE);
    let other_fold = dir.run("other", &[&SECOND_STAGE[..], &SECOND_FOLD].concat());
    assert_eq!(manifest(&run)["inputs"]["previous"].as_object().unwrap().len(), 2);
    let copies = names(&run.join("previous"));
    assert_eq!(copies.len(), 2);
    let root = run.to_str().unwrap();

    // Neither the first stage nor the cache is needed any more.
    fs::remove_dir_all(dir.path("first")).unwrap();
    fs::remove_dir_all(dir.path("cache/volumes")).unwrap();
    dir.runner(&["run", "--quiet", "--resume", root, "--set", "train.epochs=4"]).success();
    assert!(exact_files(&run) == exact_files(&whole), "the resumed run has other bytes");

    // The validation subjects are predicted as in training: by the previous run that was not trained on them.
    dir.runner(&["evaluate", root, "--quiet", "--checkpoint", "last"]).success();
    let scored = dice(&run.join("predictions/val_last/cases.csv"), |_| true);
    assert_eq!(scored, dice(&run.join("cases.csv"), |row| row.starts_with("4,")));
    assert_eq!(scored.len(), 2);

    // New images are predicted by all previous runs first.
    dir.runner(&["phantom", "new", "--subjects", "1", "--shape", "16,16,16", "--spacing", "20,20,18"]).success();
    let image = fs::read_dir(dir.path("new/imagesTr")).unwrap().next().unwrap().unwrap().path();
    let predict = |runs: &[&Path], out: &str, more: &[&str]| {
        let mut arguments = vec!["predict", image.to_str().unwrap(), "--quiet", "--out", out];
        runs.iter().for_each(|run| arguments.extend(["--run", run.to_str().unwrap()]));
        arguments.extend(more);
        dir.runner(&arguments).success();
        let label = names(&dir.path(out)).into_iter().find(|name| name.ends_with(".nii.gz") && !name.contains("prob"));
        volume::io::read_label(&dir.path(out).join(label.unwrap())).unwrap().1.to_vec()
    };
    let alone = predict(&[&run], "alone", &[]);
    let with_probabilities = predict(&[&run], "probabilities", &["--probabilities"]);
    assert_eq!(alone, with_probabilities);
    predict(&[&run, &other_fold], "both", &["--probabilities"]);
    let record = names(&dir.path("alone")).into_iter().find(|name| name.ends_with(".json")).unwrap();
    let record = fs::read_to_string(dir.path("alone").join(record)).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let text = record.to_string();
    for file in manifest(&run)["inputs"]["previous"].as_object().unwrap().values() {
        assert!(text.contains(file["sha256"].as_str().unwrap()), "{text}");
    }

    let refused = stderr_line(&dir.runner(&["export", "onnx", root, "--out", "onnx"]).code(2));
    assert!(refused.contains("is the second stage of a cascade"), "{refused}");

    let same = stdout(&dir.runner(&["reproduce", root, "--quiet"]).success());
    assert!(same.contains("same bits"), "{same}");
    // Other weights of a previous run make it another run.
    let weights = |copy: &str| run.join("previous").join(copy).join("checkpoints/best.safetensors");
    fs::copy(weights(&copies[0]), weights(&copies[1])).unwrap();
    let changed = dir.runner(&["run", "--resume", root, "--set", "train.epochs=5"]).code(2);
    assert!(stderr_line(&changed).contains("previous"), "{}", stderr_line(&changed));
    let differs = stdout(&dir.runner(&["reproduce", root, "--quiet"]).code(1));
    assert!(differs.contains("previous") && differs.contains("has changed"), "{differs}");
}

#[test]
fn folds_of_a_second_stage_are_selected_by_out_of_fold_predictions() {
    let dir = TestDir::new();
    train_first_stage(&dir);
    let first = dir.run("runs", &SECOND_STAGE);
    let validated: Vec<String> = dice(&first.join("cases.csv"), |row| row.starts_with("2,"));
    dir.runner(&[&["run", "tiny.yaml", "--quiet"][..], &SECOND_STAGE, &SECOND_FOLD].concat()).success();
    dir.runner(&["select", "runs", "--quiet", "--checkpoint", "last"]).success();
    let predicted = names(&first.join("predictions/val_last"));
    assert_eq!(predicted.iter().filter(|name| name.ends_with(".nii.gz")).count(), validated.len());
    // They are those of `evaluate`, which finds them done or predicts the same.
    dir.runner(&["evaluate", first.to_str().unwrap(), "--quiet", "--checkpoint", "last"]).success();
    assert_eq!(dice(&first.join("predictions/val_last/cases.csv"), |_| true), validated);
}

#[test]
fn the_predictions_of_previous_runs_are_computed_once() {
    let dir = TestDir::new();
    train_first_stage(&dir);
    let log = |run: PathBuf| fs::read_to_string(run.join("log.txt")).unwrap();
    let first = log(dir.run("runs", &SECOND_STAGE));
    assert!(first.contains("predicting with the previous runs: 4 done"), "{first}");
    let entries = || names(&dir.path("cache/volumes")).len();
    let before = entries();
    dir.run("again", &[&SECOND_STAGE[..], &["--set", "seed=3"]].concat());
    assert_eq!(entries(), before);
    // Another chain needs the same predictions: only the preprocessed volumes and label maps are new.
    let chain = ["--set", "preprocess=[{clamp: {min: -100, max: 250}}, {rescale_intensity: {to: [-1, 1]}}]"];
    dir.run("chain", &[&SECOND_STAGE[..], &chain].concat());
    assert_eq!(entries(), before + 8);
}

#[test]
fn subjects_that_no_previous_run_knows_are_predicted_by_all_of_them_and_stages_may_follow_each_other() {
    let dir = TestDir::new();
    dir.runner(&["phantom", "data", "--subjects", "4", "--shape", "16,16,16", "--spacing", "20,20,18"]).success();
    let write_split = |name: &str, [train, val, test]: [&[usize]; 3]| {
        let subjects = |of: &[usize]| of.iter().map(|index| format!("phantom_{index:03}")).collect::<Vec<_>>();
        let split = serde_json::json!({ "train": subjects(train), "val": subjects(val), "test": subjects(test) });
        dir.write(name, &split.to_string());
    };
    write_split("a.json", [&[0], &[1], &[2, 3]]);
    write_split("b.json", [&[1], &[0], &[2, 3]]);
    write_split("second.json", [&[0, 1], &[2], &[3]]);
    write_split("third.json", [&[2], &[3], &[]]);
    let run = |runs_dir: &str, stage: &[&str], split: &str, more: &[&str]| {
        let split = format!("data.split={{file: {split}}}");
        let common = ["--set", "data.source={msd: {root: data}}", "--set", &split];
        let arguments = ["run", "tiny.yaml", "--quiet", "--runs-dir", runs_dir];
        dir.runner(&[&arguments[..], stage, &common, more].concat()).success();
    };
    run("first", &FIRST_STAGE, "a.json", &[]);
    run("first", &FIRST_STAGE, "b.json", &[]);
    run("second", &SECOND_STAGE, "second.json", &[]);
    let second = dir.only_run("second");
    dir.runner(&["evaluate", second.to_str().unwrap(), "--quiet", "--split", "test"]).success();
    // The same image without its name is a new one.
    fs::copy(dir.path("data/imagesTr/phantom_003.nii.gz"), dir.path("new.nii.gz")).unwrap();
    let predict = |run: &Path| {
        let arguments =
            ["predict", "--run", run.to_str().unwrap(), "new.nii.gz", "--quiet", "--out", "out", "--overwrite"];
        dir.runner(&arguments).success();
        volume::io::read_label(&dir.path("out/new.nii.gz")).unwrap().1.to_vec()
    };
    let of_test = volume::io::read_label(&second.join("predictions/test/phantom_003.nii.gz")).unwrap().1;
    assert_eq!(predict(&second), of_test[..]);

    run("third", &SECOND_STAGE, "third.json", &["--set", "data.previous.runs=second/tiny"]);
    let third = dir.only_run("third");
    let inputs = manifest(&third)["inputs"]["previous"].as_object().unwrap().clone();
    assert_eq!(inputs.keys().filter(|name| name.contains('/')).count(), 2, "{inputs:?}");
    fs::remove_dir_all(dir.path("first")).unwrap();
    fs::remove_dir_all(dir.path("second")).unwrap();
    dir.runner(&["evaluate", third.to_str().unwrap(), "--quiet"]).success();
    predict(&third);

    // A subject of the same name with another image may have been one that the previous runs were trained on.
    fs::copy(dir.path("data/imagesTr/phantom_001.nii.gz"), dir.path("data/imagesTr/phantom_002.nii.gz")).unwrap();
    let third_root = third.to_str().unwrap();
    let resumed = dir.runner(&["run", "--resume", third_root, "--set", "train.epochs=3"]).failure();
    let message = stderr_line(&resumed);
    assert!(message.contains("phantom_002 has other images than the subject of that name"), "{message}");
}
