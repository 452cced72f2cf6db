//! `runner patches` and `runner transform`: what training sees, made again.

use std::fs;
use std::path::Path;

use runner::data::nifti::{read_image, read_label};
use runner::data::volume::offset;
use serde_json::Value as Json;

use crate::place::{Place, stderr, stdout};

const SOURCE: [&str; 2] = ["--set", "data.source={msd: {root: data}}"];

fn place() -> Place {
    let place = Place::new();
    place.runner(&["phantom", "data", "--subjects", "4", "--shape", "16,16,16", "--spacing", "20,20,18"]).success();
    place
}

#[test]
fn the_same_patches_come_for_any_number_of_workers_and_any_cache() {
    let place = Place::new();
    let patches = |workers: &str| {
        let workers = format!("queue.workers={workers}");
        stdout(&place.runner(&["patches", "tiny.yaml", "--count", "7", "--set", &workers]).success())
    };
    let cold = patches("0");
    for workers in ["0", "1", "4", "16"] {
        assert_eq!(patches(workers), cold, "{workers} workers");
    }
    // An epoch has four patches, so seven run on into the second.
    let epochs: Vec<&str> = cold.lines().filter_map(|line| line.split_whitespace().nth(1)).skip(1).take(7).collect();
    assert_eq!(epochs, ["1", "1", "1", "1", "2", "2", "2"], "{cold}");
    assert!(cold.contains("SHA-256 of these 7 patches: "));
}

#[test]
fn a_written_patch_is_the_window_of_the_transformed_volume() {
    let place = place();
    let arguments = [&["patches", "tiny.yaml", "--count", "4", "--out", "patches"][..], &SOURCE].concat();
    place.runner(&arguments).success();
    let mut seen = 0;
    for number in 0..4 {
        let told: Json = json(&place.path(&format!("patches/{number:04}_draws.json")));
        if told["patch"] != 0 {
            continue;
        }
        seen += 1;
        let subject = told["subject"].as_str().unwrap();
        let [image, label] = ["images", "labels"].map(|kind| format!("data/{kind}Tr/{subject}.nii.gz"));
        place.runner(&["transform", "tiny.yaml", &image, "--label", &label, "--out", "whole"]).success();
        let draws = json(&place.path("whole/draws.json"));
        assert!(draws["draws"].as_array().unwrap().ends_with(told["draws"].as_array().unwrap()));

        let (grid, whole) = read_image(&place.path("whole/image.nii.gz")).unwrap();
        let (patch_grid, patch) = read_image(&place.path(&format!("patches/{number:04}_image.nii.gz"))).unwrap();
        let (_, whole_label) = read_label(&place.path("whole/label.nii.gz")).unwrap();
        let (_, label) = read_label(&place.path(&format!("patches/{number:04}_label.nii.gz"))).unwrap();
        let start: Vec<usize> = serde_json::from_value(told["start"].clone()).unwrap();
        for voxel in 0..8 * 8 * 8 {
            let index = [voxel / 64, voxel / 8 % 8, voxel % 8];
            let there = offset(grid.shape, std::array::from_fn(|axis| start[axis] + index[axis]));
            assert_eq!((patch[voxel], label[voxel]), (whole[there], whole_label[there]), "{subject} {index:?}");
        }
        // It lies where it was cut from.
        let corner = grid.affine.apply(std::array::from_fn(|axis| start[axis] as f64));
        for (a, b) in patch_grid.affine.origin().into_iter().zip(corner) {
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
    }
    assert_eq!(seen, 2);
}

#[test]
fn draws_can_be_given_back_and_belong_to_their_steps() {
    let place = place();
    // What is transformed needs no data and no split.
    place.write("tiny.yaml", &crate::place::TINY.replace("phantom: {", "msd: { root: absent } #"));
    let image = "data/imagesTr/phantom_000.nii.gz";
    place.runner(&["transform", "tiny.yaml", image, "--out", "first", "--epoch", "3"]).success();
    place.runner(&["transform", "tiny.yaml", image, "--out", "second", "--draws", "first/draws.json"]).success();
    place.runner(&["transform", "tiny.yaml", image, "--out", "other"]).success();
    let bytes = |name: &str| fs::read(place.path(name).join("image.nii.gz")).unwrap();
    assert!(bytes("first") == bytes("second") && bytes("first") != bytes("other"));
    assert!(!place.path("first/label.nii.gz").exists());

    place.runner(&["transform", "tiny.yaml", image, "--out", "head", "--stage", "preprocess"]).success();
    assert_eq!(json(&place.path("head/draws.json"))["chain"].as_array().unwrap().len(), 2);
    let stage = ["transform", "tiny.yaml", image, "--out", "x", "--draws", "first/draws.json", "--stage", "preprocess"];
    assert!(stderr(&place.runner(&stage).code(2)).contains("were made for other steps"));
    place.runner(&["transform", "tiny.yaml", "absent.nii.gz", "--out", "x"]).code(3);
    place.runner(&["transform", "tiny.yaml", image, "--out", "x", "--draws", "absent.json"]).code(2);
}

#[test]
fn a_bench_prints_how_fast_patches_come() {
    let place = Place::new();
    let told = stdout(&place.runner(&["patches", "tiny.yaml", "--bench", "--count", "20"]).success());
    for text in ["20 of 8 x 8 x 8 voxels", "patches per second", "waiting", "first patch"] {
        assert!(told.contains(text), "{text} is missing in\n{told}");
    }
    place.runner(&["patches", "tiny.yaml", "--count", "0"]).code(2);
}

fn json(path: &Path) -> Json {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}
