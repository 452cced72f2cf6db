//! Datasets as people have them: subjects without a label map, other layouts, and data that moved.

use std::fs;

use crate::test_dir::{TestDir, stderr, stderr_line, stdout};
use volume::Voxels;
use volume::io::{read_label, write_label};

/// Returns a folder with the files of four phantoms, of 16 x 16 x 16 voxels as the tiny experiment expects.
fn dir() -> TestDir {
    let dir = TestDir::new();
    dir.runner(&["phantom", "data", "--subjects", "4", "--shape", "16,16,16", "--spacing", "20,20,18"]).success();
    dir
}

const TABLE: &str = "data.source={table: {file: cases.csv}}";
const SPLIT: &str = "data.split={file: split.json}";

/// Writes a table of the phantoms in which some have no label, and a split with one subject per part but two for training.
fn write_table(dir: &TestDir, without_label: &[usize]) {
    let row = |index: usize| {
        let label = format!("data/labelsTr/phantom_{index:03}.nii.gz");
        let label = if without_label.contains(&index) { "" } else { &label };
        format!("s{index},data/imagesTr/phantom_{index:03}.nii.gz,{label}\n")
    };
    let rows: String = (0..4).map(row).collect();
    dir.write("cases.csv", &format!("subject,image,label\n{rows}"));
    dir.write("split.json", r#"{"train": ["s0", "s1"], "val": ["s2"], "test": ["s3"]}"#);
}

#[test]
fn a_training_or_validation_subject_without_a_label_map_is_a_problem_before_anything_runs() {
    let dir = dir();
    let samplers = ["uniform: {patch: [8, 8, 8]}", "foreground_oversample: {patch: [8, 8, 8]}"];
    for (subject, line) in [(1, 3), (2, 4)] {
        write_table(&dir, &[subject]);
        for sampler in samplers.map(|sampler| format!("sampler={{{sampler}}}")) {
            let set = ["--set", TABLE, "--set", SPLIT, "--set", &sampler];
            let out = dir.path("out");
            let commands: [&[&str]; 4] = [
                &["check", "tiny.yaml"],
                &["run", "tiny.yaml"],
                &["patches", "tiny.yaml", "--out", out.to_str().unwrap()],
                &["sweep", "tiny.yaml", "--grid", "seed=1,2"],
            ];
            for command in commands {
                let text = stderr(&dir.runner(&[command, &set].concat()).code(2));
                let expected = format!("subject s{subject} has no label map: cases.csv: line {line}");
                assert!(text.contains(&expected), "{command:?}\n{text}");
            }
        }
    }
    assert!(!dir.path("runs").exists() && !dir.path("out").exists(), "nothing was started");
}

#[test]
fn a_test_subject_without_a_label_map_is_predicted_and_not_scored() {
    let dir = dir();
    write_table(&dir, &[3]);
    let set = ["--set", TABLE, "--set", SPLIT, "--set", "data.labels={1: liver, 2: tumour}"];
    let run = dir.run("runs", &set);
    let result = dir.runner(&["evaluate", run.to_str().unwrap(), "--split", "test"]).success();
    assert!(stderr(&result).contains("s3 has no label map"), "{}", stderr(&result));
    assert!(run.join("predictions/test/s3.nii.gz").exists());
    let text = stdout(&dir.runner(&[&["check", "tiny.yaml", "--data"][..], &set].concat()).success());
    assert!(text.contains("note: s3: it has no label map"), "{text}");
}

#[test]
fn a_missing_label_map_does_not_hide_other_findings() {
    let dir = dir();
    fs::remove_file(dir.path("data/labelsTr/phantom_001.nii.gz")).unwrap();
    fs::remove_file(dir.path("data/imagesTr/phantom_002.nii.gz")).unwrap();
    fs::write(dir.path("data/imagesTr/phantom_003.nii.gz"), b"no image").unwrap();
    fs::copy(dir.path("data/labelsTr/phantom_000.nii.gz"), dir.path("data/labelsTr/other.nii.gz")).unwrap();
    let set = ["--set", "data.source={msd: {root: data}}"];
    let result = dir.runner(&[&["check", "tiny.yaml", "--data"][..], &set].concat()).code(1);
    let text = stdout(&result);
    for start in [
        "fault: phantom_001: it is used for training or validation, but has no label map: data/labelsTr/phantom_001.nii.gz does not exist",
        "fault: phantom_002: an image is missing: data/imagesTr/phantom_002.nii.gz does not exist",
        "fault: phantom_003: image data/imagesTr/phantom_003.nii.gz: ",
        "note: label map data/labelsTr/other.nii.gz belongs to no image of the dataset",
    ] {
        assert_eq!(text.lines().filter(|line| line.starts_with(start)).count(), 1, "{start}\n{text}");
    }
    assert_eq!(stderr(&result), "");
}

#[test]
fn labels_of_the_experiment_are_trained_instead_of_the_regions_and_the_ignored_label_of_the_dataset() {
    let dir = dir();
    let set = ["--set", "data.source={nnunet: {root: data}}"];
    let images = dir.path("data/imagesTr");
    for index in 0..4 {
        let name = format!("phantom_{index:03}");
        fs::rename(images.join(format!("{name}.nii.gz")), images.join(format!("{name}_0000.nii.gz"))).unwrap();
    }
    let declare = |labels: &str| {
        dir.write("data/dataset.json", &format!(r#"{{"channel_names": {{"0": "CT"}}, "labels": {labels}}}"#))
    };
    let check = |more: &[&str]| dir.runner(&[&["check", "tiny.yaml"][..], &set, more].concat());

    declare(r#"{"background": 0, "whole": [1, 2], "core": [2]}"#);
    let text = stderr(&check(&[]).code(2));
    assert!(text.contains("dice_cross_entropy needs exactly one class per voxel"), "{text}");
    let text = stdout(&check(&["--set", "loss={dice_binary_cross_entropy: {}}"]).success());
    assert!(text.contains("whole 1+2 written as 1, core 2 written as 2"), "{text}");
    let text = stdout(&check(&["--set", "data.labels={1: a, 2: b}"]).success());
    assert!(text.contains("dataset.json declares regions (whole, core)") && !text.contains("written as"), "{text}");

    declare(r#"{"background": 0, "liver": 1, "ignore": 2}"#);
    for own_labels in [&[][..], &["--set", "data.labels={1: liver}"]] {
        let text = stdout(&check(own_labels).success());
        assert!(text.contains("ignored label     2"), "{text}");
    }
    let text = stdout(&check(&["--set", "data.labels={1: liver, 2: other}"]).success());
    assert!(text.contains("warning: label 2 is `ignore` in dataset.json") && !text.contains("ignored label"), "{text}");
    let remap = "preprocess=[{remap_labels: {map: {2: 0}}}]";
    let text = stdout(&check(&["--set", "data.labels={1: liver}", "--set", remap]).success());
    assert!(!text.contains("ignored label"), "{text}");
}

#[test]
fn a_fold_of_a_split_file_is_chosen_by_its_index_and_swept() {
    let dir = dir();
    let fold = |val: usize| {
        let train: Vec<String> =
            (0..4).filter(|index| *index != val).map(|index| format!("\"phantom_{index:03}\"")).collect();
        format!(r#"{{"train": [{}], "val": ["phantom_{val:03}"]}}"#, train.join(", "))
    };
    dir.write("splits_final.json", &format!("[{}, {}]", fold(0), fold(3)));
    let set = |split: &'static str| ["check", "tiny.yaml", "--set", split];
    let text = stderr(&dir.runner(&set("data.split={file: splits_final.json}")).code(2));
    assert!(text.contains("it has 2 folds") && text.contains("splits_final.json, index: 0"), "{text}");
    let text = stdout(&dir.runner(&set("data.split={file: splits_final.json, index: 1}")).success());
    assert!(text.contains("3 train, 1 val"), "{text}");
    let grid = ["--grid", "data.split.index=0,1", "--dry-run"];
    let split = ["--set", "data.split={file: splits_final.json, index: 0}"];
    dir.runner(&[&["sweep", "tiny.yaml"][..], &grid, &split].concat()).success();
}

#[test]
fn the_folds_of_nnunet_are_written_and_read_again() {
    let dir = TestDir::new();
    let check = |split: &str, more: &[&str]| {
        let split = format!("data.split={split}");
        let subjects = ["check", "tiny.yaml", "--set", "data.source.phantom.subjects=12", "--set", &split];
        dir.runner(&[&subjects[..], more].concat())
    };
    let write = ["--write-splits", "splits_final.json"];
    let text = stdout(&check("{nnunet: {index: 1}}", &write).success());
    assert!(text.contains("9 train, 3 val") && text.contains("5 folds written to splits_final.json"), "{text}");
    let written = fs::read_to_string(dir.path("splits_final.json")).unwrap();
    let folds: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert_eq!(folds[1]["val"].as_array().unwrap().len(), 3);
    let text = stdout(&check("{file: splits_final.json, index: 4}", &[]).success());
    assert!(text.contains("10 train, 2 val"), "{text}");
    // The same folds are written again, other folds do not replace them.
    check("{nnunet: {index: 0}}", &write).success();
    let text = stderr(&check("{fold: {index: 0, count: 5}}", &write).code(2));
    assert!(text.contains("splits_final.json exists with different content"), "{text}");
    assert_eq!(fs::read_to_string(dir.path("splits_final.json")).unwrap(), written);
    let text = stderr(&check("{first: 4}", &write).code(2));
    assert!(text.contains("data.split is `first`"), "{text}");
}

#[test]
fn the_scans_of_a_patient_are_in_one_fold() {
    let dir = dir();
    let row = |index: usize| {
        let file = format!("phantom_{index:03}.nii.gz");
        format!("s{index},data/imagesTr/{file},data/labelsTr/{file},p{}\n", index % 2)
    };
    dir.write("cases.csv", &format!("subject,image,label,Patient\n{}", (0..4).map(row).collect::<String>()));
    let labels = "data.labels={1: liver, 2: tumour}";
    let fold = |groups: &str| format!("data.split={{fold: {{index: 0, count: 2, seed: 5, groups: {groups}}}}}");
    let check = |split: &str| dir.runner(&["check", "tiny.yaml", "--set", TABLE, "--set", labels, "--set", split]);
    let text = stdout(&check(&fold("{column: patient}")).success());
    assert!(text.contains("split             2 groups by column patient, of at most 2 subjects"), "{text}");
    let text = stderr_line(&check(&fold("{column: hospital}")).code(2));
    assert!(text.contains("the table has no column hospital; its other columns are Patient"), "{text}");
    let text = stderr_line(&check(&fold("{pattern: 's[0-2]'}")).code(2));
    assert!(text.contains("1 subject has no group: the pattern s[0-2] does not match s3"), "{text}");
    let run = dir.run("runs", &["--set", TABLE, "--set", labels, "--set", &fold("{column: patient}")]);
    let parts: serde_json::Value = serde_json::from_str(&fs::read_to_string(run.join("split.json")).unwrap()).unwrap();
    let mut parts = [&parts["train"], &parts["val"]].map(|part| part.to_string());
    parts.sort();
    assert_eq!(parts, [r#"["s0","s2"]"#, r#"["s1","s3"]"#]);
}

#[test]
fn folds_are_stratified_by_the_labels_that_subjects_have() {
    let dir = dir();
    for index in [1, 3] {
        let path = dir.path(&format!("data/labelsTr/phantom_{index:03}.nii.gz"));
        let (grid, map) = read_label(&path).unwrap();
        let without = map.iter().map(|label| if *label == 2 { 1 } else { *label }).collect();
        write_label(&path, &grid, &Voxels::new(1, grid.shape, without)).unwrap();
    }
    let check = |source: &str, key: &str, more: &[&str]| {
        let split = format!("data.split={{fold: {{index: 0, count: 2, {key}: {{labels: [tumour]}}}}}}");
        dir.runner(&[&["check", "tiny.yaml", "--set", source, "--set", &split][..], more].concat())
    };
    const DATA: &str = "data.source={msd: {root: data}}";
    for seed in 1..=4 {
        let file = format!("{seed}.json");
        let more = ["--set", &format!("seed={seed}"), "--write-splits", &file];
        let text = stdout(&check(DATA, "stratify", &more).success());
        assert!(text.contains("stratified by labels 2: label 2 2, none 2"), "{text}");
        let folds: serde_json::Value = serde_json::from_str(&fs::read_to_string(dir.path(&file)).unwrap()).unwrap();
        for fold in folds.as_array().unwrap() {
            let validates = fold["val"].to_string();
            assert!(validates.contains("phantom_000") != validates.contains("phantom_002"), "{folds}");
        }
    }
    let text = stderr(&check(DATA, "groups", &[]).code(2));
    assert!(text.contains("labels are not a group"), "{text}");
    let text = stderr(&check("data.source={phantom: {subjects: 4}}", "stratify", &[]).code(2));
    assert!(text.contains("the labels of a phantom are not known before a run makes it"), "{text}");
}

#[test]
fn a_run_continues_with_data_that_moved_and_is_scored_and_reproduced_from_there() {
    let dir = dir();
    let run = dir.run("runs", &["--set", "data.source={msd: {root: data}}"]);
    let run = run.to_str().unwrap();
    fs::rename(dir.path("data"), dir.path("moved")).unwrap();
    let moved = ["--set", "data.source.msd.root=moved"];
    let commands: [&[&str]; 3] =
        [&["evaluate", run], &["reproduce", run], &["run", "--resume", run, "--set", "train.epochs=3"]];
    for command in commands {
        let text = stderr(&dir.runner(command).code(2));
        assert!(
            text.contains("if the data moved") && text.contains("`--set data.source.msd.root=…`"),
            "{command:?}\n{text}"
        );
    }
    // Another content is refused by all of them, and nothing is recorded.
    let [label, other] = ["phantom_001", "phantom_002"].map(|name| dir.path(&format!("moved/labelsTr/{name}.nii.gz")));
    let original = fs::read(&label).unwrap();
    fs::copy(&other, &label).unwrap();
    let plan = fs::read(dir.path(run).join("plan.yaml")).unwrap();
    let train = ["evaluate", run, "--split", "train"];
    for command in [&train[..], commands[2]] {
        let text = stderr(&dir.runner(&[command, &moved].concat()).code(2));
        assert!(
            text.contains("1 file differs in content") && text.contains("phantom_001.nii.gz"),
            "{command:?}\n{text}"
        );
    }
    assert!(stdout(&dir.runner(&[commands[1], &moved].concat()).code(1)).contains("phantom_001.nii.gz has changed"));
    assert_eq!(fs::read(dir.path(run).join("plan.yaml")).unwrap(), plan);
    fs::write(&label, original).unwrap();
    for command in commands {
        dir.runner(&[command, &moved].concat()).success();
    }
    // The resumed run has recorded the new place.
    dir.runner(commands[0]).success();
    assert!(stdout(&dir.runner(commands[1]).success()).contains("same bits"));
    let rejected = stderr(&dir.runner(&["evaluate", run, "--set", "seed=3"]).code(2));
    assert!(rejected.contains("`seed` cannot be changed here"), "{rejected}");
}
