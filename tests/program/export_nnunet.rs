//! `runner export nnunet`: runs as trained models of nnU-Net.
//!
//! Models that nnU-Net saved are imported and exported again, and compared with the originals;
//! `benches/nnunet/export_equal.py` compares label maps with nnU-Net itself.

use std::fs;
use std::path::Path;

use nn::weights::pytorch_file::{PickleValue, PytorchFile};
use serde_json::{Value, json};
use zip::ZipArchive;

use crate::import::{copy, import, predicted, reference};
use crate::test_dir::{TestDir, stderr_line, stdout};

/// Settings that make the tiny experiment one that nnU-Net can have.
const LIKE_NNUNET: [&str; 5] = [
    "preprocess=[{crop_to_nonzero: {}}, {foreground_normalize: {}}]",
    "inference={convention: nnunet, overlap: 0.5, average: logits, mirror: [z, x]}",
    "model.unet={widths: [2, 4, 4], norm: instance, activation: leaky_relu, downsample: strided_conv, \
     upsample: transposed_conv}",
    "loss={dice_cross_entropy: {batch: true}}",
    "validate={pseudo_dice: {batches: 2}, volumes: {every_epochs: 1}}",
];

fn settings<'a>(more: &[&'a str]) -> Vec<&'a str> {
    LIKE_NNUNET.into_iter().chain(more.iter().copied()).flat_map(|setting| ["--set", setting]).collect()
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Checks that two checkpoints have the same state dicts, bit for bit.
fn assert_same_weights(one: &Path, other: &Path) {
    let [one, other] = [one, other].map(|path| PytorchFile::open(path).unwrap().tensors("network_weights").unwrap());
    let names = |tensors: &nn::weights::pytorch_file::Tensors| {
        let mut names: Vec<String> = tensors.names().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(names(&one), names(&other));
    for name in names(&one) {
        let [one, other] = [&one, &other].map(|tensors| tensors.read(&name).unwrap());
        assert_eq!(one.shape, other.shape, "{name}");
        let is_same = one.data.iter().zip(&other.data).all(|(one, other)| one.to_bits() == other.to_bits());
        assert!(is_same, "{name}");
    }
}

/// Checks that every value of an exported document is that of the original, where that has one; returns the number of
/// values.
fn assert_within(exported: &Value, original: &Value, path: &str) -> usize {
    match (exported, original) {
        (Value::Object(exported), Value::Object(original)) => {
            let both = exported.iter().filter_map(|(key, value)| Some((key, value, original.get(key)?)));
            both.map(|(key, exported, original)| assert_within(exported, original, &format!("{path}.{key}"))).sum()
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let items = one.iter().zip(other).enumerate();
            items.map(|(index, (one, other))| assert_within(one, other, &format!("{path}.{index}"))).sum()
        }
        (Value::Number(one), Value::Number(other)) => {
            assert_eq!(one.as_f64(), other.as_f64(), "{path}");
            1
        }
        (exported, original) => {
            assert_eq!(exported, original, "{path}");
            1
        }
    }
}

/// Imports a model, exports its runs, and imports that again; returns the run folders of both.
fn round_trip(dir: &TestDir, model: &Path, out: &str) -> [Vec<String>; 2] {
    let runs = import(dir, model, &["--name", "first"]);
    let arguments: Vec<&str> = ["export", "nnunet"].into_iter().chain(runs.iter().map(String::as_str)).collect();
    dir.runner(&[&arguments[..], &["--out", out]].concat()).success();
    let again = import(dir, &dir.path(out), &["--name", "second"]);
    [runs, again]
}

#[test]
fn an_imported_model_is_exported_with_the_same_weights_and_plans() {
    for (name, channels, at_least) in [("residual", 1, 60), ("planar", 2, 30)] {
        let dir = TestDir::new();
        let model = copy(&dir, name);
        let [first, second] = round_trip(&dir, &model, "out/model");
        let out = dir.path("out/model");
        assert_same_weights(&model.join("fold_0/checkpoint_final.pth"), &out.join("fold_0/checkpoint_final.pth"));
        let [exported, original] = [&out, &model].map(|folder| read_json(&folder.join("plans.json")));
        let compared = assert_within(&exported, &original, "plans");
        assert!(compared > at_least, "{name}: {compared} values are compared");
        let [exported, original] = [&out, &model].map(|folder| read_json(&folder.join("dataset.json")));
        assert_eq!(exported["labels"], original["labels"]);
        assert_eq!(exported["regions_class_order"], original["regions_class_order"]);
        let maps = [first, second].map(|runs| predicted(&dir, &runs, name, channels));
        assert!(maps[0].iter().any(|label| *label > 0) && maps[0] == maps[1], "{name}");
    }
}

#[test]
fn regions_keep_their_order_and_folds_their_numbers() {
    let dir = TestDir::new();
    round_trip(&dir, &copy(&dir, "residual"), "regions");
    let text = fs::read_to_string(dir.path("regions/dataset.json")).unwrap();
    let order: Vec<usize> =
        ["\"background\"", "\"both\"", "\"right ball\"", "\"ignore\""].map(|name| text.find(name).unwrap()).into();
    assert!(order.is_sorted(), "{text}");
    let runs = import(&dir, &reference("plain.zip"), &[]);
    // Given in another order.
    let out = "nnUNet_results/Dataset042_Balls/nnUNetTrainer__myPlans__3d_fullres";
    let result = dir.runner(&["export", "nnunet", &runs[1], &runs[0], "--out", out]).success();
    let files = ["dataset.json", "plans.json", "fold_1/checkpoint_final.pth", "fold_0/checkpoint_final.pth"];
    assert_eq!(stdout(&result), files.map(|file| format!("{out}/{file}\n")).concat());
    let plans = read_json(&dir.path(out).join("plans.json"));
    assert_eq!((&plans["dataset_name"], &plans["plans_name"]), (&json!("Dataset042_Balls"), &json!("myPlans")));
    let (mut archive, zip) =
        (ZipArchive::new(fs::File::open(reference("plain.zip")).unwrap()).unwrap(), dir.path("zip"));
    archive.extract(&zip).unwrap();
    for fold in ["fold_0/checkpoint_final.pth", "fold_1/checkpoint_final.pth"] {
        assert_same_weights(
            &zip.join("Dataset001_Plain/nnUNetTrainer__nnUNetPlans__3d_fullres").join(fold),
            &dir.path(out).join(fold),
        );
    }
}

#[test]
fn a_trained_run_becomes_a_model_that_is_imported_with_the_same_predictions() {
    let dir = TestDir::new();
    let run = dir.run("runs", &settings(&[])).display().to_string();
    let result = dir.runner(&["export", "nnunet", &run, "--out", "model"]).success();
    assert!(stderr_line(&result).contains("note: the run has no deep supervision"), "{}", stderr_line(&result));
    let dataset = read_json(&dir.path("model/dataset.json"));
    let expected = json!({
        "channel_names": { "0": "CT" }, "labels": { "background": 0, "liver": 1, "tumour": 2 }, "numTraining": 4,
        "file_ending": ".nii.gz", "overwrite_image_reader_writer": "NibabelIOWithReorient",
    });
    assert_eq!(dataset, expected);
    let plans = read_json(&dir.path("model/plans.json"));
    let configuration = &plans["configurations"]["3d_fullres"];
    assert_eq!((&plans["dataset_name"], &plans["transpose_forward"]), (&json!("tiny"), &json!([0, 1, 2])));
    assert_eq!((&configuration["patch_size"], &configuration["batch_dice"]), (&json!([8, 8, 8]), &json!(true)));
    assert_eq!(configuration["resampling_fn_data"], "no_resampling_hack");
    let learned = &read_json(&Path::new(&run).join("preprocess.json"))["learned"]["2"]["foreground_normalize"][0];
    let properties = &plans["foreground_intensity_properties_per_channel"]["0"];
    assert_eq!((&properties["mean"], &properties["percentile_99_5"]), (&learned["mean"], &learned["high"]));
    let checkpoint = PytorchFile::open(&dir.path("model/fold_0/checkpoint_final.pth")).unwrap();
    let text = |keys: &[&str]| checkpoint.value(keys).cloned();
    assert_eq!(text(&["trainer_name"]), Some(PickleValue::String("nnUNetTrainer".to_owned())));
    assert_eq!(text(&["init_args", "configuration"]), Some(PickleValue::String("3d_fullres".to_owned())));
    assert_eq!(text(&["init_args", "dataset_json", "labels", "tumour"]), Some(PickleValue::Int(2)));
    // x and z of the file are nnU-Net's axes 2 and 0.
    let axes = PickleValue::List(vec![PickleValue::Int(0), PickleValue::Int(2)]);
    assert_eq!(text(&["inference_allowed_mirroring_axes"]), Some(axes));
    let (Some(PickleValue::Int(epoch)), Some(PickleValue::List(losses))) =
        (text(&["current_epoch"]), text(&["logging", "train_losses"]))
    else {
        panic!("the epoch and the losses are numbers");
    };
    assert_eq!(losses.len(), epoch as usize);
    assert!(losses.iter().all(|loss| matches!(loss, PickleValue::Float(loss) if loss.is_finite())));
    let imported = import(&dir, &dir.path("model"), &[]);
    assert_eq!(imported, ["runs/tiny_3d_fullres/fold_0"]);
    dir.runner(&["phantom", "scans", "--subjects", "1", "--shape", "20,18,12", "--spacing", "20,20,18", "--seed", "7"])
        .success();
    let image = fs::read_dir(dir.path("scans/imagesTr")).unwrap().next().unwrap().unwrap().path();
    let maps = [(&run, "ours"), (&imported[0], "again")].map(|(run, out)| {
        dir.runner(&["predict", "--run", run, image.to_str().unwrap(), "--out", out, "--quiet"]).success();
        volume::io::read_label(&dir.path(out).join(image.file_name().unwrap())).unwrap().1.to_vec()
    });
    assert!(maps[0] == maps[1]);
}

#[test]
fn everything_that_nnunet_lacks_is_named_at_once() {
    let dir = TestDir::new();
    let run = dir.run("runs", &["--set", "postprocess=[{keep_largest: {labels: [1]}}]"]).display().to_string();
    let message = stderr_line(&dir.runner(&["export", "nnunet", &run, "--out", "model"]).code(2));
    for expected in [
        "`preprocess.0.clamp`: nnU-Net has no step `clamp`",
        "`preprocess.1.rescale_intensity`: nnU-Net's RescaleTo01Normalization has `to: [0.0, 1.0]`",
        "`preprocess`: nnU-Net crops every scan to the voxels that are not 0",
        "`model.unet.downsample`: \"max_pool\"; nnU-Net's networks have strided convolutions",
        "`model.unet.upsample`: \"trilinear\"; nnU-Net's networks have transposed convolutions",
        "`inference.overlap`: nnU-Net predicts with `overlap: 0.5`",
        "`inference.convention`: nnU-Net predicts with `convention: nnunet`",
        "`inference.average`: nnU-Net predicts with `average: logits`",
        "write `overlap: 0.5` into plan.yaml; predictions of `runner` will change with it",
        "`postprocess.0.keep_largest`: nnU-Net's model folders have no post-processing such as `keep_largest`",
        "plan.yaml:",
    ] {
        assert!(message.contains(expected), "{expected} is missing in {message}");
    }
    assert!(!dir.path("model").exists());
}

#[test]
fn post_processing_is_left_out_only_where_that_is_asked_for() {
    let dir = TestDir::new();
    let run = dir.run("runs", &settings(&["postprocess=[{argmax: {}}, {fill_holes: {}}]"])).display().to_string();
    let export = ["export", "nnunet", &run, "--out", "model"];
    let message = stderr_line(&dir.runner(&export).code(2));
    assert!(message.contains("`postprocess.1.fill_holes`") && message.contains("--without-postprocess"), "{message}");
    assert!(!message.contains("postprocess.0"), "{message}");
    let result = dir.runner(&[&export[..], &["--without-postprocess"]].concat()).success();
    assert!(stderr_line(&result).contains("label maps are those before fill_holes"), "{}", stderr_line(&result));
    // A model is never replaced.
    let before = fs::read(dir.path("model/plans.json")).unwrap();
    let message = stderr_line(&dir.runner(&[&export[..], &["--without-postprocess"]].concat()).code(2));
    assert!(message.contains("model is not empty"), "{message}");
    assert_eq!(fs::read(dir.path("model/plans.json")).unwrap(), before);
}

#[test]
fn runs_of_different_settings_are_not_folds_of_one_model() {
    let dir = TestDir::new();
    let first = dir.run("runs", &settings(&[])).display().to_string();
    let other = dir.run("others", &settings(&["data.split={first: 3}"])).display().to_string();
    let message = stderr_line(&dir.runner(&["export", "nnunet", &first, &other, "--out", "model"]).code(2));
    assert!(message.contains("differ in foreground_intensity_properties_per_channel.0."), "{message}");
    assert!(message.contains("train with `foreground_normalize.statistics`"), "{message}");
    let message = stderr_line(&dir.runner(&["export", "nnunet", &first, "runs/tiny/latest", "--out", "model"]).code(2));
    assert!(message.contains("have the same weights"), "{message}");
    let message = stderr_line(&dir.runner(&["export", "nnunet", &first, "--out", "Other__P__2d"]).code(2));
    assert!(message.contains("the trainer Other"), "{message}");
    assert!(!dir.path("model").exists() && !dir.path("Other__P__2d").exists());
}
