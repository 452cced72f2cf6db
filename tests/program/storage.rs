//! Results do not depend on how files are stored: in which axis order, unit or version of the format.

use std::fs;
use std::path::Path;

use volume::io::{read_image, read_label, write_image, write_label};
use volume::{Affine, AxisPermutation, Grid};

use crate::test_dir::{TestDir, first_line, stderr, stdout};

const SUBJECTS: usize = 4;

/// Returns the same voxels stored as PSL instead of RAS.
fn permuted(grid: &Grid) -> Grid {
    let [x, y, z] = grid.shape;
    let to_ras = Affine([[0.0, 0.0, -1.0, x as f64 - 1.0], [-1.0, 0.0, 0.0, y as f64 - 1.0], [0.0, 1.0, 0.0, 0.0]]);
    Grid { shape: [y, z, x], affine: grid.affine.after(&to_ras) }
}

fn store_image_as(path: &Path, change: impl Fn(&Grid) -> Grid) {
    let (from, voxels) = read_image(path).unwrap();
    let to = change(&from);
    write_image(path, &to, &AxisPermutation::between(&from, &to).unwrap().apply(&voxels)).unwrap();
}

fn store_label_as(path: &Path, change: impl Fn(&Grid) -> Grid) {
    let (from, voxels) = read_label(path).unwrap();
    let to = change(&from);
    write_label(path, &to, &AxisPermutation::between(&from, &to).unwrap().apply(&voxels)).unwrap();
}

/// A dataset with two channels, label maps and weight maps in the folders `t1`, `t2`, `labels` and `weights`.
fn dataset() -> TestDir {
    let dir = TestDir::new();
    let shape = ["--subjects", "4", "--shape", "16,18,20", "--spacing", "20,18,16"];
    dir.runner(&[&["phantom", "data"][..], &shape].concat()).success();
    for (from, to) in [("imagesTr", "t1"), ("imagesTr", "t2"), ("labelsTr", "labels"), ("labelsTr", "weights")] {
        fs::create_dir(dir.path(to)).unwrap();
        for subject in 0..SUBJECTS {
            let name = format!("phantom_{subject:03}.nii.gz");
            fs::copy(dir.path("data").join(from).join(&name), dir.path(to).join(&name)).unwrap();
        }
    }
    dir
}

fn file(dir: &TestDir, folder: &str, subject: usize) -> std::path::PathBuf {
    dir.path(folder).join(format!("phantom_{subject:03}.nii.gz"))
}

const SOURCE: &str = "data.source={folders: {images: [t1/*, t2/*], labels: labels/*}}";
const LABELS: &str = "data.labels={1: liver, 2: tumour}";
const WEIGHTED: &str = "sampler={weighted: {patch: [8, 8, 8], map: \"weights/{subject}.nii.gz\"}}";

#[test]
fn a_run_does_not_depend_on_the_axis_orders_of_its_files() {
    let dir = dataset();
    let set = ["--set", SOURCE, "--set", LABELS, "--set", WEIGHTED, "--set", "train.epochs=1"];
    let tables = |run: &Path| ["metrics.csv", "steps.csv", "cases.csv"].map(|name| fs::read(run.join(name)).unwrap());
    let before = tables(&dir.run("before", &set));
    for subject in 0..SUBJECTS {
        store_image_as(&file(&dir, "t2", subject), permuted);
        store_label_as(&file(&dir, "labels", subject), permuted);
        store_label_as(&file(&dir, "weights", subject), permuted);
    }
    let run = dir.run("after", &set);
    assert!(tables(&run) == before);
    dir.runner(&["evaluate", run.to_str().unwrap()]).success();
    let evaluated = fs::read_to_string(run.join("predictions/val/cases.csv")).unwrap();
    let last_epoch = String::from_utf8(before[2].clone()).unwrap();
    let scores = |row: &str| row.split(',').map(str::to_owned).collect::<Vec<_>>();
    let (evaluated, trained) = (scores(evaluated.lines().nth(1).unwrap()), scores(last_epoch.lines().nth(1).unwrap()));
    assert_eq!(evaluated[1], trained[2], "{evaluated:?} {trained:?}");
}

#[test]
fn the_strict_orientation_offers_to_reorient_a_label_map_in_another_axis_order() {
    let dir = dataset();
    store_label_as(&file(&dir, "labels", 1), permuted);
    let check = ["check", "tiny.yaml", "--set", SOURCE, "--set", LABELS];
    dir.runner(&check).success();
    let text = stdout(&dir.runner(&[&check[..], &["--data"]].concat()).success());
    assert!(text.contains(" 0 faults"), "{text}");
    let strict = [&check[..], &["--set", "data.orientation=require_RAS"]].concat();
    let rejected = stderr(&dir.runner(&strict).code(2)).replace('│', " ");
    let words = rejected.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["phantom_001.nii.gz: it is stored as PSL and the image as RAS", "set `data.orientation: reorient`"] {
        assert!(words.contains(part), "{words}");
    }
    let text = stdout(&dir.runner(&[&strict[..], &["--data"]].concat()).code(1));
    assert!(text.contains("fault: phantom_001: label map labels/phantom_001.nii.gz: it is stored as PSL"), "{text}");
    let to_canonical = ["--set", "preprocess=[{to_canonical: {}}]"];
    dir.runner(&[&strict[..], &to_canonical].concat()).success();
}

#[test]
fn pictures_and_transformed_volumes_do_not_depend_on_the_axis_order_of_the_label_map() {
    let dir = dataset();
    let [image, label] = ["t1/phantom_000.nii.gz", "labels/phantom_000.nii.gz"];
    let outputs = || {
        dir.runner(&["view", image, "--label", label, "--prediction", label, "--out", "a.png"]).success();
        dir.runner(&["transform", "tiny.yaml", image, "--label", label, "--out", "out"]).success();
        ["a.png", "out/image.nii.gz", "out/label.nii.gz"].map(|name| fs::read(dir.path(name)).unwrap())
    };
    let before = outputs();
    store_label_as(&dir.path(label), permuted);
    assert!(outputs() == before);
}

/// Replaces bytes of an uncompressed file.
fn patch(path: &Path, at: usize, bytes: &[u8]) {
    let mut content = fs::read(path).unwrap();
    content[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(path, content).unwrap();
}

#[test]
fn scores_are_in_millimetres_whatever_the_unit_of_the_header() {
    let dir = TestDir::new();
    // Two voxels of 0.4 mm apart, in millimetres, micrometres and metres.
    for (case, factor, unit) in [("mm", 1.0, 2), ("um", 1e3, 3), ("m", 1e-3, 1)] {
        for (folder, values) in [("truth", [1, 0, 0, 0]), ("pred", [0, 0, 1, 0])] {
            let affine = Affine::scale_and_shift([0.4 * factor; 3], [0.0; 3]);
            let grid = Grid { shape: [4, 1, 1], affine };
            fs::create_dir_all(dir.path(folder)).unwrap();
            let path = dir.path(&format!("{folder}/{case}.nii"));
            write_label(&path, &grid, &volume::Voxels::new(1, grid.shape, values.to_vec())).unwrap();
            patch(&path, 123, &[unit]);
        }
    }
    dir.write("metrics.yaml", "metrics: [{ hd95: {} }]\n");
    let evaluate = ["evaluate", "--predictions", "pred", "--labels", "truth", "--metrics", "metrics.yaml"];
    dir.runner(&[&evaluate[..], &["--out", "s.csv"]].concat()).success();
    assert_eq!(first_line(&dir.path("s.csv")), "subject,hd95_label_1");
    let table = fs::read_to_string(dir.path("s.csv")).unwrap();
    let distances: Vec<f64> =
        table.lines().skip(1).map(|row| row.split(',').nth(1).unwrap().parse().unwrap()).collect();
    assert!(distances.len() == 3 && distances.iter().all(|mm| (mm - 0.8).abs() < 1e-6), "{table}");
}

#[test]
fn small_voxels_are_compared_by_position() {
    let dir = TestDir::new();
    let grid = Grid { shape: [4, 4, 3], affine: Affine::scale_and_shift([0.004; 3], [0.0; 3]) };
    let values: Vec<u16> = (0..48).map(|voxel| u16::from(voxel < 6)).collect();
    for folder in ["truth", "pred"] {
        fs::create_dir_all(dir.path(folder)).unwrap();
        let path = dir.path(&format!("{folder}/a.nii.gz"));
        write_label(&path, &grid, &volume::Voxels::new(1, grid.shape, values.clone())).unwrap();
    }
    let evaluate = ["evaluate", "--predictions", "pred", "--labels", "truth", "--out", "s.csv"];
    let first = |table: String| table.lines().nth(1).unwrap().split(',').nth(1).unwrap().to_owned();
    store_label_as(&dir.path("pred/a.nii.gz"), permuted);
    assert_eq!(stderr(&dir.runner(&evaluate).success()), "");
    assert_eq!(first(fs::read_to_string(dir.path("s.csv")).unwrap()), "1");
    let shifted = Grid { affine: Affine::scale_and_shift([0.004; 3], [0.04, 0.0, 0.0]), ..grid };
    write_label(&dir.path("pred/a.nii.gz"), &shifted, &volume::Voxels::new(1, grid.shape, values)).unwrap();
    let warning = stderr(&dir.runner(&evaluate).success());
    assert!(warning.contains("does not overlap the label map"), "{warning}");
}

#[test]
fn units_of_headers_are_noted() {
    let dir = dataset();
    for folder in ["t1", "t2", "labels"] {
        for subject in 0..SUBJECTS {
            let path = file(&dir, folder, subject);
            let (grid, voxels) = read_image(&path).unwrap();
            let grid = Grid { affine: Affine(grid.affine.0.map(|row| row.map(|mm| mm * 1e3))), ..grid };
            fs::remove_file(&path).unwrap();
            let path = path.with_extension("");
            write_image(&path, &grid, &voxels).unwrap();
            patch(&path, 123, &[3]);
        }
    }
    let check = ["check", "tiny.yaml", "--data", "--set", SOURCE, "--set", LABELS];
    let text = stdout(&dir.runner(&check).success());
    assert!(text.contains("micrometres") && text.contains("is read as 20 x 18 x 16 mm"), "{text}");
}
