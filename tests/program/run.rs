//! `runner run`, `check`, `phantom` and the smaller subcommands.

use std::fs;
use std::path::Path;

use crate::test_dir::{TINY, TestDir, exact_files, first_line, signal, stderr, stdout, wait_for_steps};

#[test]
fn a_run_writes_every_file_of_its_folder() {
    let dir = TestDir::new();
    let run = dir.run("runs", &[]);
    for file in [
        "experiment.yaml",
        "plan.yaml",
        "manifest.json",
        "split.json",
        "log.txt",
        "plots/loss.png",
        "plots/loss.svg",
        "plots/dice.png",
        "plots/dice.svg",
        "checkpoints/best.safetensors",
        "checkpoints/last.safetensors",
    ] {
        assert!(fs::metadata(run.join(file)).unwrap().len() > 0, "{file} is empty");
    }
    assert!(fs::read_dir(run.join("tensorboard")).unwrap().count() > 0);
    assert_eq!(fs::read_to_string(run.join("experiment.yaml")).unwrap(), TINY);
    let metrics = "epoch,step,learning_rate,train_loss,val_loss,val_dice_liver,val_dice_tumour,val_dice_mean";
    assert_eq!(first_line(&run.join("metrics.csv")), metrics);
    assert_eq!(first_line(&run.join("steps.csv")), "epoch,step,train_loss,grad_norm");
    assert_eq!(first_line(&run.join("cases.csv")), "epoch,subject,dice_liver,dice_tumour");
    assert!(first_line(&run.join("timing.csv")).starts_with("epoch,seconds,"));
    let rows = |file: &str| fs::read_to_string(run.join(file)).unwrap().lines().count() - 1;
    assert_eq!((rows("metrics.csv"), rows("steps.csv"), rows("cases.csv"), rows("timing.csv")), (2, 4, 4, 2));
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(run.join("manifest.json")).unwrap()).unwrap();
    assert_eq!((&manifest["status"], &manifest["format"]), (&"done".into(), &1.into()));
}

#[test]
fn the_same_experiment_gives_the_same_bytes_for_any_number_of_workers() {
    let dir = TestDir::new();
    let expected = exact_files(&dir.run("a", &[]));
    for workers in ["0", "1", "5"] {
        let run = dir.run(&format!("workers-{workers}"), &["--set", &format!("queue.workers={workers}")]);
        assert!(exact_files(&run) == expected, "{workers} workers");
    }
    let other_seed = dir.run("seed", &["--set", "seed=7"]);
    assert!(exact_files(&other_seed) != expected);
}

#[test]
fn the_plan_of_a_run_repeats_the_run() {
    let dir = TestDir::new();
    let run = dir.run("a", &[]);
    fs::copy(run.join("plan.yaml"), dir.path("tiny.yaml")).unwrap();
    assert!(exact_files(&dir.run("b", &[])) == exact_files(&run));
}

#[cfg(unix)]
#[test]
fn a_stopped_run_resumes_to_the_same_bytes() {
    let dir = TestDir::new();
    let epochs = ["--set", "train.epochs=40"];
    let expected = exact_files(&dir.run("uninterrupted", &epochs));

    let arguments = ["run", "tiny.yaml", "--quiet", "--runs-dir", "stopped"];
    let mut child = dir.spawn(&[&arguments[..], &epochs].concat());
    wait_for_steps(&dir.path("stopped"), 7);
    // A scheduler may send the signal twice, which must not end the process before its checkpoint.
    signal("TERM", child.id());
    signal("TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));

    let run = dir.only_run("stopped");
    let manifest = fs::read_to_string(run.join("manifest.json")).unwrap();
    assert!(manifest.contains("\"stopped\""), "{manifest}");
    dir.runner(&["run", "--resume", run.to_str().unwrap()]).success();
    assert!(exact_files(&run) == expected);
}

#[test]
fn resuming_a_finished_run_reports_that_it_is_done_and_can_extend_it() {
    let dir = TestDir::new();
    let run = dir.run("runs", &[]);
    let run = run.to_str().unwrap();
    assert!(stdout(&dir.runner(&["run", "--resume", run]).success()).contains("is done"));
    dir.runner(&["run", "--resume", run, "--set", "train.epochs=3"]).success();
    let metrics = fs::read_to_string(Path::new(run).join("metrics.csv")).unwrap();
    assert_eq!(metrics.lines().count(), 4);
    let rejected = stderr(&dir.runner(&["run", "--resume", run, "--set", "train.epochs=2"]).code(2));
    assert!(rejected.contains("3 epochs have been trained already"), "{rejected}");
    let rejected = dir.runner(&["run", "--resume", run, "--set", "seed=1"]).code(2);
    assert!(stderr(&rejected).contains("cannot change `seed`"));
}

#[test]
fn a_name_on_the_command_line_names_the_folder() {
    let dir = TestDir::new();
    dir.runner(&["run", "tiny.yaml", "--name", "other", "--set", "train.epochs=1"]).success();
    let folder = dir.path("runs/other");
    let link = fs::read_link(folder.join("latest")).unwrap();
    assert!(link.is_relative() && folder.join(link).join("manifest.json").exists());
    assert_eq!(fs::read_dir(folder).unwrap().count(), 2);
}

#[test]
fn the_run_that_was_started_last_is_named_latest() {
    let dir = TestDir::new();
    dir.runner(&["run", "tiny.yaml"]).success();
    dir.runner(&["run", "tiny.yaml", "--set", "seed=7", "--set", "train.epochs=1"]).success();
    let done = dir.runner(&["run", "--resume", "runs/tiny/latest"]).success();
    let id = fs::read_link(dir.path("runs/tiny/latest")).unwrap();
    assert!(stdout(&done).starts_with(&format!("runs/tiny/{} is done", id.display())), "{}", stdout(&done));
    let manifest = fs::read_to_string(dir.path("runs/tiny/latest/manifest.json")).unwrap();
    assert!(manifest.contains("\"seed\": 7"), "{manifest}");
    // It is no run of its own.
    let report = stdout(&dir.runner(&["report", "runs"]).success());
    assert!(!report.contains("latest"), "{report}");
}

#[test]
fn early_stopping_ends_training_without_a_better_epoch() {
    let dir = TestDir::new();
    let no_progress = ["--set", "optimizer.adam.learning_rate=1e-30", "--set", "train.epochs=6"];
    let patience = ["--set", "checkpoint={monitor: val_loss, patience_epochs: 2}"];
    let arguments: Vec<&str> = ["run", "tiny.yaml"].iter().chain(&no_progress).chain(&patience).copied().collect();
    assert!(stdout(&dir.runner(&arguments).success()).contains("early stopping"));
    let run = dir.only_run("runs");
    // The first epoch is the best, and the two after it are not better.
    assert_eq!(fs::read_to_string(run.join("metrics.csv")).unwrap().lines().count(), 1 + 3);
    assert!(stdout(&dir.runner(&["run", "--resume", run.to_str().unwrap()]).success()).contains("is done"));
}

#[test]
fn check_prints_the_plan_and_writes_no_phantom() {
    let dir = TestDir::new();
    let plan = stdout(&dir.runner(&["check", "tiny.yaml"]).success());
    for text in ["2 train, 2 val", "1 liver, 2 tumour", "patches per epoch 4"] {
        assert!(plan.contains(text), "{text} is missing in\n{plan}");
    }
    assert!(!dir.path("cache").exists());
    assert!(!dir.path("runs").exists());
}

#[test]
fn a_misspelt_key_exits_with_code_2_and_a_caret() {
    let dir = TestDir::new();
    fs::write(dir.path("tiny.yaml"), TINY.replace("learning_rate", "learning_rat")).unwrap();
    for command in ["run", "check"] {
        let text = stderr(&dir.runner(&[command, "tiny.yaml"]).code(2));
        assert!(text.contains("tiny.yaml:21:11") && text.contains("did you mean `learning_rate`"), "{text}");
    }
    assert!(!dir.path("runs").exists());
}

#[test]
fn wrong_arguments_exit_with_code_2() {
    let dir = TestDir::new();
    dir.runner(&["run", "absent.yaml"]).code(2);
    dir.runner(&["run"]).code(2);
    dir.runner(&["run", "tiny.yaml", "--name", "../elsewhere"]).code(2);
    dir.runner(&["run", "--resume", "absent"]).code(2);
    dir.runner(&["check", "tiny.yaml", "--set", "train.epochs"]).code(2);
    dir.runner(&["check", "tiny.yaml", "--device", "gpu"]).code(2);
}

#[cfg(not(feature = "wgpu"))]
#[test]
fn a_device_that_is_not_compiled_in_is_rejected_with_the_name_of_its_feature() {
    let dir = TestDir::new();
    let text = stderr(&dir.runner(&["run", "tiny.yaml", "--device", "wgpu:0"]).code(2));
    assert!(text.contains("--features wgpu"), "{text}");
}

#[test]
fn phantoms_written_to_a_folder_are_a_dataset() {
    let dir = TestDir::new();
    dir.runner(&["phantom", "data", "--subjects", "3", "--shape", "16,18,12", "--spacing", "20,18,20"]).success();
    let source = "data.source={msd: {root: data}}";
    let checked = dir.runner(&["check", "tiny.yaml", "--set", source, "--data"]);
    let text = stdout(&checked);
    assert!(text.contains("3 subjects read") && text.contains("16 x 18 x 12"), "{text}");
}

#[test]
fn an_undeclared_label_is_a_fault_of_the_data() {
    let dir = TestDir::new();
    dir.runner(&["phantom", "data", "--subjects", "6", "--shape", "24,24,20", "--spacing", "13,13,14"]).success();
    let arguments =
        ["check", "tiny.yaml", "--data", "--set", "data.source={msd: {root: data}}", "--set", "data.labels={1: liver}"];
    let text = stdout(&dir.runner(&arguments).code(1));
    assert!(text.contains("not declared in data.labels"), "{text}");
}

#[test]
fn a_damaged_image_exits_with_code_3_and_names_the_subject() {
    let dir = TestDir::new();
    let source = ["--set", "data.source={msd: {root: data}}"];
    dir.runner(&["phantom", "data", "--subjects", "4", "--shape", "16,16,16", "--spacing", "20,20,18"]).success();
    let image = dir.path("data/imagesTr/phantom_001.nii.gz");
    let bytes = fs::read(&image).unwrap();
    // The check reads only the header; missing voxels are detected when the file is read.
    for length in [5, bytes.len() / 2] {
        fs::write(&image, &bytes[..length]).unwrap();
        let text = stderr(&dir.runner(&["run", "tiny.yaml", source[0], source[1]]).code(3));
        assert!(text.contains("phantom_001"), "{text}");
    }
    let manifest = fs::read_to_string(dir.only_run("runs").join("manifest.json")).unwrap();
    assert!(manifest.contains("\"failed\"") && manifest.contains("phantom_001"), "{manifest}");
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_not_a_bug() {
    let dir = TestDir::new();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_runner"))
        .current_dir(dir.path("."))
        .arg("schema")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_small_subcommands_work() {
    let dir = TestDir::new();
    assert!(stdout(&dir.runner(&["schema"]).success()).contains("\"$schema\""));
    assert!(stdout(&dir.runner(&["devices"]).success()).contains("flex"));
    assert!(stdout(&dir.runner(&["completions", "bash"]).success()).contains("runner"));
    assert!(stdout(&dir.runner(&["cache", "list"]).success()).contains("0 volumes"));
    assert!(stdout(&dir.runner(&["--version"]).success()).contains("features: "));
    dir.run("runs", &[]);
    assert!(stdout(&dir.runner(&["cache"]).success()).contains("4 volumes"));
    dir.runner(&["cache", "clear"]).success();
    assert!(stdout(&dir.runner(&["cache"]).success()).contains("0 volumes"));
}
