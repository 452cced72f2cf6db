//! Regions and ignored voxels, from nnU-Net's dataset.json to scores.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::test_dir::{TestDir, exact_files, stderr_line, stdout, wait_for_steps};
use volume::io::{read_image, read_label, write_image, write_label};
use volume::{Affine, Grid, Label, Voxels};

const SHAPE: [usize; 3] = [20, 18, 16];
const IGNORE: Label = 4;

/// Returns the label of a voxel: nested balls, and a slab that nobody annotated.
fn label_of(subject: usize, voxel: [usize; 3]) -> Label {
    let centre = [9.0 + subject as f64 % 3.0, 8.0, 7.0 + subject as f64 % 2.0];
    let distance = (0..3).map(|axis| (voxel[axis] as f64 - centre[axis]).powi(2)).sum::<f64>().sqrt();
    match distance {
        _ if voxel[1] >= 14 || voxel[1] == 8 && voxel[2] == 0 => IGNORE,
        ..2.5 => 3,
        ..4.0 => 2,
        ..6.0 => 1,
        _ => 0,
    }
}

/// Writes four subjects with two channels in nnU-Net's layout.
fn dir() -> TestDir {
    let dir = TestDir::new();
    let grid = Grid { shape: SHAPE, affine: Affine::scale_and_shift([-1.0, -1.0, 1.0], [0.0; 3]) };
    for folder in ["imagesTr", "labelsTr"] {
        fs::create_dir_all(dir.path("brats").join(folder)).unwrap();
    }
    let voxels = || (0..SHAPE.iter().product::<usize>()).map(|index| volume::unravel_index(SHAPE, index));
    for subject in 0..4 {
        let labels: Vec<Label> = voxels().map(|voxel| label_of(subject, voxel)).collect();
        for channel in 0..2 {
            let value = |(index, label): (usize, &Label)| {
                let noise = ((index * (7 + channel) + subject) as f32 * 0.37).sin();
                f32::from(*label % IGNORE) * if channel == 0 { 2.0 } else { -1.0 } + noise
            };
            let image = Voxels::new(1, SHAPE, labels.iter().enumerate().map(value).collect());
            write_image(&dir.path(&format!("brats/imagesTr/case_{subject}_000{channel}.nii.gz")), &grid, &image)
                .unwrap();
        }
        let path = dir.path(&format!("brats/labelsTr/case_{subject}.nii.gz"));
        write_label(&path, &grid, &Voxels::new(1, SHAPE, labels)).unwrap();
    }
    dir.write(
        "brats/dataset.json",
        r#"{
            "channel_names": {"0": "T1", "1": "FLAIR"},
            "labels": {
                "background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3], "ignore": 4
            },
            "regions_class_order": [1, 2, 3],
            "numTraining": 4,
            "file_ending": ".nii.gz"
        }"#,
    );
    dir.write("tiny.yaml", EXPERIMENT);
    dir
}

const EXPERIMENT: &str = "
name: tiny
data:
  source: { nnunet: { root: brats } }
  split: { first: 3 }
preprocess: [ { z_normalize: {} } ]
augment:
  - affine: { scales: [0.9, 1.1], degrees: [-10, 10] }
  - flip: { probabilities: 0.5 }
sampler:
  foreground_oversample: { patch: [8, 8, 8] }
queue: { max_length: 4, samples_per_volume: 4, workers: 2 }
model:
  unet: { widths: [4, 8, 16], norm: instance, deep_supervision: true }
loss:
  dice_binary_cross_entropy: {}
optimizer:
  adam: { learning_rate: 2.0e-2 }
train: { epochs: 6, batch_size: 2 }
inference: { window: [16, 16, 16] }
metrics: [ { dice: {} }, { hd95: {} } ]
device: flex
";

fn header(path: &Path) -> String {
    fs::read_to_string(path).unwrap().lines().next().unwrap().to_owned()
}

#[test]
fn regions_train_resume_predict_and_are_scored_by_name() {
    let dir = dir();
    let text = stdout(&dir.runner(&["check", "tiny.yaml"]).success());
    let regions = "whole_tumor 1+2+3 written as 1, tumor_core 2+3 written as 2, enhancing_tumor 3 written as 3";
    assert!(text.contains(regions) && text.contains("ignored label     4"), "{text}");

    let run = dir.run("whole", &[]);
    let expected = exact_files(&run);
    let columns =
        "val_dice_whole_tumor,val_dice_tumor_core,val_dice_enhancing_tumor,val_dice_mean,val_hd95_whole_tumor";
    assert!(header(&run.join("metrics.csv")).contains(columns), "{}", header(&run.join("metrics.csv")));
    let plan = fs::read_to_string(run.join("plan.yaml")).unwrap();
    assert!(plan.contains("ignore_label: 4") && plan.contains("write: 1"), "{plan}");

    // A killed and resumed run has the same bytes.
    let mut process = dir.spawn(&["run", "tiny.yaml", "--runs-dir", "killed", "--set", "checkpoint.every_steps=1"]);
    wait_for_steps(&dir.path("killed"), 8);
    std::thread::sleep(Duration::from_millis(3));
    process.kill().unwrap();
    process.wait().unwrap();
    let killed = dir.only_run("killed");
    dir.runner(&["run", "--resume", killed.to_str().unwrap()]).success();
    assert!(exact_files(&killed) == expected);

    // Label maps have the written labels: the regions at a probability above 0.5, later ones over earlier ones.
    let images = [0, 1].map(|channel| format!("brats/imagesTr/case_3_000{channel}.nii.gz"));
    let predict =
        ["predict", "--run", run.to_str().unwrap(), &images[0], &images[1], "--out", "predicted", "--probabilities"];
    let printed = stdout(&dir.runner(&predict).success());
    let (grid, map) = read_label(&dir.path("predicted/case_3.nii.gz")).unwrap();
    // Volumes are those of the regions, by name; the record has both.
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.path("predicted/case_3.json")).unwrap()).unwrap();
    let ml = grid.affine.determinant().abs() / 1000.0;
    for (index, (name, union)) in
        [("whole_tumor", &[1, 2, 3][..]), ("tumor_core", &[2, 3]), ("enhancing_tumor", &[3])].into_iter().enumerate()
    {
        let region = &record["regions"][index];
        let voxels = map.iter().filter(|label| union.contains(*label)).count();
        assert_eq!((region["name"].as_str(), region["voxels"].as_u64()), (Some(name), Some(voxels as u64)));
        assert_eq!(region["labels"], serde_json::json!(union));
        assert!((region["volume_ml"].as_f64().unwrap() - voxels as f64 * ml).abs() < 1e-9);
        assert!(printed.contains(name), "{printed}");
    }
    assert!(record["labels"].as_array().unwrap().len() == 3 && !printed.contains("label_"), "{printed}");
    let probabilities = fs::read_dir(dir.path("predicted")).unwrap().flatten();
    let probabilities = probabilities.map(|file| file.path()).find(|path| path.to_string_lossy().contains("prob"));
    let (_, probabilities) = read_image(&probabilities.unwrap()).unwrap();
    assert_eq!(probabilities.channels, 3);
    let written = |voxel: usize| {
        let is_in = |region: &usize| probabilities.channel(*region)[voxel] > 0.5;
        (0..3).filter(is_in).map(|region| region as Label + 1).max().unwrap_or(0)
    };
    assert!((0..map.len()).all(|voxel| map[voxel] == written(voxel)));
    assert!(map.iter().any(|label| *label > 0), "nothing was learned");

    // Scores are those of the unions on annotated voxels.
    dir.runner(&["evaluate", run.to_str().unwrap()]).success();
    let cases = fs::read_to_string(run.join("predictions/val/cases.csv")).unwrap();
    let row: Vec<&str> = cases.lines().nth(1).unwrap().split(',').collect();
    let (_, truth) = read_label(&dir.path("brats/labelsTr/case_3.nii.gz")).unwrap();
    let (_, map) = read_label(&run.join("predictions/val/case_3.nii.gz")).unwrap();
    for (column, union) in [&[1, 2, 3][..], &[2, 3], &[3]].into_iter().enumerate() {
        let annotated = map.iter().zip(&truth[..]).filter(|(_, truth)| **truth != IGNORE);
        let pairs: Vec<[f64; 2]> =
            annotated.map(|pair| [pair.0, pair.1].map(|label| f64::from(u8::from(union.contains(label))))).collect();
        let sum = |of: fn(&[f64; 2]) -> f64| pairs.iter().map(of).sum::<f64>();
        let dice = 2.0 * sum(|pair| pair[0] * pair[1]) / sum(|pair| pair[0] + pair[1]);
        let scored: f64 = row[1 + column].parse().unwrap();
        assert!((dice - scored).abs() < 1e-12, "{dice} {scored}: {cases}");
    }

    // The same scores without the run.
    dir.write(
        "metrics.yaml",
        "metrics: [ { dice: {} } ]\nregions: { whole tumor: [1, 2, 3], tumor core: [2, 3], enhancing tumor: [3] }\nignore_label: 4\n",
    );
    fs::create_dir_all(dir.path("truth")).unwrap();
    fs::copy(dir.path("brats/labelsTr/case_3.nii.gz"), dir.path("truth/case_3.nii.gz")).unwrap();
    fs::create_dir_all(dir.path("own")).unwrap();
    fs::copy(run.join("predictions/val/case_3.nii.gz"), dir.path("own/case_3.nii.gz")).unwrap();
    let evaluate =
        ["evaluate", "--predictions", "own", "--labels", "truth", "--metrics", "metrics.yaml", "--out", "scores.csv"];
    dir.runner(&evaluate).success();
    let own = fs::read_to_string(dir.path("scores.csv")).unwrap();
    assert_eq!(own.lines().nth(1).unwrap().split(',').take(4).collect::<Vec<_>>(), row[..4], "{own}");
}

#[test]
fn what_is_ignored_changes_no_weight() {
    let dir = dir();
    let set = [
        "--set",
        "data.labels={1: edema, 2: necrosis, 3: enhancing}",
        "--set",
        "loss={dice_cross_entropy: {}}",
        "--set",
        "sampler={uniform: {patch: [8, 8, 8]}}",
        "--set",
        "train.epochs=2",
    ];
    let before = exact_files(&dir.run("before", &set));
    // Another label at ignored voxels, with `ignore_label` for it, gives the same run.
    for subject in 0..4 {
        let path = dir.path(&format!("brats/labelsTr/case_{subject}.nii.gz"));
        let (grid, map) = read_label(&path).unwrap();
        let renamed = map.iter().map(|label| if *label == IGNORE { 9 } else { *label }).collect();
        write_label(&path, &grid, &Voxels::new(1, SHAPE, renamed)).unwrap();
    }
    let after = dir.run("after", &[&set[..], &["--set", "data.ignore_label=9"]].concat());
    assert!(exact_files(&after) == before);
    let text =
        stdout(&dir.runner(&[&["check", "tiny.yaml", "--data"][..], &set, &["--set", "data.ignore_label=9"]].concat()));
    assert!(!text.contains("not declared"), "{text}");
}

#[test]
fn targets_that_contradict_each_other_are_problems() {
    let dir = dir();
    let labels = "data.labels={1: edema, 2: necrosis, 3: enhancing}";
    let check = |sets: &[&str]| {
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        stderr_line(&dir.runner(&[&["check", "tiny.yaml", "--set", labels][..], &sets].concat()).code(2))
    };
    for (set, message) in [
        ("data.regions={whole: [edema, 2, 3], enhancing: [3]}", "write `whole: { labels: [1, 2, 3], write: N }`"),
        ("data.regions={whole: [1, 2, 3, 7]}", "label 7 is not declared"),
        ("data.regions={whole: {labels: [1, 2], write: 3}}", "which is not one of its labels"),
        ("data.regions={mean: [1]}", "`mean` cannot be a region's name"),
        ("data.regions={}", "expected at least one region"),
        ("data.ignore_label=2", "label 2 is both ignored and declared as a class"),
    ] {
        let text = check(&[set]);
        assert!(text.contains(message), "{set}: {text}");
    }
    let regions = "data.regions={whole: [1, 2, 3], core: [2, 3], enhancing: [3]}";
    for (set, message) in [
        ("loss={dice_cross_entropy: {}}", "dice_cross_entropy needs exactly one class per voxel"),
        ("loss={dice_cross_entropy: {}}", "use one of binary_cross_entropy, boundary, cldice, dice"),
        ("loss={dice: {background: true}}", "data.regions has no background class"),
        ("loss={dice: {class_weights: [1, 1]}}", "expected 3 class weights, got 2"),
        ("postprocess=[{argmax: {}}]", "argmax chooses one class per voxel, but regions may overlap"),
        ("postprocess=[{threshold: {labels: {2: 0.3}}}]", "remove `labels`"),
        ("metrics=[{dice: {regions: {core: [2]}}}]", "`core` cannot be a region's name"),
        ("checkpoint.monitor=val_dice_edema", "metrics.csv has no column `val_dice_edema`"),
    ] {
        let text = check(&[regions, set]);
        assert!(text.contains(message), "{set}: {text}");
    }
    // Labels, regions and the ignored label of the dataset.
    let check = |set: &str| dir.runner(&["check", "tiny.yaml", "--set", set]);
    for (set, message) in [
        ("metrics=[{dice: {regions: {Tumor core: [2]}}}]", "`Tumor core` cannot be a region's name"),
        ("preprocess=[{keep_largest: {}}]", "keep_largest means every label above 0, which includes the ignored one"),
        ("preprocess=[{sequential_labels: {}}]", "sequential_labels gives the ignored label 4 another value"),
    ] {
        let text = stderr_line(&check(set).code(2));
        assert!(text.contains(message), "{set}: {text}");
    }
    check("data.ignore_label=ignore").success();
    // A label of dataset.json that is replaced is not ignored.
    let replaced = "preprocess=[{remap_labels: {map: {4: 0}}}]";
    check(replaced).success();
    let both = dir.runner(&["check", "tiny.yaml", "--set", "data.ignore_label=4", "--set", replaced]);
    let text = stderr_line(&both.code(2));
    assert!(text.contains("remap_labels gives the ignored label 4 another value"), "{text}");
}
