//! Failures of the environment: the disk, the folder, the data, another process. Each leads to its exit code and a message
//! with the cause and the path, and everything up to the last checkpoint stays intact.

#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::test_dir::{Disk, TestDir, exact_files, one_line, signal, stderr_line, stdout, wait_for_steps};

const EPOCHS: [&str; 4] = ["--set", "train.epochs=30", "--set", "checkpoint.every_steps=1"];
const SOURCE: [&str; 2] = ["--set", "data.source={msd: {root: data}}"];

fn with_data() -> TestDir {
    let dir = TestDir::new();
    dir.runner(&["phantom", "data", "--subjects", "4", "--shape", "16,16,16", "--spacing", "20,20,18"]).success();
    dir
}

/// Starts a long run and waits until it has taken some steps.
fn start_training(dir: &TestDir, more: &[&str]) -> Child {
    let child = Command::new(env!("CARGO_BIN_EXE_runner"))
        .current_dir(dir.path("."))
        .env("RUNNER_CACHE_DIR", dir.path("cache"))
        .args([&["run", "tiny.yaml", "--quiet"][..], &EPOCHS, more].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_steps(&dir.path("runs"), 5);
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

/// Reads all files in a folder and its subfolders.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap).filter(|file| file.file_type().is_file());
    files.map(|file| (file.path().to_owned(), fs::read(file.path()).unwrap())).collect()
}

#[test]
fn a_run_that_failed_on_a_full_disk_resumes_to_the_same_bytes() {
    let dir = TestDir::new();
    let expected = exact_files(&dir.run("uninterrupted", &EPOCHS));
    let Some(disk) = Disk::mount(dir.path("runs"), 2048) else { return };
    let child = start_training(&dir, &[]);
    let filler = disk.folder.join("filler");
    // `dd` writes until the disk is full.
    let of = format!("of={}", filler.display());
    Command::new("dd").args(["if=/dev/zero", &of, "bs=4k"]).output().unwrap();
    let (code, message) = end(child);
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains("No space left") && message.contains("runs/tiny/"), "{message}");
    let run = dir.only_run("runs");
    // The reserved space is enough to record the failure.
    let manifest = manifest(&run);
    assert_eq!(manifest["status"], "failed", "{message}");
    assert!(manifest["error"].as_str().unwrap().contains("No space left"), "{manifest}");
    fs::remove_file(filler).unwrap();
    dir.runner(&["run", "--resume", run.to_str().unwrap()]).success();
    assert!(exact_files(&run) == expected);
}

#[test]
fn a_read_only_folder_is_reported_and_not_changed() {
    let dir = TestDir::new();
    let Some(disk) = Disk::mount(dir.path("runs"), 2048) else { return };
    let run = dir.run("runs", &[]);
    let before = contents(&run);
    disk.forbid_writing();
    let message = stderr_line(&dir.runner(&["run", "tiny.yaml"]).code(3));
    assert!(message.contains("cannot write into runs: read-only filesystem"), "{message}");
    let resume = ["run", "--resume", run.to_str().unwrap(), "--set", "train.epochs=3"];
    assert!(stderr_line(&dir.runner(&resume).code(3)).contains("Read-only"));
    assert!(contents(&run) == before);
}

#[test]
fn a_run_whose_folder_is_removed_fails_and_does_not_create_it_again() {
    let dir = TestDir::new();
    let child = start_training(&dir, &[]);
    let run = dir.only_run("runs");
    // Repeated, because the run may create files in the meantime.
    while run.exists() {
        let _ = fs::remove_dir_all(&run);
    }
    let (code, message) = end(child);
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains("runs/tiny/") && message.contains("No such file"), "{message}");
    assert!(!run.exists());
}

#[test]
fn a_removed_or_replaced_label_map_fails_the_run_which_resumes_once_it_is_restored() {
    let dir = with_data();
    let arguments = [&EPOCHS[..], &SOURCE].concat();
    let expected = exact_files(&dir.run("uninterrupted", &arguments));
    let label = dir.path("data/labelsTr/phantom_003.nii.gz");
    let original = fs::read(&label).unwrap();
    for replaced in [false, true] {
        let child = start_training(&dir, &SOURCE);
        match replaced {
            false => fs::remove_file(&label).unwrap(),
            true => fs::copy(dir.path("data/labelsTr/phantom_000.nii.gz"), &label).map(|_| ()).unwrap(),
        }
        let (code, message) = end(child);
        assert_eq!(code, Some(3), "{message}");
        let reason = if replaced { "was replaced during the run" } else { "No such file" };
        assert!(message.contains("phantom_003.nii.gz") && message.contains(reason), "{message}");
        let run = dir.only_run("runs");
        assert_eq!(manifest(&run)["status"], "failed");
        fs::write(&label, &original).unwrap();
        dir.runner(&["run", "--resume", run.to_str().unwrap(), "--quiet"]).success();
        assert!(exact_files(&run) == expected);
        fs::remove_dir_all(dir.path("runs")).unwrap();
    }
}

#[test]
fn a_second_process_is_an_error_and_changes_nothing() {
    let dir = TestDir::new();
    let child = start_training(&dir, &[]);
    let run = dir.only_run("runs");
    // Suspended, so that the first process changes nothing.
    signal("STOP", child.id());
    let before = contents(&run);
    let rejected = stderr_line(&dir.runner(&["run", "--resume", run.to_str().unwrap()]).code(2));
    assert!(rejected.contains("in use by another process") && rejected.contains(&child.id().to_string()), "{rejected}");
    assert!(contents(&run) == before);
    signal("CONT", child.id());
    assert_eq!(end(child).0, Some(0));
}

#[test]
fn a_loss_that_is_not_finite_fails_the_run_and_its_batch_is_saved() {
    let dir = TestDir::new();
    let diverging = ["--set", "model.unet.norm=none", "--set", "optimizer={sgd: {learning_rate: 1e30}}"];
    let failed = dir.runner(&[&["run", "tiny.yaml", "--quiet", "--runs-dir", "runs"][..], &diverging].concat());
    let message = stderr_line(&failed.code(3));
    let run = dir.only_run("runs");
    let manifest = manifest(&run);
    assert_eq!(manifest["status"], "failed");
    let error = manifest["error"].as_str().unwrap();
    let step: usize = error.split("in step ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    for text in ["is not finite", "phantom_00", "not_finite/step_", "lower the learning rate", "patches"] {
        assert!(message.contains(text), "{text} is missing in\n{message}");
    }
    // The records end before that step.
    assert_eq!(fs::read_to_string(run.join("steps.csv")).unwrap().lines().count(), step);
    let saved = run.join(format!("not_finite/step_{step}"));
    let plan = run.join("plan.yaml");
    let again = ["patches", plan.to_str().unwrap(), "--step", &step.to_string(), "--out", "again"];
    assert!(stdout(&dir.runner(&again).success()).contains("of these 2 patches"));
    assert_eq!(
        contents(&saved).values().collect::<Vec<_>>(),
        contents(&dir.path("again")).values().collect::<Vec<_>>()
    );
    assert_eq!(contents(&saved).len(), 2 * 3 + 1);
}

#[test]
fn insufficient_memory_is_reported_before_any_file_is_written() {
    let dir = TestDir::new();
    let message = stderr_line(&dir.runner(&["run", "tiny.yaml", "--set", "train.batch_size=1000000"]).code(2));
    assert!(message.contains("too little memory") && message.contains("accumulate_batches"), "{message}");
    assert!(!dir.path("runs").exists());
}
