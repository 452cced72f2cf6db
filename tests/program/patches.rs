//! `runner patches` and `runner transform`: the patches of training, reproduced.

use std::fs;
use std::path::Path;

use serde_json::Value as Json;
use volume::io::{read_image, read_label, write_image};
use volume::{Voxels, offset};

use crate::test_dir::{TestDir, stderr, stdout};

const SOURCE: [&str; 2] = ["--set", "data.source={msd: {root: data}}"];

fn dir() -> TestDir {
    let dir = TestDir::new();
    dir.runner(&["phantom", "data", "--subjects", "4", "--shape", "16,16,16", "--spacing", "20,20,18"]).success();
    dir
}

#[test]
fn patches_do_not_depend_on_the_number_of_workers_or_the_cache() {
    let dir = TestDir::new();
    let patches = |workers: &str| {
        let workers = format!("queue.workers={workers}");
        stdout(&dir.runner(&["patches", "tiny.yaml", "--count", "7", "--set", &workers]).success())
    };
    let cold = patches("0");
    for workers in ["0", "1", "4", "16"] {
        assert_eq!(patches(workers), cold, "{workers} workers");
    }
    // An epoch has four patches, so the last three of seven are in the second epoch.
    let epochs: Vec<&str> = cold.lines().filter_map(|line| line.split_whitespace().nth(1)).skip(1).take(7).collect();
    assert_eq!(epochs, ["1", "1", "1", "1", "2", "2", "2"], "{cold}");
    assert!(cold.contains("SHA-256 of these 7 patches: "));
}

/// Returns the digest of the patches of an experiment.
fn digest(dir: &TestDir, workers: usize, more: &[&str]) -> String {
    let workers = format!("queue.workers={workers}");
    let arguments = [&["patches", "tiny.yaml", "--set", &workers][..], &SOURCE, more].concat();
    let output = stdout(&dir.runner(&arguments).success());
    output.lines().find(|line| line.starts_with("SHA-256")).unwrap().to_owned()
}

#[test]
fn patches_of_every_sampler_do_not_depend_on_the_number_of_workers() {
    let dir = dir();
    let samplers = [
        "label: { patch: [8, 8, 8], probabilities: { 0: 0.2, 1: 0.8 } }",
        "uniform: { patch: [8, 8, 8] }",
        "grid: { patch: [8, 8, 8], overlap: [2, 0, 4] }",
        "foreground_oversample: { patch: [8, 8, 8], share: 0.33 }",
        // A label map can be a weight map.
        "weighted: { patch: [8, 8, 8], map: 'data/labelsTr/{subject}.nii.gz' }",
    ];
    let mut digests = Vec::new();
    for sampler in samplers {
        let set = format!("sampler={{ {sampler} }}");
        let more = ["--set", &set, "--set", "queue.samples_per_volume=5", "--count", "25"];
        let expected = digest(&dir, 0, &more);
        for workers in [1, 4, 16] {
            assert_eq!(digest(&dir, workers, &more), expected, "{sampler}, {workers} workers");
        }
        digests.push(expected);
    }
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), samplers.len(), "two samplers make the same patches");
}

#[test]
fn a_thousand_patches_of_the_label_sampler_do_not_depend_on_the_number_of_workers() {
    let dir = dir();
    let more = ["--set", "queue={ max_length: 40, samples_per_volume: 50 }", "--count", "1000"];
    let expected = digest(&dir, 0, &more);
    for workers in [1, 4, 16] {
        assert_eq!(digest(&dir, workers, &more), expected, "{workers} workers");
    }
}

#[test]
fn the_grid_sampler_continues_over_the_epochs() {
    let dir = dir();
    let sampler = ["--set", "sampler={ grid: { patch: [8, 8, 8] } }", "--set", "data.split={ first: 1 }"];
    let queue = ["--set", "queue={ samples_per_volume: 4, max_length: 1 }", "--count", "17"];
    let arguments = [&["patches", "tiny.yaml"][..], &SOURCE, &sampler, &queue].concat();
    let output = stdout(&dir.runner(&arguments).success());
    let starts: Vec<&str> = output.lines().filter_map(|line| line.split('[').nth(1)?.split(']').next()).collect();
    let expected = ["0, 0, 0", "0, 0, 8", "0, 8, 0", "0, 8, 8", "8, 0, 0", "8, 0, 8", "8, 8, 0", "8, 8, 8"];
    assert_eq!(starts, [&expected[..], &expected, &expected[..1]].concat());
}

#[test]
fn the_last_patches_of_each_batch_have_foreground() {
    let dir = dir();
    let sampler = "sampler={ foreground_oversample: { patch: [2, 2, 2], share: 0.5 } }";
    let sets = ["--set", sampler, "--set", "train.batch_size=4", "--set", "queue.samples_per_volume=8"];
    let flat = ["--set", "model.unet.widths=[2]", "--set", "augment=[]", "--count", "16", "--out", "patches"];
    dir.runner(&[&["patches", "tiny.yaml"][..], &SOURCE, &sets, &flat].concat()).success();
    let mut unforced = 0;
    for number in 0..16 {
        let (_, label) = read_label(&dir.path(&format!("patches/{number:04}_label.nii.gz"))).unwrap();
        let has_foreground = label.iter().any(|label| *label > 0);
        match number % 4 {
            0 | 1 => unforced += usize::from(has_foreground),
            _ => assert!(has_foreground, "patch {number}"),
        }
    }
    assert!(unforced < 8, "every patch has foreground, although only half are forced to");
}

#[test]
fn sampling_weights_are_transformed_like_labels() {
    let dir = dir();
    // With the label map as weights, the centre of every patch is foreground for any chain.
    let sampler = "sampler={ weighted: { patch: [4, 4, 4], map: 'data/labelsTr/{subject}.nii.gz' } }";
    let chain = "preprocess=[{ resample: { spacing_mm: [24, 16, 15] } }, { crop_or_pad: { shape: [12, 20, 14] } }]";
    let more = ["--set", sampler, "--set", chain, "--set", "queue.samples_per_volume=8", "--count", "32"];
    dir.runner(&[&["patches", "tiny.yaml", "--out", "patches"][..], &SOURCE, &more].concat()).success();
    for number in 0..32 {
        let (_, label) = read_label(&dir.path(&format!("patches/{number:04}_label.nii.gz"))).unwrap();
        assert!(label[offset([4, 4, 4], [2, 2, 2])] > 0, "patch {number}");
    }
}

#[test]
fn invalid_weights_are_reported_with_subject_and_file() {
    let dir = dir();
    let set = "sampler={ weighted: { patch: [8, 8, 8], map: 'weights/{subject}.nii' } }";
    let patches = || dir.runner(&[&["patches", "tiny.yaml", "--count", "4", "--set", set][..], &SOURCE].concat());
    let message = stderr(&patches().code(2));
    assert!(message.contains("weights/phantom_000.nii") && message.contains("{subject}"), "{message}");

    fs::create_dir(dir.path("weights")).unwrap();
    let (grid, _) = read_image(&dir.path("data/imagesTr/phantom_000.nii.gz")).unwrap();
    let write = |value: f32| {
        for index in 0..4 {
            let mut map = vec![0.0; grid.num_voxels()];
            map[grid.num_voxels() / 2 + 8 * 16 + 8] = value;
            let path = dir.path(&format!("weights/phantom_{index:03}.nii"));
            write_image(&path, &grid, &Voxels::new(1, grid.shape, map)).unwrap();
        }
    };
    for (value, expected) in [(-1.0, "has the weight -1"), (f32::NAN, "has the weight NaN"), (0.0, "every weight is 0")]
    {
        write(value);
        let message = stderr(&patches().code(3)).replace('│', " ");
        let words = message.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(expected) && words.contains("subject phantom_00"), "{message}");
        assert!(words.contains("weights/phantom_00"), "{message}");
    }
    write(2.0);
    patches().success();
}

#[test]
fn a_written_patch_equals_the_same_window_of_the_transformed_volume() {
    let dir = dir();
    let arguments = [&["patches", "tiny.yaml", "--count", "4", "--out", "patches"][..], &SOURCE].concat();
    dir.runner(&arguments).success();
    let mut compared = 0;
    for number in 0..4 {
        let record: Json = json(&dir.path(&format!("patches/{number:04}_draws.json")));
        if record["patch"] != 0 {
            continue;
        }
        compared += 1;
        let subject = record["subject"].as_str().unwrap();
        let [image, label] = ["images", "labels"].map(|kind| format!("data/{kind}Tr/{subject}.nii.gz"));
        dir.runner(&["transform", "tiny.yaml", &image, "--label", &label, "--out", "whole"]).success();
        let draws = json(&dir.path("whole/draws.json"));
        assert!(draws["draws"].as_array().unwrap().ends_with(record["draws"].as_array().unwrap()));

        let (grid, whole) = read_image(&dir.path("whole/image.nii.gz")).unwrap();
        let (patch_grid, patch) = read_image(&dir.path(&format!("patches/{number:04}_image.nii.gz"))).unwrap();
        let (_, whole_label) = read_label(&dir.path("whole/label.nii.gz")).unwrap();
        let (_, label) = read_label(&dir.path(&format!("patches/{number:04}_label.nii.gz"))).unwrap();
        let start: Vec<usize> = serde_json::from_value(record["start"].clone()).unwrap();
        for voxel in 0..8 * 8 * 8 {
            let index = [voxel / 64, voxel / 8 % 8, voxel % 8];
            let in_volume = offset(grid.shape, std::array::from_fn(|axis| start[axis] + index[axis]));
            assert_eq!((patch[voxel], label[voxel]), (whole[in_volume], whole_label[in_volume]), "{subject} {index:?}");
        }
        // The affine of the patch has its position in the volume.
        let corner = grid.affine.apply(std::array::from_fn(|axis| start[axis] as f64));
        for (a, b) in patch_grid.affine.origin().into_iter().zip(corner) {
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
    }
    assert_eq!(compared, 2);
}

#[test]
fn a_contact_sheet_shows_the_written_patches() {
    let dir = dir();
    // Five square tiles of 180 pixels in three columns and two rows, with captions and a legend.
    let arguments = [&["patches", "tiny.yaml", "--count", "5", "--out", "patches"][..], &SOURCE].concat();
    dir.runner(&arguments).success();
    let png = fs::read(dir.path("patches/contact_sheet.png")).unwrap();
    assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
    let [width, height] = [16, 20].map(|at| u32::from_be_bytes(png[at..at + 4].try_into().unwrap()));
    assert_eq!((width, height), (12 + 3 * (180 + 12), 12 + 2 * (180 + 24 + 12) + 32 + 12));
    let names = fs::read_dir(dir.path("patches")).unwrap().map(|file| file.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().contains("writing")));
}

#[test]
fn sampled_parameters_can_be_replayed_for_the_same_steps_only() {
    let dir = dir();
    // The dataset and the split of the experiment are not needed.
    dir.write("tiny.yaml", &crate::test_dir::TINY.replace("phantom: {", "msd: { root: absent } #"));
    let image = "data/imagesTr/phantom_000.nii.gz";
    dir.runner(&["transform", "tiny.yaml", image, "--out", "first", "--epoch", "3"]).success();
    dir.runner(&["transform", "tiny.yaml", image, "--out", "second", "--draws", "first/draws.json"]).success();
    dir.runner(&["transform", "tiny.yaml", image, "--out", "other"]).success();
    let bytes = |name: &str| fs::read(dir.path(name).join("image.nii.gz")).unwrap();
    assert!(bytes("first") == bytes("second") && bytes("first") != bytes("other"));
    assert!(!dir.path("first/label.nii.gz").exists());

    dir.runner(&["transform", "tiny.yaml", image, "--out", "preprocessed", "--stage", "preprocess"]).success();
    assert_eq!(json(&dir.path("preprocessed/draws.json"))["chain"].as_array().unwrap().len(), 3);
    let stage = ["transform", "tiny.yaml", image, "--out", "x", "--draws", "first/draws.json", "--stage", "preprocess"];
    assert!(stderr(&dir.runner(&stage).code(2)).contains("were sampled for other transforms"));
    dir.runner(&["transform", "tiny.yaml", "absent.nii.gz", "--out", "x"]).code(2);
    dir.runner(&["transform", "tiny.yaml", image, "--out", "x", "--draws", "absent.json"]).code(2);
}

/// Transforms of the patch after the transforms of the volume.
const PATCH_AUGMENT: &str =
    "patch_augment=[{ crop: { start: [2, 0, 1], end: [1, 0, 0] } }, { z_normalize: {} }, { noise: { std: 0.1 } }]";

#[test]
fn transforms_of_patches_are_shown_and_do_not_depend_on_the_number_of_workers() {
    let dir = dir();
    let sampler = "sampler={ foreground_oversample: { patch: [8, 8, 8], border: pad } }";
    let iterations = ["--set", "train.iterations_per_epoch=5", "--set", sampler];
    let more = [&["--set", PATCH_AUGMENT, "--count", "25"][..], &iterations].concat();
    let expected = digest(&dir, 0, &more);
    for workers in [1, 4, 16] {
        assert_eq!(digest(&dir, workers, &more), expected, "{workers} workers");
    }
    assert_ne!(digest(&dir, 0, &[&["--count", "25"][..], &iterations].concat()), expected);

    let out = ["--out", "patches", "--set", PATCH_AUGMENT, "--set", sampler, "--count", "4"];
    let output = stdout(&dir.runner(&[&["patches", "tiny.yaml"][..], &SOURCE, &out].concat()).success());
    let record = json(&dir.path("patches/0000_draws.json"));
    let names: Vec<&String> =
        record["chain"].as_array().unwrap().iter().flat_map(|step| step.as_object().unwrap().keys()).collect();
    assert_eq!(names, ["affine", "noise", "crop", "z_normalize", "noise"]);
    assert_eq!(record["draws"].as_array().unwrap().len(), 5);
    let (grid, patch) = read_image(&dir.path("patches/0000_image.nii.gz")).unwrap();
    let mean = patch.iter().sum::<f32>() / 512.0;
    assert!(grid.shape == [8, 8, 8] && mean.abs() < 0.05, "{mean}\n{output}");

    // Whole images have no patches.
    let image = "data/imagesTr/phantom_000.nii.gz";
    let transform = |sets: &[&str]| dir.runner(&[&["transform", "tiny.yaml", image, "--out", "x"][..], sets].concat());
    assert!(stderr(&transform(&["--set", PATCH_AUGMENT]).success()).contains("patch_augment transforms patches"));
    assert!(!stderr(&transform(&[]).success()).contains("patch_augment"));
}

#[test]
fn the_steps_of_an_epoch_of_iterations_are_found_by_their_numbers() {
    let dir = dir();
    let iterations = ["--set", "train.iterations_per_epoch=5"];
    let rows = |more: &[&str]| -> Vec<String> {
        let output =
            stdout(&dir.runner(&[&["patches", "tiny.yaml"][..], &SOURCE, &iterations, more].concat()).success());
        let rows = output.lines().filter(|line| line.contains("phantom_"));
        // Without the number of the patch in the list.
        rows.map(|row| row.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")).collect()
    };
    let all = rows(&["--count", "20"]);
    assert_eq!(all.len(), 20);
    assert!(all[9].starts_with("1 ") && all[10].starts_with("2 "), "{all:?}");
    assert_eq!(rows(&["--step", "7"]), all[12..14]);
    let check = stdout(&dir.runner(&[&["check", "tiny.yaml"][..], &SOURCE, &iterations].concat()).success());
    assert!(check.contains("5 per epoch, 10 in total"), "{check}");
}

#[test]
fn a_benchmark_prints_patches_per_second() {
    let dir = TestDir::new();
    let output = stdout(&dir.runner(&["patches", "tiny.yaml", "--bench", "--count", "20"]).success());
    for text in ["20 of 8 x 8 x 8 voxels", "patches per second", "waiting", "first patch"] {
        assert!(output.contains(text), "{text} is missing in\n{output}");
    }
    dir.runner(&["patches", "tiny.yaml", "--count", "0"]).code(2);
}

fn json(path: &Path) -> Json {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A chain with every kind of step: those that need neighbouring voxels, are fitted to the training set, are resolved from
/// the volume, or change labels.
const EVERY_KIND: [&str; 4] = [
    "--set",
    "preprocess=[{resample: {spacing_mm: [22, 20, 18], antialias: true, interpolation: cubic}}, \
     {crop_or_pad: {shape: [14, 14, 14], mask: {above: -300}}}, {foreground_normalize: {}}, \
     {histogram_standardization: {}}, {remap_labels: {map: {2: 1}}}, {keep_largest: {}}]",
    "--set",
    "augment=[{elastic_deformation: {max_displacement_mm: [9, 9, 9]}}, {affine: {degrees: [-10, 10]}}, {anisotropy: {}}, \
     {one_of: [{ghosting: {}}, {spike: {}}, {motion: {}}, {swap: {patch: [3, 3, 3]}}, {blur: {std_mm: [0, 20]}}]}]",
];

#[test]
fn patches_through_every_kind_of_step_do_not_depend_on_the_number_of_workers() {
    let dir = dir();
    let more = [&EVERY_KIND[..], &["--set", "data.labels={1: liver}", "--count", "20"]].concat();
    let expected = digest(&dir, 0, &more);
    // The second call reads the fitted and resolved parameters from the cache.
    for workers in [1, 4, 16] {
        assert_eq!(digest(&dir, workers, &more), expected, "{workers} workers");
    }
}

#[test]
fn fitted_preprocessing_is_saved_in_the_run_and_references_are_relabelled() {
    let dir = dir();
    let set = ["--set", "data.labels={1: liver}"];
    let check = [&["check", "tiny.yaml", "--data"][..], &SOURCE, &EVERY_KIND, &set].concat();
    let output = stdout(&dir.runner(&check).success());
    assert!(output.contains("0 faults"), "{output}");
    let run = [&["run", "tiny.yaml", "--name", "fitted"][..], &SOURCE, &EVERY_KIND, &set].concat();
    dir.runner(&run).success();
    let folder = dir.path("runs/fitted/latest");
    let record: Json = serde_json::from_str(&fs::read_to_string(folder.join("preprocess.json")).unwrap()).unwrap();
    let kinds: Vec<&String> =
        record["learned"].as_object().unwrap().values().flat_map(|v| v.as_object().unwrap().keys()).collect();
    assert_eq!(kinds, ["foreground_normalize", "histogram_standardization"]);
    assert!(fs::read_to_string(folder.join("cases.csv")).unwrap().starts_with("epoch,subject,dice_liver"));
}

#[test]
fn replayed_parameters_reproduce_a_volume_without_the_training_subjects() {
    let dir = dir();
    let image = "data/imagesTr/phantom_000.nii.gz";
    let label = ["--label", "data/labelsTr/phantom_000.nii.gz"];
    let set = ["--set", "data.labels={1: liver}"];
    let first = [&["transform", "tiny.yaml", image, "--out", "first"][..], &label, &SOURCE, &EVERY_KIND, &set].concat();
    dir.runner(&first).success();
    let draws = ["--draws", "first/draws.json", "--set", "data.source={msd: {root: nowhere}}"];
    let again = [&["transform", "tiny.yaml", image, "--out", "again"][..], &label, &EVERY_KIND, &set, &draws].concat();
    dir.runner(&again).success();
    for name in ["image.nii.gz", "label.nii.gz"] {
        let read = |folder: &str| fs::read(dir.path(&format!("{folder}/{name}"))).unwrap();
        assert_eq!(read("first"), read("again"), "{name}");
    }
}
