//! `runner plan`: experiments for a dataset.

use std::fs;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use crate::test_dir::{TestDir, stderr_line, stdout};

/// A folder with a dataset of six synthetic scans in `data`.
fn dir() -> TestDir {
    let dir = TestDir::new();
    dir.runner(&["phantom", "data", "--subjects", "6", "--shape", "32,32,24", "--spacing", "10,10,12"]).success();
    dir
}

fn text(dir: &TestDir, file: &str) -> String {
    fs::read_to_string(dir.path(file)).unwrap()
}

#[test]
fn planned_experiments_are_valid_and_their_plans_have_the_planned_numbers() {
    let dir = dir();
    let printed = stdout(&dir.runner(&["plan", "data"]).success());
    assert!(printed.contains("3d_fullres.yaml  10 x 10 x 12"), "{printed}");
    for (file, spacing) in [("3d_fullres", "10.0, 10.0, 12.0"), ("2d", "10.0, 10.0, null")] {
        let path = format!("experiments/data/{file}.yaml");
        assert!(text(&dir, &path).contains(&format!("spacing_mm: [{spacing}]")), "{}", text(&dir, &path));
        dir.runner(&["check", &path]).success();
    }
    let fingerprint: Value = serde_json::from_str(&text(&dir, "experiments/data/fingerprint.json")).unwrap();
    assert_eq!(fingerprint["subjects"].as_array().unwrap().len(), 6);
    assert_eq!(fingerprint["subjects"][0]["shape"], json!([32, 32, 24]));
}

#[test]
fn every_preset_writes_valid_experiments_from_a_fingerprint_and_for_the_given_memory() {
    let dir = dir();
    dir.runner(&["plan", "data", "--out", "plain"]).success();
    for preset in ["resenc_m", "resenc_l", "resenc_xl"] {
        let arguments =
            ["plan", "data", "--preset", preset, "--fingerprint", "plain/fingerprint.json", "--out", preset];
        dir.runner(&arguments).success();
        assert!(text(&dir, &format!("{preset}/2d.yaml")).contains("encoder: residual"));
        dir.runner(&["check", &format!("{preset}/3d_fullres.yaml")]).success();
        dir.runner(&["check", &format!("{preset}/2d.yaml")]).success();
    }
    let message = stderr_line(&dir.runner(&["plan", "data", "--memory-gb", "0"]).code(2));
    assert!(message.contains("expected a number above 0"), "{message}");
    let message = stderr_line(&dir.runner(&["plan", "data", "--out", "tiny", "--memory-gb", "1e-9"]).code(2));
    assert!(message.contains("no patch fits"), "{message}");
}

#[test]
fn a_dataset_for_a_cascade_has_a_valid_experiment_of_lower_resolution() {
    let dir = dir();
    dir.runner(&["plan", "data", "--out", "whole"]).success();
    assert!(!dir.path("whole/3d_lowres.yaml").exists());
    // The same scans with voxels of a tenth of the edge, as a fingerprint of large scans.
    let mut fingerprint: Value = serde_json::from_str(&text(&dir, "whole/fingerprint.json")).unwrap();
    for subject in fingerprint["subjects"].as_array_mut().unwrap() {
        subject["spacing_mm"] = json!([1.0, 1.0, 1.2]);
        for key in ["shape", "shape_after_crop"] {
            subject[key] = json!([320, 320, 240]);
        }
    }
    dir.write("large.json", &fingerprint.to_string());
    let printed =
        stdout(&dir.runner(&["plan", "data", "--out", "large", "--fingerprint", "large.json", "--explain"]).success());
    assert!(printed.contains("Yes: a patch at full resolution has only"), "{printed}");
    assert!(text(&dir, "large/3d_fullres.yaml").contains("batch: true"));
    for file in ["3d_fullres", "3d_lowres", "2d"] {
        dir.runner(&["check", &format!("large/{file}.yaml")]).success();
    }
    // The second stage is trained after the first.
    assert!(printed.contains("3d_cascade_fullres.yaml"), "{printed}");
    let message = stderr_line(&dir.runner(&["check", "large/3d_cascade_fullres.yaml"]).code(2));
    assert!(message.contains("runs/data_3d_lowres does not exist"), "{message}");
    assert!(message.contains("train the previous stage first, one run for each fold"), "{message}");
    assert_eq!(message.matches("help:").count(), 1, "{message}");
}

#[test]
fn the_data_section_of_an_experiment_is_planned_for_without_its_test_subjects() {
    let dir = dir();
    let split = "data.split={fraction: {train: 0.5, val: 0.2, test: 0.3}}";
    let printed = stdout(
        &dir.runner(&["plan", "tiny.yaml", "--set", "data.source={msd: {root: data}}", "--set", split, "--explain"])
            .success(),
    );
    assert!(printed.contains("4 scans were read"), "{printed}");
    let written = text(&dir, "experiments/tiny/3d_fullres.yaml");
    assert!(written.contains("root: data") && written.contains("\"test\":0.3"), "{written}");
    let fingerprint: Value = serde_json::from_str(&text(&dir, "experiments/tiny/fingerprint.json")).unwrap();
    assert_eq!(fingerprint["subjects"].as_array().unwrap().len(), 4);
}

#[test]
fn a_misspelt_folder_is_named_with_the_nearest_one() {
    let dir = dir();
    let message = stderr_line(&dir.runner(&["plan", "date"]).code(2));
    assert!(message.contains("date does not exist") && message.contains("did you mean data?"), "{message}");
    let message = stderr_line(&dir.runner(&["plan", "data/imagesTr"]).code(2));
    assert!(message.contains("expected a folder with dataset.json"), "{message}");
}

#[test]
fn subjects_without_label_maps_are_named() {
    let dir = dir();
    fs::remove_dir_all(dir.path("data/labelsTr")).unwrap();
    let message = stderr_line(&dir.runner(&["plan", "data"]).code(2));
    assert!(message.contains("6 of 6 subjects lack a label map") && message.contains("and 1 more"), "{message}");
    assert!(!dir.path("experiments").exists());
}

#[test]
fn label_maps_of_background_alone_are_a_problem() {
    let dir = dir();
    for file in fs::read_dir(dir.path("data/labelsTr")).unwrap() {
        let path = file.unwrap().path();
        let (grid, label) = volume::io::read_label(&path).unwrap();
        volume::io::write_label(&path, &grid, &volume::Voxels::new(1, label.shape, vec![0; label.len()])).unwrap();
    }
    let message = stderr_line(&dir.runner(&["plan", "data"]).code(2));
    assert!(message.contains("no subject has a voxel with a label above 0"), "{message}");
}

#[test]
fn damaged_subjects_are_named_after_all_have_been_read() {
    let dir = dir();
    let images = |dir: &TestDir| -> Vec<_> {
        let mut images: Vec<_> =
            fs::read_dir(dir.path("data/imagesTr")).unwrap().map(|file| file.unwrap().path()).collect();
        images.sort();
        images
    };
    for index in [1, 4] {
        let path = &images(&dir)[index];
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }
    let message = stderr_line(&dir.runner(&["plan", "data"]).code(3));
    assert!(message.contains("2 of 6 subjects cannot be used"), "{message}");
    for index in [1, 4] {
        let name = images(&dir)[index].file_name().unwrap().to_string_lossy().into_owned();
        assert!(message.contains(&name), "{message}");
    }
    assert!(!dir.path("experiments").exists());
}

#[test]
fn undeclared_labels_and_the_file_with_other_channels_are_named() {
    let dir = dir();
    let files = |folder: &str| -> Vec<_> {
        let mut files: Vec<_> = fs::read_dir(dir.path(folder)).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    };
    for path in &files("data/labelsTr")[2..4] {
        let (grid, label) = volume::io::read_label(path).unwrap();
        let mut values = label.to_vec();
        values[0] = 7;
        volume::io::write_label(path, &grid, &volume::Voxels::new(1, label.shape, values)).unwrap();
    }
    let planned = dir.runner(&["plan", "data"]).success();
    let warning = "label 7 occurs in 2 of 6 label maps (phantom_002, phantom_003), but the dataset does not declare it";
    assert!(stderr_line(&planned).contains(warning), "{}", stderr_line(&planned));
    // The same from the file of the fingerprint.
    let again = ["plan", "data", "--fingerprint", "experiments/data/fingerprint.json", "--out", "again"];
    let again = dir.runner(&again).success();
    assert!(stderr_line(&again).contains(warning), "{}", stderr_line(&again));

    // The first subject has other channels than dataset.json declares.
    let first = &files("data/imagesTr")[0];
    let (grid, image) = volume::io::read_image(first).unwrap();
    let values = image.repeat(4);
    volume::io::write_image(first, &grid, &volume::Voxels::new(4, image.shape, values)).unwrap();
    let message = stderr_line(&dir.runner(&["plan", "data", "--out", "wrong"]).code(3));
    let file = first.strip_prefix(dir.path("")).unwrap().display();
    assert!(message.contains("1 of 6 subjects cannot be used"), "{message}");
    assert!(message.contains(&format!("{file} has 4 channels, but the dataset declares 1")), "{message}");
}

#[test]
fn existing_files_are_replaced_only_with_overwrite() {
    let dir = dir();
    dir.runner(&["plan", "data"]).success();
    let file = "experiments/data/2d.yaml";
    let planned = text(&dir, file);
    dir.write(file, "edited");
    let message = stderr_line(&dir.runner(&["plan", "data"]).code(2));
    assert!(message.contains("would be replaced") && message.contains("--overwrite"), "{message}");
    let printed = stdout(&dir.runner(&["plan", "data", "--explain"]).success());
    assert!(printed.contains("Voxel size") && printed.contains("left as it is: experiments/data/2d.yaml"), "{printed}");
    assert_eq!(text(&dir, file), "edited");
    dir.runner(&["plan", "data", "--overwrite"]).success();
    assert_eq!(text(&dir, file), planned);
}

#[test]
fn a_fingerprint_of_other_subjects_is_a_problem() {
    let dir = dir();
    dir.runner(&["plan", "data"]).success();
    dir.runner(&["phantom", "other", "--subjects", "5", "--shape", "32,32,24"]).success();
    let arguments = ["plan", "other", "--fingerprint", "experiments/data/fingerprint.json"];
    let message = stderr_line(&dir.runner(&arguments).code(2));
    assert!(message.contains("has 6 subjects, which are not the 5 of the dataset"), "{message}");
    dir.write("broken.json", "{}");
    let message = stderr_line(&dir.runner(&["plan", "data", "--out", "new", "--fingerprint", "broken.json"]).code(2));
    assert!(message.contains("missing field"), "{message}");
}

#[test]
fn another_number_of_channels_than_declared_is_a_problem() {
    let dir = dir();
    let mut declared: Value = serde_json::from_str(&text(&dir, "data/dataset.json")).unwrap();
    declared["modality"] = json!({"0": "T1", "1": "T2"});
    dir.write("data/dataset.json", &declared.to_string());
    let message = stderr_line(&dir.runner(&["plan", "data"]).code(2));
    assert!(message.contains("declares 2 channels, but its images have 1"), "{message}");
}

#[test]
#[cfg(unix)]
fn a_stop_signal_ends_the_reading_without_a_plan() {
    let dir = dir();
    dir.runner(&["phantom", "slow", "--subjects", "30", "--shape", "64,64,48", "--spacing", "6,6,6"]).success();
    let start = Instant::now();
    dir.runner(&["plan", "slow"]).success();
    let duration = start.elapsed();
    fs::remove_dir_all(dir.path("experiments")).unwrap();
    // Too early a signal kills the program, too late a one is not noticed.
    let stopped = (1..20).any(|twentieths| {
        let mut child = dir.spawn(&["plan", "slow"]);
        std::thread::sleep(duration * twentieths / 20);
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let code = child.wait().unwrap().code();
        let was_written = dir.path("experiments").exists();
        assert!(matches!((code, was_written), (None | Some(130), false) | (Some(0), true)), "{code:?} {was_written}");
        let _ = fs::remove_dir_all(dir.path("experiments"));
        code == Some(130)
    });
    assert!(stopped);
}
