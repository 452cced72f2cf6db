//! `runner compare`: folders of predictions against the same label maps.

use std::fs;

use volume::io::write_label;
use volume::{Affine, Grid, Voxels};

use crate::test_dir::{TestDir, stderr, stderr_line, stdout};

/// Writes a row of voxels, 2 mm apart.
fn write(dir: &TestDir, path: &str, labels: &[u16]) {
    let shape = [1, 1, labels.len()];
    let grid = Grid { shape, affine: Affine::scale_and_shift([1.0, 1.0, 2.0], [0.0; 3]) };
    fs::create_dir_all(dir.path(path).parent().unwrap()).unwrap();
    write_label(&dir.path(path), &grid, &Voxels::new(1, shape, labels.to_vec())).unwrap();
}

/// Writes eight cases; `good` predicts all of them, and `poor` only the first voxels of each.
fn folders() -> TestDir {
    let dir = TestDir::new();
    for case in 0..8 {
        let length = 8 + case;
        let map = |end: usize| (0..20).map(|voxel| u16::from(voxel < end)).collect::<Vec<_>>();
        write(&dir, &format!("truth/c{case}.nii.gz"), &map(length));
        write(&dir, &format!("tools/good/c{case}.nii.gz"), &map(length));
        write(&dir, &format!("tools/poor/c{case}.nii.gz"), &map(4));
    }
    dir
}

const COMPARE: [&str; 7] = ["compare", "tools/poor", "tools/good", "--labels", "truth", "--out", "out"];

#[test]
fn the_better_folder_is_reported_by_every_metric() {
    let dir = folders();
    let output = stdout(&dir.runner(&COMPARE).success());
    for title in ["Dice", "HD95 (mm)", "ASSD (mm)", "Precision"] {
        assert!(output.lines().any(|line| line == title), "{title} is missing in\n{output}");
    }
    assert!(output.contains("good is significantly better than the other folder."), "{output}");
    // Lower distances are better: the last voxel of c0 is 4 voxels of 2 mm from the prediction.
    assert!(output.contains("poor: ") && output.contains("mm higher than the best"), "{output}");
    assert!(!output.contains("seed:") && !output.contains("setting"), "{output}");
    let mut summary = csv::Reader::from_path(dir.path("out/summary.csv")).unwrap();
    let headers = summary.headers().unwrap().clone();
    let at = |name: &str| headers.iter().position(|header| header == name).unwrap();
    let (run, dice, hd95) = (at("run"), at("dice_mean"), at("hd95_mean"));
    let rows: Vec<csv::StringRecord> = summary.records().map(Result::unwrap).collect();
    assert_eq!((&rows[0][run], &rows[0][dice], rows.len()), ("good", "1", 2 * 6));
    let best_hd95 = rows.iter().find(|row| !row[hd95].is_empty()).unwrap();
    assert_eq!((&best_hd95[run], &best_hd95[hd95]), ("good", "0"));
    let cases = csv::Reader::from_path(dir.path("out/cases.csv")).unwrap().records().count();
    assert_eq!(cases, 2 * 8);
    let page = fs::read_to_string(dir.path("out/report.html")).unwrap();
    assert!(page.contains("2 folders of predictions, scored on the same cases") && page.contains("HD95 (mm)"));
}

#[test]
fn one_metric_can_be_compared_and_an_unknown_one_is_reported() {
    let dir = folders();
    let output = stdout(&dir.runner(&[&COMPARE[..], &["--metric", "hd95"]].concat()).success());
    assert!(output.contains("HD95") && !output.contains("Dice"), "{output}");
    let message = stderr(&dir.runner(&[&COMPARE[..], &["--metric", "hd96"]].concat()).code(2));
    assert!(message.contains("hd96") && message.contains("did you mean hd95"), "{message}");
}

#[test]
fn a_folder_is_not_compared_with_itself_nor_an_unknown_metric_computed() {
    let dir = folders();
    fs::create_dir(dir.path("nowhere")).unwrap();
    for (folders, message) in [
        (["tools/good", "tools/good", "truth"], "tools/good is given twice"),
        (["tools/good", "./tools/poor/../good", "truth"], "are the same folder"),
        (["tools/good", "truth", "truth"], "truth is given twice"),
    ] {
        let [a, b, labels] = folders;
        let text = stderr_line(&dir.runner(&["compare", a, b, "--labels", labels, "--out", "out"]).code(2));
        assert!(text.contains(message), "{text}");
    }
    let text = stderr_line(&dir.runner(&["evaluate", "--predictions", "truth", "--labels", "truth/"]).code(2));
    assert!(text.contains("truth/ is given twice"), "{text}");
    // Before the files are matched, which would fail.
    let unknown = ["compare", "tools/good", "nowhere", "--labels", "truth", "--metric", "foo"];
    let text = stderr_line(&dir.runner(&unknown).code(2));
    assert!(text.contains("--metric foo is not computed; the metrics are dice, jaccard"), "{text}");
    assert!(!dir.path("out").exists());
}

#[test]
fn missing_cases_are_named_and_in_no_mean_unless_they_are_scored_as_empty() {
    let dir = folders();
    fs::remove_file(dir.path("tools/good/c3.nii.gz")).unwrap();
    let message = stderr(&dir.runner(&COMPARE).code(2));
    assert!(message.contains("good has no prediction of 1 of 8 cases: c3"), "{message}");
    assert!(!dir.path("out").exists());
    let scored = [&COMPARE[..], &["--missing", "score-as-empty", "--metric", "dice"]].concat();
    let output = stdout(&dir.runner(&scored).success());
    assert!(output.contains("c3") && output.contains("scored as empty"), "{output}");
    assert!(output.contains("0.875"), "{output}");
    assert!(fs::read_to_string(dir.path("out/report.html")).unwrap().contains("cases: c3"));
}
