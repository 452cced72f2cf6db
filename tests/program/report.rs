//! `runner report`: comparison of runs, including run folders of earlier versions.

use std::fs;
use std::path::Path;

use crate::folders::RunFixture;
use crate::test_dir::{TestDir, stderr, stdout};

/// Reads the rows of a CSV file as maps from column to cell.
fn rows(path: &Path) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

#[test]
fn settings_are_compared_and_the_better_one_is_reported() {
    let dir = TestDir::new();
    for (name, learning_rate, seed, dice) in
        [("a", 1e-3, 1, 0.8), ("b", 1e-3, 2, 0.81), ("c", 1e-2, 1, 0.6), ("d", 1e-2, 2, 0.61)]
    {
        RunFixture { name, learning_rate, seed, dice, ..RunFixture::default() }.write(&dir.path("runs"));
    }
    let output = stdout(&dir.runner(&["report", "runs"]).success());
    assert!(output.contains("learning_rate 0.001 is significantly better than the other setting"), "{output}");
    assert!(output.contains("was selected on the same cases that it is scored on"), "{output}");

    let summary = rows(&dir.path("runs/report/summary.csv"));
    let names: Vec<&str> = summary.iter().map(|row| row["run"].as_str()).collect();
    assert_eq!(names, ["b", "a", "d", "c"]);
    assert_eq!(summary[0]["optimizer.adam.learning_rate"], "0.001");
    // The mean over cases of the best epoch is that of metrics.csv.
    let metrics = rows(&dir.path("runs/b/metrics.csv"));
    let best = metrics.iter().find(|row| row["epoch"] == summary[0]["best_epoch"]).unwrap();
    let [reported, recorded] =
        [&summary[0]["dice_tumour"], &best["val_dice_tumour"]].map(|text| text.parse::<f64>().unwrap());
    assert!((reported - recorded).abs() < 1e-12, "{reported} {recorded}");
    assert_eq!(rows(&dir.path("runs/report/cases.csv")).len(), 4 * 12);
    let comparisons = rows(&dir.path("runs/report/comparisons.csv"));
    assert_eq!(comparisons.len(), 3);
    assert!(comparisons.iter().all(|row| row["holm_p"].parse::<f64>().unwrap() < 0.01));
    let markdown = fs::read_to_string(dir.path("runs/report/report.md")).unwrap();
    assert!(markdown.contains("| setting | runs | cases |"), "{markdown}");

    // A second report replaces the first, whose folder is not a run.
    assert_eq!(stdout(&dir.runner(&["report", "runs"]).success()), output);
    let out = dir.path("elsewhere");
    dir.runner(&["report", "runs", "--out", out.to_str().unwrap(), "--epoch", "last"]).success();
    assert!(out.join("plots/effect_optimizer_adam_learning_rate.svg").exists());
}

#[test]
fn runs_that_are_not_comparable_are_in_separate_groups_with_the_reason() {
    let dir = TestDir::new();
    let runs = dir.path("runs");
    for (name, seed) in [("a", 1), ("b", 2)] {
        RunFixture { name, seed, ..RunFixture::default() }.write(&runs);
    }
    let other = |name: &'static str, file: &str, from: &str, to: &str| {
        let folder = RunFixture { name, ..RunFixture::default() }.write(&runs);
        let text = fs::read_to_string(folder.join(file)).unwrap();
        assert!(text.contains(from));
        fs::write(folder.join(file), text.replace(from, to)).unwrap();
    };
    other("convention", "plan.yaml", "empty: nan", "empty: one");
    other("split", "split.json", "liver_000", "liver_777");
    other("labels", "metrics.csv", "tumour", "vessel");
    fs::create_dir_all(runs.join("incomplete")).unwrap();
    fs::write(runs.join("incomplete/manifest.json"), "{\"format\": 1, \"sta").unwrap();
    let result = dir.runner(&["report", "runs"]).success();
    let output = stdout(&result);
    for reason in ["another metric convention", "another split", "other labels"] {
        assert!(output.contains(reason), "{reason} is missing in\n{output}");
    }
    assert!(stderr(&result).contains("incomplete cannot be read"), "{}", stderr(&result));
    let summary = rows(&dir.path("runs/report/summary.csv"));
    let groups: std::collections::BTreeSet<&str> = summary.iter().map(|row| row["group"].as_str()).collect();
    assert_eq!((summary.len(), groups.len()), (5, 4));
}

/// `tests/runs` has run folders of earlier versions.
#[test]
fn run_folders_of_every_format_can_be_read() {
    let dir = TestDir::new();
    let runs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runs");
    let out = dir.path("report");
    let arguments = ["report", runs.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let output = stdout(&dir.runner(&arguments).success());
    let num_formats = fs::read_dir(&runs).unwrap().count();
    let summary = rows(&out.join("summary.csv"));
    assert_eq!(summary.len(), num_formats, "{output}");
    for row in summary {
        assert_eq!((row["status"].as_str(), row["in_mean"].as_str()), ("done", "true"));
        assert!(row["dice_mean"].parse::<f64>().is_ok() && row["dice_liver_low"].parse::<f64>().is_ok());
    }
}

#[test]
fn a_folder_without_runs_and_the_folder_of_a_run_are_rejected() {
    let dir = TestDir::new();
    let message = stderr(&dir.runner(&["report", "absent"]).code(2));
    assert!(message.contains("absent"), "{message}");
    fs::create_dir(dir.path("empty")).unwrap();
    assert!(stderr(&dir.runner(&["report", "empty"]).code(2)).contains("contains no runs"));
    RunFixture::default().write(&dir.path("runs"));
    let message = stderr(&dir.runner(&["report", "runs", "--out", "runs/run"]).code(2));
    assert!(message.contains("would overwrite"), "{message}");
}

/// Adds HD95 to a run: 20 mm times what its Dice of the liver lacks to 1.
fn add_hd95(folder: &Path) {
    let add = |file: &str, columns: &str, dice: &str, count: usize| {
        let path = folder.join(file);
        let text = fs::read_to_string(&path).unwrap();
        let (header, rows) = text.split_once('\n').unwrap();
        let column = header.split(',').position(|name| name == dice).unwrap();
        let row = |row: &str| {
            let dice = row.split(',').nth(column).unwrap().parse::<f64>();
            let hd95 = dice.map_or(String::new(), |dice| (20.0 * (1.0 - dice)).to_string());
            format!("{row}{}\n", format!(",{hd95}").repeat(count))
        };
        fs::write(&path, format!("{header}{columns}\n{}", rows.lines().map(row).collect::<String>())).unwrap();
    };
    add("metrics.csv", ",val_hd95_liver,val_hd95_mean", "val_dice_liver", 2);
    add("cases.csv", ",hd95_liver", "dice_liver", 1);
    let plan = fs::read_to_string(folder.join("plan.yaml")).unwrap();
    fs::write(folder.join("plan.yaml"), plan.replace("empty: nan } }]", "empty: nan } }, { hd95: {} }]")).unwrap();
}

#[test]
fn runs_are_compared_by_any_metric_that_they_declare() {
    let dir = TestDir::new();
    for (name, learning_rate, seed, dice) in
        [("a", 1e-3, 1, 0.8), ("b", 1e-3, 2, 0.81), ("c", 1e-2, 1, 0.6), ("d", 1e-2, 2, 0.61)]
    {
        add_hd95(&RunFixture { name, learning_rate, seed, dice, ..RunFixture::default() }.write(&dir.path("runs")));
    }
    let output = stdout(&dir.runner(&["report", "runs", "--metric", "hd95"]).success());
    // The lowest distance is the best.
    assert!(output.contains("learning_rate 0.001 is significantly better than the other setting"), "{output}");
    assert!(output.contains("HD95 liver (mm)") && output.contains("mm higher than the best"), "{output}");
    let summary = rows(&dir.path("runs/report/summary.csv"));
    assert_eq!(summary.iter().map(|row| row["run"].as_str()).collect::<Vec<_>>(), ["b", "a", "d", "c"]);
    assert!(summary[0]["hd95_mean"].parse::<f64>().unwrap() < summary[3]["hd95_mean"].parse::<f64>().unwrap());
    let comparisons = rows(&dir.path("runs/report/comparisons.csv"));
    assert!(comparisons.iter().all(|row| row["metric"] == "hd95" && row["difference"].starts_with('-')));
    assert!(dir.path("runs/report/plots/curves_val_hd95_mean.svg").exists());
    let message = stderr(&dir.runner(&["report", "runs", "--metric", "assd"]).code(2));
    assert!(message.contains("no run has scores of the metric assd") && message.contains("dice, hd95"), "{message}");
}
