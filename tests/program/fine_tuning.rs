//! Fine-tuning: initial weights of another run, frozen layers, and learning rates of layers.

use std::fs;
use std::path::Path;

use crate::test_dir::{TestDir, exact_files, stderr_line, stdout};
use nn::weights::{self, NamedTensor};

const BATCH_NORM: [&str; 2] = ["--set", "model.unet.norm=batch"];

/// Two classes, while the tiny experiment has three.
const TWO_CLASSES: [&str; 4] = [
    "--set",
    "data.labels={1: liver}",
    "--set",
    "preprocess=[{remap_labels: {map: {2: 1}}}, {clamp: {min: -200, max: 250}}, {rescale_intensity: {to: [-1, 1]}}]",
];

/// Returns a folder with a trained run, and the run.
fn pretrained() -> (TestDir, String) {
    let dir = TestDir::new();
    let run = dir.run("runs", &BATCH_NORM).display().to_string();
    (dir, run)
}

fn tensors(run: &Path, file: &str) -> Vec<NamedTensor> {
    weights::read(&run.join("checkpoints").join(file)).unwrap()
}

/// Returns the tensors of a layer.
fn of_layer<'a>(tensors: &'a [NamedTensor], layer: &str) -> Vec<&'a NamedTensor> {
    tensors.iter().filter(|tensor| tensor.name.starts_with(layer)).collect()
}

#[test]
fn a_run_of_two_classes_continues_from_one_of_three_with_a_frozen_encoder() {
    let (dir, run) = pretrained();
    let with = |keys: &str| format!("train.initial_weights={{file: {run}{keys}}}");
    let common = [&BATCH_NORM[..], &TWO_CLASSES].concat();
    let strict = with("");
    let refused = dir.runner(&[&["check", "tiny.yaml", "--set", &strict][..], &common].concat()).code(2);
    let text = stderr_line(&refused);
    assert!(text.contains("`head.weight` has shape [3, 2, 1, 1, 1], expected [2, 2, 1, 1, 1]"), "{text}");
    assert!(text.contains("skip: [head]"), "{text}");

    let tolerant = with(", strict: false");
    let freeze = ["--set", &tolerant, "--set", "train.freeze={layers: [encoder], epochs: 3}"];
    let common = [&common[..], &freeze].concat();
    let note = "random (3 classes in the file, 2 in the network): head.weight, head.bias";
    let checked = stdout(&dir.runner(&[&["check", "tiny.yaml"][..], &common].concat()).success());
    assert!(checked.contains(note) && checked.contains("encoder for the first 3 epochs"), "{checked}");

    let tuned = dir.run("tuned", &common);
    assert!(fs::read_to_string(tuned.join("log.txt")).unwrap().contains(&format!("initial weights: {note}")));
    let (before, after) = (tensors(Path::new(&run), "best.safetensors"), tensors(&tuned, "last.safetensors"));
    // Weights and running statistics, bit for bit.
    assert!(of_layer(&before, "encoder").iter().any(|tensor| tensor.name.ends_with("running_var")));
    assert_eq!(of_layer(&before, "encoder"), of_layer(&after, "encoder"));
    for (before, after) in of_layer(&before, "decoder").iter().zip(of_layer(&after, "decoder")) {
        assert_ne!(before.data, after.data, "{}", before.name);
    }

    // A run of four epochs trains the encoder in the last one, and is the same if it is interrupted while it is frozen.
    let four = [&common[..], &["--set", "train.epochs=4"]].concat();
    let whole = dir.run("whole", &four);
    let unfrozen = tensors(&whole, "last.safetensors");
    for (before, after) in of_layer(&before, "encoder").iter().zip(of_layer(&unfrozen, "encoder")) {
        assert_ne!(before.data, after.data, "{}", before.name);
    }
    fs::remove_file(Path::new(&run).join("checkpoints/best.safetensors")).unwrap();
    dir.runner(&["run", "--resume", tuned.to_str().unwrap(), "--set", "train.epochs=4"]).success();
    assert!(exact_files(&whole) == exact_files(&tuned), "the resumed run has other bytes");
    assert!(fs::read_to_string(tuned.join("plan.yaml")).unwrap().contains("freeze"));
}

#[test]
fn the_first_convolution_is_repeated_for_further_channels_only_on_request() {
    let (dir, run) = pretrained();
    dir.runner(&["phantom", "data", "--subjects", "4", "--shape", "16,16,16", "--spacing", "20,20,18"]).success();
    let row = |index: usize| {
        let image = format!("data/imagesTr/phantom_{index:03}.nii.gz");
        format!("s{index},{image},{image},data/labelsTr/phantom_{index:03}.nii.gz\n")
    };
    dir.write("cases.csv", &format!("subject,image,image_2,label\n{}", (0..4).map(row).collect::<String>()));
    let table = ["--set", "data.source={table: {file: cases.csv}}", "--set", "data.labels={1: liver, 2: tumour}"];
    let common = [&BATCH_NORM[..], &table, &["--set", "optimizer.adam.learning_rate=1e-30"]].concat();
    let weights = format!("train.initial_weights={run}/checkpoints/best.safetensors");
    let refused = dir.runner(&[&["check", "tiny.yaml", "--set", &weights][..], &common].concat()).code(2);
    assert!(stderr_line(&refused).contains("input_channels: repeat"), "{}", stderr_line(&refused));
    let weights = format!("train.initial_weights={{file: {run}, input_channels: repeat}}");
    let common = [&common[..], &["--set", &weights]].concat();
    let checked = stdout(&dir.runner(&[&["check", "tiny.yaml"][..], &common].concat()).success());
    assert!(checked.contains("adapted: encoder.0.conv1.weight from 1 to 2 channels"), "{checked}");
    let tuned = dir.run("tuned", &common);
    let first = |run: &Path, file: &str| of_layer(&tensors(run, file), "encoder.0.conv1.weight")[0].clone();
    let (before, after) = (first(Path::new(&run), "best.safetensors"), first(&tuned, "last.safetensors"));
    assert_eq!((&before.shape[..2], &after.shape[..2]), (&[2, 1][..], &[2, 2][..]));
    for (before, after) in before.data.chunks(27).zip(after.data.chunks(54)) {
        let half: Vec<f32> = before.iter().map(|value| value / 2.0).collect();
        assert_eq!([&half[..], &half].concat(), after);
    }
}

#[test]
fn a_factor_of_the_learning_rate_applies_to_its_layer_only() {
    let dir = TestDir::new();
    let changed = |runs_dir: &str, more: &[&str]| {
        let run = dir.run(runs_dir, &[&["--set", "train.epochs=1"], more].concat());
        tensors(&run, "last.safetensors")
    };
    // The rates are so small that only parameters that start at 0 change at all.
    let moved = |one: &[NamedTensor], other: &[NamedTensor], layer: &str| {
        let pairs = of_layer(one, layer).into_iter().zip(of_layer(other, layer));
        let values = pairs.flat_map(|(one, other)| one.data.iter().zip(&other.data));
        values.map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
    };
    let slow = changed("slow", &["--set", "train.learning_rate_factors={encoder: 1e-30, head: 1}"]);
    let initial = changed("initial", &["--set", "optimizer.adam.learning_rate=1e-30"]);
    assert!(moved(&slow, &initial, "encoder") < 1e-20);
    assert!(moved(&slow, &initial, "decoder") > 1e-3 && moved(&slow, &initial, "head") > 1e-3);
}
