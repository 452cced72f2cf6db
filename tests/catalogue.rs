//! Rules over the lists: what holds for every component, present and future.

use std::collections::BTreeSet;
use std::fs;

use dataset::samplers::LabelRuns;
use nn::optimizers::{OptimizerSpec, Schedule};
use random::{Purpose, Rng, Seed};
use serde::Serialize;
use serde::de::DeserializeOwned;
use transforms::lazy::{self, View};
use transforms::{Incoming, Transform, TransformParams, sample_params, validate_params};
use volume::{Affine, Grid, Label, Volume, Voxels, offset};

/// The example of a file's doc comment, a component as it stands in an experiment.
fn example(path: &std::path::Path) -> Option<serde_json::Value> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().skip_while(|line| line.trim() != "/// ```yaml").skip(1);
    let yaml: Vec<&str> =
        lines.take_while(|line| line.trim() != "/// ```").map(|line| line.trim_start_matches("/// ")).collect();
    if yaml.is_empty() {
        return None;
    }
    let value: serde_json::Value = serde_yaml::from_str(&yaml.join("\n")).unwrap();
    Some(match value {
        serde_json::Value::Array(mut steps) => steps.remove(0),
        other => other,
    })
}

/// The files of some folders that hold a component, by their name.
fn components(folders: &[&str]) -> Vec<(String, serde_json::Value)> {
    let mut found = Vec::new();
    for entry in folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()) {
        let path = entry.unwrap().path();
        if let Some(example) = path.is_file().then(|| example(&path)).flatten() {
            found.push((path.file_stem().unwrap().to_str().unwrap().to_owned(), example));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Each example parses under the name of its file and comes back as it was.
fn hold_examples<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(folder: &str, expected: &[&str]) {
    hold_examples_of::<T>(&[folder], expected);
}

fn hold_examples_of<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(
    folders: &[&str],
    expected: &[&str],
) {
    let found = components(folders);
    let names: BTreeSet<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        BTreeSet::from_iter(expected.iter().copied()),
        "every component of {folders:?} has an example in its documentation"
    );
    for (name, example) in &found {
        let key = example.as_object().unwrap().keys().next().unwrap();
        assert_eq!(key, name, "the key in a file is the name of the component's source file");
        let component: T = serde_json::from_value(example.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let written = serde_json::to_value(&component).unwrap();
        assert_eq!(serde_json::from_value::<T>(written).unwrap(), component, "{name}");
    }
}

#[test]
fn every_component_documents_an_example_that_parses() {
    hold_examples_of::<Transform>(
        &TRANSFORM_FOLDERS,
        &[
            "affine",
            "anisotropy",
            "bias_field",
            "blur",
            "clamp",
            "crop",
            "crop_or_pad",
            "elastic_deformation",
            "ensure_shape_multiple",
            "flip",
            "foreground_normalize",
            "gamma",
            "ghosting",
            "histogram_standardization",
            "hu_window",
            "keep_largest",
            "mask",
            "motion",
            "noise",
            "one_hot",
            "pad",
            "remap_labels",
            "resample",
            "rescale_intensity",
            "resize",
            "sequential_labels",
            "spike",
            "swap",
            "to_canonical",
            "to_orientation",
            "z_normalize",
        ],
    );
    let samplers = ["foreground_oversample", "grid", "label", "uniform", "weighted"];
    hold_examples::<dataset::samplers::Sampler>("crates/dataset/src/samplers", &samplers);
    hold_examples::<nn::losses::Loss>("crates/nn/src/losses", nn::losses::Loss::NAMES);
    let metrics = ["assd", "dice", "hd", "hd95", "jaccard", "lits", "nsd", "precision", "recall", "volume_difference"];
    hold_examples::<metrics::Metric>("crates/metrics/src/components", &metrics);
    hold_examples::<nn::Model>("crates/nn/src/networks", nn::Model::NAMES);
    hold_examples::<OptimizerSpec>("crates/nn/src/optimizers", OptimizerSpec::NAMES);
    hold_examples::<Schedule>("crates/nn/src/optimizers/schedules", Schedule::NAMES);
    hold_examples::<engine::inference::postprocess::Postprocess>(
        "crates/engine/src/inference/postprocess",
        &["argmax", "fill_holes", "keep_largest", "remove_small", "threshold", "tumour_inside_liver"],
    );
}

const TRANSFORM_FOLDERS: [&str; 3] =
    ["crates/transforms/src/spatial", "crates/transforms/src/intensity", "crates/transforms/src/label"];

/// The examples of all transforms, and the two lists of steps.
fn transforms() -> Vec<Transform> {
    let examples = components(&TRANSFORM_FOLDERS).into_iter().map(|(_, example)| example);
    let lists = [
        serde_json::json!({ "maybe": { "probability": 0.5, "steps": [{ "flip": { "probabilities": [0.5, 0.5, 0.5] } }] } }),
        serde_json::json!({ "one_of": [{ "gamma": { "log_gamma": [-0.3, 0.3] } }, { "noise": { "std": [0, 2] } }] }),
        // The documented examples are for whole CTs; these change small volumes too.
        serde_json::json!({ "crop": { "start": [1, 0, 2], "end": [2, 1, 0] } }),
        serde_json::json!({ "resize": { "shape": [7, null, 12] } }),
        serde_json::json!({ "crop_or_pad": { "shape": [12, 6, 9], "fill": -1 } }),
        serde_json::json!({ "crop_or_pad": { "shape": [5, 11, 4], "location": "random" } }),
        serde_json::json!({ "crop_or_pad": { "shape": [5, 4, 6], "mask": { "labels": [5] } } }),
        serde_json::json!({ "affine": { "degrees": [-30, 30], "interpolation": "cubic" } }),
        serde_json::json!({ "affine": { "degrees": [-30, 30], "interpolation": "nearest", "fill": 3 } }),
        serde_json::json!({ "elastic_deformation": { "num_control_points": [5, 4, 6], "locked_borders": 1, "max_displacement_mm": [2, 1, 1] } }),
        serde_json::json!({ "elastic_deformation": { "locked_borders": 0, "interpolation": "cubic" } }),
        serde_json::json!({ "resample": { "reference": { "grid": {
            "shape": [6, 9, 7], "affine": [[1, 0.2, 0, 8], [0, 1, 0.1, -19], [0, 0, 2, 31]] } }, "interpolation": "cubic" } }),
        serde_json::json!({ "swap": { "patch": [3, 2, 4], "num_iterations": 5 } }),
        serde_json::json!({ "spike": { "num_spikes": [2, 4] } }),
        serde_json::json!({ "mask": { "keep": { "labels": [1] }, "outside": -7 } }),
        serde_json::json!({ "mask": { "keep": { "half": "posterior" } } }),
        serde_json::json!({ "mask": { "keep": { "above_mean": {} } } }),
        serde_json::json!({ "rescale_intensity": { "mask": { "labels": [] }, "percentiles": [5, 95] } }),
        serde_json::json!({ "z_normalize": { "mask": { "above": 0 } } }),
        serde_json::json!({ "histogram_standardization": { "landmarks": [
            [0, 8, 20, 25, 30, 40, 50, 60, 70, 75, 85, 95, 100], [0, 8, 20, 25, 30, 40, 50, 60, 70, 75, 85, 95, 100]] } }),
    ];
    let all = examples.chain(lists).map(|value| serde_json::from_value(value).unwrap());
    // The recipe's 256 x 256 x 100 is correct and slow here.
    all.filter(|step| !matches!(step, Transform::CropOrPad(crop) if crop.shape.0[0] == Some(256))).collect()
}

fn volume(channels: usize) -> Volume {
    let shape = [9, 8, 10];
    let linear = [[-0.9, 0.1, 0.0], [0.1, 1.1, -0.2], [0.0, 0.25, 2.0]];
    let count = shape.iter().product::<usize>();
    let image: Vec<f32> =
        (0..channels * count).map(|i| (i as f32 * 0.37).sin() * 40.0 + (i as f32 * 0.05).cos()).collect();
    let label = image[..count].iter().map(|v| if *v > 25.0 { 5 } else { Label::from(*v > 0.0) }).collect();
    Volume {
        grid: Grid { shape, affine: Affine::from_parts(linear, [10.0, -20.0, 30.0]) },
        image: Voxels::new(channels, shape, image),
        label: Some(Voxels::new(1, shape, label)),
    }
}

fn incoming(channels: usize) -> Incoming {
    Incoming { grid: volume(channels).grid, channels }
}

/// All that a chain needs to be applied: its draws, with what is learnt from the volume and what its content decides.
fn drawn(chain: &[Transform], channels: usize, rng: &mut Rng) -> Vec<TransformParams> {
    let mut draws = sample_params(chain, rng, &incoming(channels));
    for index in 0..chain.len() {
        if chain[index].component().needs_fit() {
            let sample =
                lazy::fitting_sample(&chain[index], &chain[..index], &draws[..index], volume(channels)).unwrap();
            draws[index] = chain[index].component().fit(&[sample]).unwrap();
        }
    }
    lazy::resolve_from_volume(chain, &draws, &volume(channels)).unwrap()
}

fn rng(index: u64) -> Rng {
    Seed(3).stream(Purpose::Augment, 0, "case", index)
}

#[test]
fn the_same_stream_gives_the_same_draw_and_draws_come_back_from_json() {
    for step in transforms() {
        let chain = [step];
        let draws = drawn(&chain, 2, &mut rng(0));
        assert_eq!(draws, drawn(&chain, 2, &mut rng(0)));
        let text = serde_json::to_string(&draws).unwrap();
        assert_eq!(serde_json::from_str::<Vec<TransformParams>>(&text).unwrap(), draws, "{text}");
    }
}

#[test]
fn what_a_step_draws_fits_it() {
    for step in transforms() {
        for index in 0..4 {
            let chain = [step.clone()];
            let draws = drawn(&chain, 2, &mut rng(index));
            validate_params(&chain, &draws, &incoming(2)).unwrap_or_else(|misfit| panic!("{misfit}: {chain:?}"));
        }
    }
}

/// Every number of a document, by its path.
fn numbers(value: &serde_json::Value, path: &str, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Number(_) => found.push(path.to_owned()),
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| numbers(item, &format!("{path}/{index}"), found));
        }
        serde_json::Value::Object(entries) => {
            entries.iter().for_each(|(key, item)| numbers(item, &format!("{path}/{key}"), found));
        }
        _ => {}
    }
}

#[test]
fn an_edited_draw_is_refused_or_can_be_applied() {
    let (mut refused, mut applied) = (0, 0);
    for step in transforms() {
        let chain = [step];
        let draws = serde_json::to_value(drawn(&chain, 2, &mut rng(0))).unwrap();
        let mut places = Vec::new();
        numbers(&draws, "", &mut places);
        let few = places.iter().step_by(places.len().div_ceil(8).max(1));
        for place in few {
            for number in ["0", "-1", "3", "1e6", "-1e300", "1e300", "1e-300", "9223372036854775807"] {
                let mut edited = draws.clone();
                *edited.pointer_mut(place).unwrap() = serde_json::from_str(number).unwrap();
                let Ok(edited) = serde_json::from_value::<Vec<TransformParams>>(edited) else { continue };
                if validate_params(&chain, &edited, &incoming(2)).is_err() {
                    refused += 1;
                    continue;
                }
                View::new(volume(2), &chain, &edited).unwrap().volume().unwrap();
                applied += 1;
            }
        }
    }
    assert!(refused > 100 && applied > 100, "{refused} {applied}");
}

#[test]
fn what_is_not_random_draws_the_same_from_any_stream() {
    for step in transforms().into_iter().filter(|step| !step.is_random()) {
        let chain = [step];
        assert_eq!(
            sample_params(&chain, &mut rng(0), &incoming(2)),
            sample_params(&chain, &mut rng(1), &incoming(2)),
            "{chain:?}"
        );
    }
}

#[test]
fn labels_keep_their_set_of_values() {
    let renames = |step: &Transform| matches!(step, Transform::RemapLabels(_) | Transform::SequentialLabels(_));
    for step in transforms().into_iter().filter(|step| !renames(step)) {
        let chain = [step];
        let draws = drawn(&chain, 2, &mut rng(0));
        let labels = View::new(volume(2), &chain, &draws).unwrap().volume().unwrap().label.unwrap();
        assert!(labels.iter().all(|label| [0, 1, 5].contains(label)), "{chain:?}");
    }
}

/// Cuts windows all over the output and compares each with the same window of the whole.
fn hold_windows(chain: &[Transform], index: u64) {
    let draws = drawn(chain, 2, &mut rng(index));
    let whole = View::new(volume(2), chain, &draws).unwrap().volume().unwrap();
    let shape = whole.grid.shape;
    let mut places = rng(1000 + index);
    for _ in 0..6 {
        let size: [usize; 3] = shape.map(|size| 1 + places.below(size as u64) as usize);
        let start: [usize; 3] =
            std::array::from_fn(|axis| places.below((shape[axis] - size[axis] + 1) as u64) as usize);
        let runs = LabelRuns::new(&volume(2).label.unwrap());
        let view = View::new(volume(2), chain, &draws).unwrap().with_empty_space(runs.empty_space());
        let window = view.window(start, size).unwrap();
        let label = window.label.unwrap();
        for x in 0..size[0] {
            for y in 0..size[1] {
                for z in 0..size[2] {
                    let here = offset(size, [x, y, z]);
                    let there = offset(shape, [start[0] + x, start[1] + y, start[2] + z]);
                    let count = size.iter().product::<usize>();
                    for channel in 0..2 {
                        let (a, b) = (window.image[channel * count + here], whole.image.channel(channel)[there]);
                        assert_eq!(a.to_bits(), b.to_bits(), "{chain:?} at {start:?} + {:?}", [x, y, z]);
                    }
                    assert_eq!(label[here], whole.label.as_ref().unwrap()[there], "{chain:?}");
                }
            }
        }
    }
}

#[test]
fn window_by_window_equals_the_whole() {
    for (index, step) in transforms().into_iter().enumerate() {
        hold_windows(&[step], index as u64);
    }
}

#[test]
fn window_by_window_equals_the_whole_for_long_chains() {
    let steps = transforms();
    for chain_index in 0..40 {
        let mut choice = rng(500 + chain_index);
        let chain: Vec<Transform> = (0..6).map(|_| steps[choice.below(steps.len() as u64) as usize].clone()).collect();
        hold_windows(&chain, chain_index);
    }
}

#[test]
fn shapes_do_not_depend_on_chance() {
    for step in transforms() {
        let chain = [step];
        let shape = |index| {
            let draws = sample_params(&chain, &mut rng(index), &incoming(1));
            lazy::output_grid(&chain, &draws, &volume(1).grid).shape
        };
        assert!((1..8).all(|index| shape(index) == shape(0)), "{chain:?}");
    }
}

#[test]
fn each_label_is_that_of_its_source() {
    let steps: Vec<Transform> = transforms().into_iter().filter(|step| !step.component().relabels()).collect();
    let mut compared = 0;
    for index in 0..60 {
        let mut choice = rng(700 + index);
        let chain: Vec<Transform> = (0..3).map(|_| steps[choice.below(steps.len() as u64) as usize].clone()).collect();
        let draws = drawn(&chain, 2, &mut rng(index));
        let source = volume(2).label.unwrap();
        let origin = lazy::index_mapping(&chain, &draws, &volume(2).grid);
        let labels = View::new(volume(2), &chain, &draws).unwrap().volume().unwrap().label.unwrap();
        let shape = labels.shape;
        for (place, label) in labels.iter().enumerate() {
            let voxel = [place / (shape[1] * shape[2]), place / shape[2] % shape[1], place % shape[2]];
            let expected = origin.source(voxel).map_or(0, |from| source[offset(source.shape, from)]);
            assert_eq!(*label, expected, "{chain:?} at {voxel:?}");
            compared += usize::from(*label > 0);
        }
    }
    assert!(compared > 1000, "{compared}");
}
