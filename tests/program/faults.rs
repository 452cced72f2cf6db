//! Failures around a run: the disk, the folder, the data, another process. Each ends with its exit code and a message
//! that says what and where, and everything up to the last checkpoint stays intact.

#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::test_dir::{Disk, TestDir, exact_files, one_line, signal, stderr_line, stdout, wait_for_steps};

const EPOCHS: [&str; 4] = ["--set", "train.epochs=30", "--set", "checkpoint.every_steps=1"];
const SOURCE: [&str; 2] = ["--set", "data.source={msd: {root: data}}"];

fn with_data() -> TestDir {
    let place = TestDir::new();
    place.runner(&["phantom", "data", "--subjects", "4", "--shape", "16,16,16", "--spacing", "20,20,18"]).success();
    place
}

/// Starts a long run and waits until it has taken some steps.
fn start_training(place: &TestDir, more: &[&str]) -> Child {
    let child = Command::new(env!("CARGO_BIN_EXE_runner"))
        .current_dir(place.path("."))
        .env("RUNNER_CACHE_DIR", place.path("cache"))
        .args([&["run", "tiny.yaml", "--quiet"][..], &EPOCHS, more].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_steps(&place.path("runs"), 5);
    child
}

/// Waits for the end of a process, and returns its exit code and stderr.
fn end(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), one_line(&String::from_utf8(output.stderr).unwrap()))
}

fn manifest(run: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(run.join("manifest.json")).unwrap()).unwrap()
}

/// Every file below a folder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap).filter(|file| file.file_type().is_file());
    files.map(|file| (file.path().to_owned(), fs::read(file.path()).unwrap())).collect()
}

#[test]
fn a_full_disk_fails_the_run_and_with_space_it_resumes_to_the_same_bytes() {
    let place = TestDir::new();
    let expected = exact_files(&place.run("whole", &EPOCHS));
    let Some(disk) = Disk::mount(place.path("runs"), 2048) else { return };
    let child = start_training(&place, &[]);
    let filler = disk.folder.join("filler");
    // `dd` writes until the disk is full.
    let of = format!("of={}", filler.display());
    Command::new("dd").args(["if=/dev/zero", &of, "bs=4k"]).output().unwrap();
    let (code, told) = end(child);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("No space left") && told.contains("runs/tiny/"), "{told}");
    let run = place.only_run("runs");
    // The reserved bytes are enough to record the failure.
    let manifest = manifest(&run);
    assert_eq!(manifest["status"], "failed", "{told}");
    assert!(manifest["error"].as_str().unwrap().contains("No space left"), "{manifest}");
    fs::remove_file(filler).unwrap();
    place.runner(&["run", "--resume", run.to_str().unwrap()]).success();
    assert!(exact_files(&run) == expected);
}

#[test]
fn a_read_only_folder_is_named_and_stays_unchanged() {
    let place = TestDir::new();
    let Some(disk) = Disk::mount(place.path("runs"), 2048) else { return };
    let run = place.run("runs", &[]);
    let before = contents(&run);
    disk.forbid_writing();
    let told_start = stderr_line(&place.runner(&["run", "tiny.yaml"]).code(3));
    assert!(told_start.contains("runs/tiny") && told_start.contains("Read-only"), "{told_start}");
    let resume = ["run", "--resume", run.to_str().unwrap(), "--set", "train.epochs=3"];
    assert!(stderr_line(&place.runner(&resume).code(3)).contains("Read-only"));
    assert!(contents(&run) == before);
}

#[test]
fn removing_the_folder_of_a_run_fails_it_and_the_folder_is_not_created_again() {
    let place = TestDir::new();
    let child = start_training(&place, &[]);
    let run = place.only_run("runs");
    // A file that was created meanwhile is removed in the next round.
    while run.exists() {
        let _ = fs::remove_dir_all(&run);
    }
    let (code, told) = end(child);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("runs/tiny/") && told.contains("No such file"), "{told}");
    assert!(!run.exists());
}

#[test]
fn a_removed_or_replaced_label_map_fails_the_run_by_name_and_restored_it_resumes() {
    let place = with_data();
    let whole = [&EPOCHS[..], &SOURCE].concat();
    let expected = exact_files(&place.run("whole", &whole));
    let label = place.path("data/labelsTr/phantom_003.nii.gz");
    let kept = fs::read(&label).unwrap();
    for replaced in [false, true] {
        let child = start_training(&place, &SOURCE);
        match replaced {
            false => fs::remove_file(&label).unwrap(),
            true => fs::copy(place.path("data/labelsTr/phantom_000.nii.gz"), &label).map(|_| ()).unwrap(),
        }
        let (code, told) = end(child);
        assert_eq!(code, Some(3), "{told}");
        let reason = if replaced { "was replaced during the run" } else { "No such file" };
        assert!(told.contains("phantom_003.nii.gz") && told.contains(reason), "{told}");
        let run = place.only_run("runs");
        assert_eq!(manifest(&run)["status"], "failed");
        fs::write(&label, &kept).unwrap();
        place.runner(&["run", "--resume", run.to_str().unwrap(), "--quiet"]).success();
        assert!(exact_files(&run) == expected);
        fs::remove_dir_all(place.path("runs")).unwrap();
    }
}

#[test]
fn a_second_process_is_an_error_and_changes_nothing() {
    let place = TestDir::new();
    let child = start_training(&place, &[]);
    let run = place.only_run("runs");
    // Suspended, so that the first process changes nothing.
    signal("STOP", child.id());
    let before = contents(&run);
    let refused = stderr_line(&place.runner(&["run", "--resume", run.to_str().unwrap()]).code(2));
    assert!(refused.contains("in use by another process") && refused.contains(&child.id().to_string()), "{refused}");
    assert!(contents(&run) == before);
    signal("CONT", child.id());
    assert_eq!(end(child).0, Some(0));
}

#[test]
fn a_loss_that_is_not_finite_fails_the_run_and_its_batch_is_saved() {
    let place = TestDir::new();
    let plain = ["--set", "model.unet.norm=none", "--set", "optimizer={sgd: {learning_rate: 1e30}}"];
    let failed = place.runner(&[&["run", "tiny.yaml", "--quiet", "--runs-dir", "runs"][..], &plain].concat());
    let told = stderr_line(&failed.code(3));
    let run = place.only_run("runs");
    let manifest = manifest(&run);
    assert_eq!(manifest["status"], "failed");
    let error = manifest["error"].as_str().unwrap();
    let step: usize = error.split("in step ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    for text in ["is not finite", "phantom_00", "not_finite/step_", "lower the learning rate", "patches"] {
        assert!(told.contains(text), "{text} is missing in\n{told}");
    }
    // The records end before that step.
    assert_eq!(fs::read_to_string(run.join("steps.csv")).unwrap().lines().count(), step);
    let kept = run.join(format!("not_finite/step_{step}"));
    let plan = run.join("plan.yaml");
    let again = ["patches", plan.to_str().unwrap(), "--step", &step.to_string(), "--out", "again"];
    assert!(stdout(&place.runner(&again).success()).contains("of these 2 patches"));
    assert_eq!(
        contents(&kept).values().collect::<Vec<_>>(),
        contents(&place.path("again")).values().collect::<Vec<_>>()
    );
    assert_eq!(contents(&kept).len(), 2 * 3 + 1);
}

#[test]
fn an_image_with_nan_voxels_is_reported_with_its_patch() {
    let place = TestDir::new();
    let broken = ["--set", "augment=[{ noise: { mean: [1e38, 1e38], std: [1e38, 1e38] } }]"];
    let told = stderr_line(&place.runner(&[&["run", "tiny.yaml", "--quiet"][..], &broken].concat()).code(3));
    assert!(told.contains("of its values are not finite") && told.contains("fix the image"), "{told}");
}

#[test]
fn too_little_memory_is_reported_before_any_file_is_written() {
    let place = TestDir::new();
    let told = stderr_line(&place.runner(&["run", "tiny.yaml", "--set", "train.batch_size=1000000"]).code(2));
    assert!(told.contains("too little memory") && told.contains("accumulate_batches"), "{told}");
    assert!(!place.path("runs").exists());
}
