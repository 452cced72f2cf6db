//! `runner reproduce`: a run has the same data, the same plan and the same results.

use std::fs;

use crate::test_dir::{TestDir, stderr, stdout};

#[test]
fn a_run_is_reproduced_bit_for_bit_beyond_the_end_of_an_epoch() {
    let dir = TestDir::new();
    let run = dir.run("runs", &[]);
    let files = |run: &std::path::Path| walkdir::WalkDir::new(run).into_iter().flatten().count();
    let before = files(&run);
    let output = stdout(&dir.runner(&["reproduce", run.to_str().unwrap()]).success());
    for text in ["8 files of 4 subjects, unchanged", "plan     unchanged", "4 repeated on ", "same bits"] {
        assert!(output.contains(text), "{text} is missing in\n{output}");
    }
    assert_eq!(files(&run), before);
}

#[test]
fn an_extended_run_is_reproduced_with_its_original_number_of_epochs() {
    let dir = TestDir::new();
    let run = dir.run("runs", &["--set", "schedule={polynomial: {}}"]);
    let run = run.to_str().unwrap();
    dir.runner(&["run", "--resume", run, "--set", "train.epochs=3"]).success();
    assert!(stdout(&dir.runner(&["reproduce", run, "--steps", "4"]).success()).contains("same bits"));
    // The learning rates of later steps are those of three epochs.
    let output = stdout(&dir.runner(&["reproduce", run]).success());
    assert!(output.contains("those after step 4 cannot be repeated") && output.contains("same bits"), "{output}");
}

#[test]
fn the_first_difference_is_named() {
    let dir = TestDir::new();
    let run = dir.run("runs", &[]);
    let steps = run.join("steps.csv");
    let text = fs::read_to_string(&steps).unwrap();
    let row = text.lines().nth(3).unwrap();
    let mut cells: Vec<String> = row.split(',').map(str::to_owned).collect();
    let run = run.to_str().unwrap();
    let mut change = |loss: f64, tolerance: &str| {
        cells[2] = loss.to_string();
        fs::write(&steps, text.replace(row, &cells.join(","))).unwrap();
        dir.runner(&["reproduce", run, "--tolerance", tolerance])
    };
    let loss: f64 = row.split(',').nth(2).unwrap().parse().unwrap();
    assert!(stdout(&change(loss * (1.0 + 1e-5), "1e-4").success()).contains("same within tolerance"));
    let output = stdout(&change(loss * (1.0 + 1e-5), "1e-6").code(1));
    assert!(output.contains("no: step 3: train_loss is "), "{output}");
}

#[test]
fn changed_data_and_a_changed_plan_are_reported_before_any_step() {
    let dir = TestDir::new();
    dir.runner(&["phantom", "data", "--subjects", "4", "--shape", "16,16,16", "--spacing", "20,20,18"]).success();
    let run = dir.run("runs", &["--set", "data.source={msd: {root: data}}"]);
    let run_text = run.to_str().unwrap();
    assert!(stdout(&dir.runner(&["reproduce", run_text]).success()).contains("same bits"));

    let [label, other] = ["phantom_001", "phantom_002"].map(|name| dir.path(&format!("data/labelsTr/{name}.nii.gz")));
    let original = fs::read(&label).unwrap();
    fs::copy(&other, &label).unwrap();
    let output = stdout(&dir.runner(&["reproduce", run_text]).code(1));
    assert!(output.contains("phantom_001.nii.gz has changed") && !output.contains("same bits"), "{output}");
    // The run cannot be resumed either.
    let extended = ["run", "--resume", run_text, "--set", "train.epochs=3"];
    let rejected = stderr(&dir.runner(&extended).code(2));
    assert!(
        rejected.contains("1 input file has changed") || rejected.contains("changed since the run started"),
        "{rejected}"
    );
    fs::write(&label, original).unwrap();
    dir.runner(&extended).success();

    let plan = run.join("plan.yaml");
    let text = fs::read_to_string(&plan).unwrap();
    fs::write(&plan, text.replace("dropout: 0.1", "dropout: 0.2")).unwrap();
    let output = stdout(&dir.runner(&["reproduce", run_text]).code(1));
    assert!(output.contains("differs from manifest.json in `model.unet.dropout`"), "{output}");
}

#[test]
fn the_manifest_has_the_provenance_of_a_run() {
    let dir = TestDir::new();
    let run = dir.run("runs", &[]);
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(run.join("manifest.json")).unwrap()).unwrap();
    let files = manifest["inputs"]["subjects"]["phantom_000"].as_array().unwrap();
    assert_eq!(files.len(), 2);
    for file in files {
        let path = file["path"].as_str().unwrap();
        let bytes = fs::read(dir.path(path)).unwrap();
        assert_eq!(file["bytes"], bytes.len());
        use sha2::Digest;
        let hash: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(file["sha256"], hash.as_str());
    }
    assert_eq!(manifest["plan"]["model"]["unet"]["dropout"], 0.1);
    assert_eq!(manifest["split"]["train"].as_array().unwrap().len(), 2);
    assert_eq!(manifest["program_sha256"].as_str().unwrap().len(), 64);
    assert!(manifest["machine"]["processors"].as_u64().unwrap() > 0);
    assert_eq!(manifest["workers"], 2);
}
