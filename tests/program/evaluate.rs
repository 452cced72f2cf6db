//! `runner evaluate`: scores of a run equal those of training, and any two folders can be scored.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use volume::io::{write_image, write_label};
use volume::{Affine, Grid, Voxels};

use crate::test_dir::{TestDir, first_line, stderr, stderr_line, stdout};

/// Reads the rows of a table by their first cell, without the header.
fn rows(path: &Path) -> BTreeMap<String, Vec<String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let row =
        |row: csv::StringRecord| (row[0].to_owned(), row.iter().skip(1).map(str::to_owned).collect::<Vec<String>>());
    reader.records().map(|record| row(record.unwrap())).collect()
}

/// Writes a label map with a spacing of 1 x 1 x 2 mm.
fn write(dir: &TestDir, path: &str, shape: [usize; 3], labels: &[u16]) {
    let grid = Grid { shape, affine: Affine::scale_and_shift([1.0, 1.0, 2.0], [0.0; 3]) };
    fs::create_dir_all(dir.path(path).parent().unwrap()).unwrap();
    write_label(&dir.path(path), &grid, &Voxels::new(1, shape, labels.to_vec())).unwrap();
}

#[test]
fn the_last_checkpoint_has_the_scores_of_the_last_validation() {
    let dir = TestDir::new();
    let chain = "preprocess=[{resample: {spacing_mm: [18, 18, 18]}}, {clamp: {min: -200, max: 250}}, {rescale_intensity: {to: [-1, 1]}}]";
    let run = dir.run("runs", &["--set", chain, "--set", "postprocess=[{keep_largest: {}}]"]);
    let result = dir.runner(&["evaluate", run.to_str().unwrap(), "--checkpoint", "last"]).success();
    let folder = run.join("predictions/val_last");
    let cases = rows(&folder.join("cases.csv"));
    let validated = fs::read_to_string(run.join("cases.csv")).unwrap();
    let last: Vec<&str> = validated.lines().filter(|line| line.starts_with("2,")).collect();
    assert_eq!(cases.len(), last.len());
    for line in last {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cases[cells[1]], cells[2..], "{line}");
        assert!(folder.join(format!("{}.nii.gz", cells[1])).exists());
    }
    assert_eq!(first_line(&folder.join("cases.csv")), "subject,dice_liver,dice_tumour");
    let summary = rows(&folder.join("summary.csv"));
    assert_eq!(
        first_line(&folder.join("summary.csv")),
        "score,mean,sd,median,low,high,min,max,cases,undefined,missing"
    );
    let metrics = fs::read_to_string(run.join("metrics.csv")).unwrap();
    let last = metrics.lines().last().unwrap().rsplit(',').next().unwrap().to_owned();
    assert_eq!(summary["dice_mean"][0], last);
    for file in ["plots/dice.png", "plots/dice.svg"] {
        assert!(folder.join(file).exists(), "{file}");
    }
    assert_eq!(fs::read_dir(folder.join("worst")).unwrap().count(), 2);
    assert!(stdout(&result).contains("worst first"), "{}", stdout(&result));
}

#[test]
fn a_part_without_subjects_is_rejected() {
    let dir = TestDir::new();
    let run = dir.run("runs", &[]);
    let message = stderr(&dir.runner(&["evaluate", run.to_str().unwrap(), "--split", "test"]).code(2));
    assert!(message.contains("no test subjects"), "{message}");
    dir.runner(&["evaluate", run.to_str().unwrap(), "--split", "train", "--pictures", "0"]).success();
    assert!(run.join("predictions/train/cases.csv").exists() && !run.join("predictions/train/worst").exists());
}

#[test]
fn files_of_two_folders_are_matched_by_name() {
    let dir = TestDir::new();
    write(&dir, "truth/a.nii.gz", [1, 2, 4], &[0, 1, 1, 0, 0, 2, 2, 0]);
    write(&dir, "pred/a.nii", [1, 2, 4], &[0, 1, 1, 0, 0, 2, 0, 0]);
    write(&dir, "truth/b.nii.gz", [1, 1, 3], &[1, 0, 0]);
    write(&dir, "pred/b.nii.gz", [1, 1, 3], &[1, 0, 0]);
    write(&dir, "pred/c.nii.gz", [1, 1, 3], &[1, 0, 0]);
    let scored = ["evaluate", "--predictions", "pred", "--labels", "truth", "--out", "scores.csv"];
    let result = dir.runner(&scored).success();
    assert!(stderr(&result).contains("1 prediction has no label map and cannot be scored: c"), "{}", stderr(&result));
    let header = first_line(&dir.path("scores.csv"));
    for column in [
        "subject",
        "dice_label_1",
        "dice_label_2",
        "jaccard_label_1",
        "precision_label_2",
        "recall_label_1",
        "hd95_label_1",
        "assd_label_2",
    ] {
        assert!(header.split(',').any(|name| name == column), "{column}: {header}");
    }
    let cases = rows(&dir.path("scores.csv"));
    let dice: Vec<f64> = cases["a"][..2].iter().map(|cell| cell.parse().unwrap()).collect();
    assert!((dice[0] - 1.0).abs() < 1e-12 && (dice[1] - 2.0 / 3.0).abs() < 1e-12, "{dice:?}");
    assert_eq!((cases["b"][0].as_str(), cases["b"][1].as_str()), ("1", ""));
    assert!(dir.path("scores_summary.csv").exists() && dir.path("scores_plots/dice.png").exists());
}

#[test]
fn a_metrics_file_selects_the_metrics() {
    let dir = TestDir::new();
    write(&dir, "truth/a.nii.gz", [1, 1, 4], &[1, 1, 2, 0]);
    write(&dir, "pred/a.nii.gz", [1, 1, 4], &[1, 2, 2, 0]);
    dir.write(
        "metrics.yaml",
        "labels: { 1: liver, 2: tumour }\nmetrics:\n- dice: { global: true, regions: { whole: [1, 2] } }\n",
    );
    let scored =
        ["evaluate", "--predictions", "pred", "--labels", "truth", "--metrics", "metrics.yaml", "--out", "s.csv"];
    dir.runner(&scored).success();
    assert_eq!(first_line(&dir.path("s.csv")), "subject,dice_liver,dice_tumour,dice_whole");
    assert!(rows(&dir.path("s_summary.csv")).contains_key("dice_global_whole"));
    dir.write("metrics.yaml", "metrics:\n- dise: {}\n");
    let message = stderr(&dir.runner(&scored).code(2));
    assert!(message.contains("metrics.yaml:2") && message.contains("dice"), "{message}");
}

#[test]
fn cases_that_cannot_be_scored_are_reported_and_skipped() {
    let dir = TestDir::new();
    write(&dir, "truth/a.nii.gz", [1, 1, 4], &[1, 1, 0, 0]);
    write(&dir, "pred/a.nii.gz", [1, 1, 3], &[1, 1, 0]);
    write(&dir, "truth/b.nii.gz", [1, 1, 3], &[1, 0, 0]);
    write(&dir, "pred/b.nii.gz", [1, 1, 3], &[1, 0, 0]);
    let failed = dir.runner(&["evaluate", "--predictions", "pred", "--labels", "truth", "--out", "s.csv"]).code(3);
    assert!(
        stderr(&failed)
            .contains("a: prediction pred/a.nii.gz: it has 1 x 1 x 3 voxels, but the label map has 1 x 1 x 4"),
        "{}",
        stderr(&failed)
    );
    assert_eq!(rows(&dir.path("s.csv")).into_keys().collect::<Vec<_>>(), ["b"]);
    fs::create_dir(dir.path("empty")).unwrap();
    let none = dir.runner(&["evaluate", "--predictions", "empty", "--labels", "truth"]).code(2);
    assert!(stderr(&none).contains("no file name in empty"), "{}", stderr(&none));
}

#[test]
fn scores_do_not_depend_on_the_storage_orientation() {
    let dir = TestDir::new();
    let labels = [0, 1, 1, 0, 0, 2, 2, 0];
    write(&dir, "truth/a.nii.gz", [1, 2, 4], &labels);
    // y and z are swapped and flipped: the same world coordinates.
    let swapped = Affine([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 1.0], [0.0, -2.0, 0.0, 6.0]]);
    let grid = Grid { shape: [1, 4, 2], affine: swapped };
    let values = (0..8).map(|voxel| labels[(1 - voxel % 2) * 4 + 3 - voxel / 2]).collect();
    fs::create_dir_all(dir.path("pred")).unwrap();
    write_label(&dir.path("pred/a.nii.gz"), &grid, &Voxels::new(1, grid.shape, values)).unwrap();
    let result =
        dir.runner(&["evaluate", "--predictions", "pred", "--labels", "truth", "--out", "new/s.csv"]).success();
    assert!(!stderr(&result).contains("warning"), "{}", stderr(&result));
    assert_eq!(rows(&dir.path("new/s.csv"))["a"][..2], ["1", "1"]);
}

#[test]
fn a_missing_prediction_is_refused_or_scored_as_empty() {
    let dir = TestDir::new();
    for name in ["a", "b", "c"] {
        write(&dir, &format!("truth/{name}.nii.gz"), [1, 1, 4], &[1, 1, 0, 0]);
    }
    write(&dir, "pred/a.nii.gz", [1, 1, 4], &[1, 1, 0, 0]);
    let scored = ["evaluate", "--predictions", "pred", "--labels", "truth", "--out", "s.csv"];
    let message = stderr_line(&dir.runner(&scored).code(2));
    assert!(message.contains("2 of 3 label maps have no prediction: b, c"), "{message}");
    assert!(
        message.contains("score them as if nothing had been predicted") && !dir.path("s.csv").exists(),
        "{message}"
    );
    let result = dir.runner(&[&scored[..], &["--missing", "score-as-empty"]].concat()).success();
    let text = stdout(&result);
    assert!(text.contains("2 of 3 cases have no prediction and were scored as empty: b, c"), "{text}");
    assert_eq!(rows(&dir.path("s.csv"))["b"][0], "0");
    let summary = &rows(&dir.path("s_summary.csv"))["dice_label_1"];
    assert!((summary[0].parse::<f64>().unwrap() - 1.0 / 3.0).abs() < 1e-12 && summary[9] == "2", "{summary:?}");
}

#[test]
fn a_metrics_file_has_tables_of_its_own_for_a_run_and_keeps_its_labels() {
    let dir = TestDir::new();
    let run = dir.run("runs", &[]);
    let run = run.to_str().unwrap();
    dir.runner(&["evaluate", run, "--pictures", "0"]).success();
    let folder = Path::new(run).join("predictions/val");
    let before = fs::read(folder.join("cases.csv")).unwrap();
    dir.write("surface.yaml", "labels: { 1: liver }\nmetrics: [ { hd95: {} } ]\n");
    let with_file = ["evaluate", run, "--metrics", "surface.yaml", "--pictures", "1"];
    dir.runner(&with_file).success();
    assert!(fs::read(folder.join("cases.csv")).unwrap() == before);
    // The label that the file does not name is scored too.
    assert_eq!(first_line(&folder.join("cases_surface.csv")), "subject,hd95_liver,hd95_tumour");
    for file in ["summary_surface.csv", "plots_surface/hd95.png", "worst_surface"] {
        assert!(folder.join(file).exists(), "{file}");
    }
    dir.runner(&["evaluate", run, "--out", "own/scores.csv", "--pictures", "1"]).success();
    assert!(dir.path("own/scores_summary.csv").exists() && dir.path("own/scores_worst").exists());
    dir.write("surface.yaml", "labels: { 1: organ }\nmetrics: [ { hd95: {} } ]\n");
    let message = stderr_line(&dir.runner(&with_file).code(2));
    assert!(message.contains("label 1 is liver in the run, but organ in surface.yaml"), "{message}");
}

#[test]
fn pictures_of_the_worst_cases_of_two_folders() {
    let dir = TestDir::new();
    let grid = Grid { shape: [8, 8, 4], affine: Affine::scale_and_shift([1.0, 1.0, 2.0], [0.0; 3]) };
    fs::create_dir_all(dir.path("images")).unwrap();
    let labels = |count: usize| (0..256).map(|voxel| u16::from(voxel < count)).collect::<Vec<_>>();
    for (name, predicted) in [("good", 64), ("bad", 4)] {
        write(&dir, &format!("truth/{name}.nii.gz"), [8, 8, 4], &labels(64));
        write(&dir, &format!("pred/{name}.nii.gz"), [8, 8, 4], &labels(predicted));
        let image = Voxels::new(1, grid.shape, (0..256).map(|voxel| voxel as f32).collect());
        write_image(&dir.path(&format!("images/{name}_0000.nii.gz")), &grid, &image).unwrap();
    }
    let scored = ["evaluate", "--predictions", "pred", "--labels", "truth", "--images", "images"];
    assert!(stderr(&dir.runner(&scored).code(2)).contains("--out"));
    dir.runner(&[&scored[..], &["--out", "s.csv", "--pictures", "1"]].concat()).success();
    let pictures: Vec<_> = fs::read_dir(dir.path("s_worst")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(pictures, ["1_bad.png"]);
    // A case without an image has no picture, and the scores are written all the same.
    fs::remove_file(dir.path("images/bad_0000.nii.gz")).unwrap();
    let result = dir.runner(&[&scored[..], &["--out", "s.csv"]].concat()).success();
    assert!(stderr(&result).contains("no picture of bad"), "{}", stderr(&result));
    assert!(dir.path("s_worst/2_good.png").exists());
}
