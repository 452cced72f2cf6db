//! `runner export`: a run for other programs.

use std::fs;
use std::path::Path;

use nn::onnx::messages::Size;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::test_dir::{TestDir, stderr, stdout};

fn manifest(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap()
}

/// Returns the shape of the input of a network: sizes, or names of axes.
fn input_shape(folder: &Path) -> Vec<String> {
    let model = nn::onnx::decode(&fs::read(folder.join("model.onnx")).unwrap()).unwrap();
    let input = model.graph.unwrap().input.remove(0).r#type.unwrap().tensor_type.unwrap();
    let size = |size: Size| match size {
        Size::Fixed(size) => size.to_string(),
        Size::Dynamic(name) => name,
    };
    input.shape.unwrap().dim.into_iter().map(|dim| size(dim.size.unwrap())).collect()
}

#[test]
fn an_exported_run_says_everything_that_another_program_needs() {
    let dir = TestDir::new();
    let chain = "preprocess=[{foreground_normalize: {}}, {crop_or_pad: {shape: [16, 18, 14]}}]";
    let inference = "inference={overlap: 0.5, mirror: [x]}";
    let steps = "postprocess=[{threshold: {at_least: 0.25}}, {keep_largest: {labels: [1]}}]";
    let run = dir.run("runs", &["--set", chain, "--set", inference, "--set", steps]).display().to_string();
    let result = dir.runner(&["export", "onnx", &run, "--out", "onnx"]).success();
    assert_eq!(stdout(&result), "onnx/model.onnx\nonnx/manifest.json\n");
    let folder = dir.path("onnx");
    let manifest = manifest(&folder);
    let model = &manifest["model"];
    assert_eq!(manifest["format"], 1);
    assert_eq!(
        model["input"],
        json!({
            "name": "image", "type": "float32", "axes": ["batch", "channel", "x", "y", "z"], "shape": [null, 1, null, null, null]
        })
    );
    assert_eq!(model["output"]["shape"], json!([null, 3, null, null, null]));
    assert_eq!(model["classes"][2], json!({ "name": "tumour", "labels": [2] }));
    assert_eq!((&model["opset"], &model["multiple_of"]), (&json!(17), &json!([2, 2, 2])));
    let bytes = fs::read(folder.join("model.onnx")).unwrap();
    assert_eq!(model["sha256"], hex::encode(Sha256::digest(&bytes)));
    assert_eq!(input_shape(&folder), ["batch", "1", "x", "y", "z"]);
    let names: Vec<&str> =
        manifest["preprocessing"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(names, ["to_canonical", "foreground_normalize", "crop_or_pad"]);
    let learned: Value = serde_json::from_slice(&fs::read(Path::new(&run).join("preprocess.json")).unwrap()).unwrap();
    let fitted = &manifest["preprocessing"][1]["fitted"];
    assert_eq!(*fitted, learned["learned"]["1"]["foreground_normalize"]);
    assert!(fitted[0]["std"].as_f64().unwrap() > 0.0 && manifest["preprocessing"][2].get("fitted").is_none());
    assert_eq!(manifest["preprocessing"][2]["settings"]["shape"], json!([16, 18, 14]));
    let inference = &manifest["inference"];
    assert_eq!((&inference["window"], &inference["overlap"]), (&json!([8, 8, 8]), &json!(0.5)));
    assert_eq!((&inference["mirror"], &inference["blend"]), (&json!(["x"]), &json!("gaussian")));
    assert_eq!(
        (&manifest["activation"], &manifest["labels"]),
        (&json!("softmax"), &json!({ "1": "liver", "2": "tumour" }))
    );
    assert_eq!(manifest["decision"], json!({ "rule": "thresholds", "labels": [1, 2], "at_least": [0.25, 0.25] }));
    assert_eq!(manifest["postprocessing"], json!([{ "keep_largest": { "labels": [1] } }]));
    assert_eq!(manifest["spacing_mm"]["median"], json!([20.0, 20.0, 18.0]));
    let weights = fs::read(Path::new(&run).join("checkpoints/best.safetensors")).unwrap();
    assert_eq!(manifest["made_by"]["weights"][0]["sha256"], hex::encode(Sha256::digest(weights)));
}

#[test]
fn the_input_is_fixed_and_the_latest_weights_are_used_where_asked_for() {
    let dir = TestDir::new();
    let run = dir.run("runs", &[]).display().to_string();
    let last = ["export", "onnx", &run, "--out", "last", "--checkpoint", "last", "--fixed-window"];
    dir.runner(&last).success();
    assert_eq!(input_shape(&dir.path("last")), ["batch", "1", "8", "8", "8"]);
    let manifest = manifest(&dir.path("last"));
    assert_eq!(manifest["model"]["input"]["shape"], json!([null, 1, 8, 8, 8]));
    assert_eq!(manifest["made_by"]["weights"][0]["checkpoint"], "last");
    let weights = fs::read(Path::new(&run).join("checkpoints/last.safetensors")).unwrap();
    assert_eq!(manifest["made_by"]["weights"][0]["sha256"], hex::encode(Sha256::digest(weights)));
}

#[test]
fn a_folder_that_is_no_run_is_a_problem() {
    let dir = TestDir::new();
    let result = dir.runner(&["export", "onnx", "absent", "--out", "onnx"]).code(2);
    assert!(stderr(&result).contains("name the folder of a run"), "{}", stderr(&result));
    assert!(!dir.path("onnx").exists());
}
