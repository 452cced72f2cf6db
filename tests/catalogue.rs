//! Rules over the registries: what is true for every component, present and future.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use dataset::samplers::{LabelRuns, Sampler};
use engine::inference::postprocess::Postprocess;
use metrics::Metric;
use nn::losses::Loss;
use nn::optimizers::{OptimizerSpec, Schedule};
use random::{Purpose, Rng, Seed};
use serde::Serialize;
use serde::de::DeserializeOwned;
use transforms::lazy::{self, PipelineError, View};
use transforms::{ITSELF, Incoming, MaskTransform, Transform, TransformParams, sample_params, validate_params};
use volume::{Affine, Grid, Label, Volume, Voxels, offset};

/// Returns the example in the documentation of a file's component, as an experiment writes it.
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

/// Returns the examples of the components in some folders, by the names of their files.
fn examples(folders: &[&str]) -> BTreeMap<String, serde_json::Value> {
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let files = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let named = |path: PathBuf| Some((path.file_stem()?.to_str()?.to_owned(), example(&path)?));
    files.filter_map(named).collect()
}

/// Checks that every registered component documents an example, in the file of its name, that parses and is written back
/// unchanged.
fn check_examples<T: DeserializeOwned + Serialize + PartialEq + Debug>(folders: &[&str], registered: &[&str]) {
    let examples = examples(folders);
    for name in registered {
        assert!(examples.contains_key(*name), "{name} has no ```yaml example in its documentation in {folders:?}");
    }
    for (name, example) in examples {
        assert!(registered.contains(&name.as_str()), "{name} in {folders:?} is not in the registry");
        let key = example.as_object().unwrap().keys().next().unwrap();
        assert_eq!(*key, name, "the key in an experiment is the name of the component's source file");
        let component: T = serde_json::from_value(example).unwrap_or_else(|error| panic!("{name}: {error}"));
        let written = serde_json::to_value(&component).unwrap();
        assert_eq!(serde_json::from_value::<T>(written).unwrap(), component, "{name}");
    }
}

#[test]
fn every_component_documents_an_example_that_parses() {
    check_examples::<Transform>(&TRANSFORM_FOLDERS, Transform::NAMES);
    check_examples::<MaskTransform>(&["crates/transforms/src/masks"], MaskTransform::NAMES);
    check_examples::<Sampler>(&["crates/dataset/src/samplers"], Sampler::NAMES);
    check_examples::<Loss>(&["crates/nn/src/losses"], Loss::NAMES);
    check_examples::<Metric>(&["crates/metrics/src/components"], Metric::NAMES);
    check_examples::<nn::Model>(&["crates/nn/src/networks"], nn::Model::NAMES);
    check_examples::<OptimizerSpec>(&["crates/nn/src/optimizers"], OptimizerSpec::NAMES);
    check_examples::<Schedule>(&["crates/nn/src/optimizers/schedules"], Schedule::NAMES);
    check_examples::<Postprocess>(&["crates/engine/src/inference/postprocess"], Postprocess::NAMES);
}

const TRANSFORM_FOLDERS: [&str; 3] =
    ["crates/transforms/src/spatial", "crates/transforms/src/intensity", "crates/transforms/src/label"];

/// Returns the examples of all transforms, with other keys, and in compositions.
fn transforms() -> Vec<Transform> {
    let examples = examples(&TRANSFORM_FOLDERS).into_values();
    let variants = [
        serde_json::json!({ "maybe": { "probability": 0.5, "steps": [{ "flip": { "probabilities": [0.5, 0.5, 0.5] } }] } }),
        serde_json::json!({ "one_of": [{ "gamma": { "log_gamma": [-0.3, 0.3] } }, { "noise": { "std": [0, 2] } }] }),
        // The documented examples are for CT volumes; these also change small volumes.
        serde_json::json!({ "crop": { "start": [1, 0, 2], "end": [2, 1, 0] } }),
        serde_json::json!({ "resize": { "shape": [7, null, 12] } }),
        serde_json::json!({ "crop_or_pad": { "shape": [12, 6, 9], "fill": -1 } }),
        serde_json::json!({ "crop_or_pad": { "shape": [5, 11, 4], "location": "random" } }),
        serde_json::json!({ "crop_or_pad": { "shape": [5, 4, 6], "mask": { "labels": [5] } } }),
        serde_json::json!({ "crop_or_pad": { "shape": [12, 6, 9], "only": "pad" } }),
        serde_json::json!({ "crop_or_pad": { "shape": [5, 4, 12], "only": "crop", "mask": { "labels": [5] } } }),
        serde_json::json!({ "pad": { "at_least": [12, 6, null], "fill": "minimum" } }),
        serde_json::json!({ "replace_non_finite": { "with": "mean" } }),
        serde_json::json!({ "resample": { "spacing_mm": { "median": [1.5, 1, 2.5] } } }),
        serde_json::json!({ "resample": { "spacing_mm": [1.4, null, 1.7], "interpolation": "cubic", "convention": "nnunet" } }),
        serde_json::json!({ "resample": {
            "spacing_mm": [0.7, 1.3, 2.5], "interpolation": "cubic", "convention": "nnunet", "separate_axis": "always" } }),
        serde_json::json!({ "affine": { "degrees": [-30, 30], "interpolation": "cubic" } }),
        serde_json::json!({ "affine": { "degrees": [-30, 30], "interpolation": "nearest", "fill": 3 } }),
        serde_json::json!({ "elastic_deformation": { "num_control_points": [5, 4, 6], "locked_borders": 1, "max_displacement_mm": [2, 1, 1] } }),
        serde_json::json!({ "elastic_deformation": { "locked_borders": 0, "interpolation": "cubic" } }),
        serde_json::json!({ "resample": { "reference": { "grid": {
            "shape": [6, 9, 7], "affine": [[1, 0.2, 0, 8], [0, 1, 0.1, -19], [0, 0, 2, 31]] } }, "interpolation": "cubic" } }),
        serde_json::json!({ "rotate_and_scale": { "patch": [5, 6, 7], "degrees": [-30, 30], "scales": [0.7, 1.4] } }),
        serde_json::json!({ "rotate_and_scale": { "degrees": [-180, 180], "scales": [0.7, 1.4], "in_plane": "z" } }),
        serde_json::json!({ "rotate_and_scale": {
            "degrees": [[-9, 9], 0, [5, 90]], "scales": [[1, 3], 1, [0.5, 1]], "isotropic": false, "scale_probability": 0.5 } }),
        serde_json::json!({ "blur": { "std_voxels": [0.5, 1], "channel_probability": 0.5 } }),
        serde_json::json!({ "blur": { "std_voxels": [[0, 1], 2, 0.1] } }),
        serde_json::json!({ "brightness": { "factor": [0.5, 2], "channel_probability": 0.5 } }),
        serde_json::json!({ "contrast": { "factor": [0.5, 2], "channel_probability": 0.5 } }),
        serde_json::json!({ "low_resolution": { "scale": [0.2, 1], "axes": [0, 2] } }),
        serde_json::json!({ "gamma": { "exponent": [0.7, 1.5], "keep_mean_and_std": true, "channel_probability": 0.5 } }),
        serde_json::json!({ "gamma": { "exponent": [0.7, 1.5], "invert": true } }),
        serde_json::json!({ "swap": { "patch": [3, 2, 4], "num_iterations": 5 } }),
        serde_json::json!({ "spike": { "num_spikes": [2, 4] } }),
        serde_json::json!({ "mask": { "keep": { "labels": [1] }, "outside": -7 } }),
        serde_json::json!({ "mask": { "keep": { "half": "posterior" } } }),
        serde_json::json!({ "mask": { "keep": { "above_mean": {} } } }),
        serde_json::json!({ "mask": { "keep": { "nonzero": {} }, "outside": 2 } }),
        serde_json::json!({ "rescale_intensity": { "mask": { "labels": [] }, "percentiles": [5, 95] } }),
        serde_json::json!({ "z_normalize": { "mask": { "above": 0 } } }),
        serde_json::json!({ "z_normalize": { "mask": { "nonzero": {} }, "outside": "unchanged", "channels": [1] } }),
        serde_json::json!({ "foreground_normalize": { "channels": [1] } }),
        serde_json::json!({ "rescale_intensity": { "channels": [1, 0], "mask": { "nonzero": {} } } }),
        serde_json::json!({ "z_normalize": { "mask": { "above_mean": {} }, "ddof": 0, "outside": "unchanged", "per_channel": true } }),
        serde_json::json!({ "histogram_standardization": { "landmarks": [
            [0, 8, 20, 25, 30, 40, 50, 60, 70, 75, 85, 95, 100], [0, 8, 20, 25, 30, 40, 50, 60, 70, 75, 85, 95, 100]] } }),
    ];
    let steps = examples.chain(variants).map(|value| serde_json::from_value(value).unwrap());
    // The documented shapes 256 x 256 x 100 and 96 x 96 x 96 are too slow for these tests.
    let is_large = |step: &Transform| {
        let keys = &serde_json::to_value(step).unwrap()[step.name()];
        keys["shape"][0] == 256 || keys["at_least"][0] == 96
    };
    steps.filter(|step| !is_large(step)).collect()
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

/// Samples the parameters of a chain, fits them to the volume and resolves them from its content.
fn sampled(chain: &[Transform], channels: usize, rng: &mut Rng) -> Vec<TransformParams> {
    try_sampled(chain, channels, rng).unwrap()
}

/// Does so, unless a step of the chain cannot be applied after those before.
fn try_sampled(chain: &[Transform], channels: usize, rng: &mut Rng) -> Result<Vec<TransformParams>, PipelineError> {
    let mut params = sample_params(chain, rng, &incoming(channels));
    for index in 0..chain.len() {
        if chain[index].component().needs_fit() {
            let sample =
                lazy::fitting_sample(&chain[index], &chain[..index], &params[..index], volume(channels), None)?;
            params[index] = chain[index].component().fit(&[sample])?;
        }
    }
    lazy::resolve_from_volume(chain, &params, &volume(channels))
}

fn rng(index: u64) -> Rng {
    Seed(3).stream(Purpose::Augment, 0, "case", index)
}

#[test]
fn the_same_stream_samples_the_same_parameters_and_json_restores_them() {
    for step in transforms() {
        let chain = [step];
        let params = sampled(&chain, 2, &mut rng(0));
        assert_eq!(params, sampled(&chain, 2, &mut rng(0)));
        let text = serde_json::to_string(&params).unwrap();
        assert_eq!(serde_json::from_str::<Vec<TransformParams>>(&text).unwrap(), params, "{text}");
    }
}

#[test]
fn sampled_parameters_are_valid() {
    for step in transforms() {
        for index in 0..4 {
            let chain = [step.clone()];
            let params = sampled(&chain, 2, &mut rng(index));
            validate_params(&chain, &params, &incoming(2)).unwrap_or_else(|error| panic!("{error}: {chain:?}"));
        }
    }
}

/// Collects the path of every number of a document.
fn numbers(value: &serde_json::Value, path: &str, paths: &mut Vec<String>) {
    match value {
        serde_json::Value::Number(_) => paths.push(path.to_owned()),
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| numbers(item, &format!("{path}/{index}"), paths));
        }
        serde_json::Value::Object(entries) => {
            entries.iter().for_each(|(key, item)| numbers(item, &format!("{path}/{key}"), paths));
        }
        _ => {}
    }
}

#[test]
fn edited_parameters_are_rejected_or_can_be_applied() {
    let (mut rejected, mut applied) = (0, 0);
    for step in transforms() {
        let chain = [step];
        let params = serde_json::to_value(sampled(&chain, 2, &mut rng(0))).unwrap();
        let mut paths = Vec::new();
        numbers(&params, "", &mut paths);
        let selected = paths.iter().step_by(paths.len().div_ceil(8).max(1));
        for path in selected {
            for number in ["0", "-1", "3", "1e6", "-1e300", "1e300", "1e-300", "9223372036854775807"] {
                let mut edited = params.clone();
                *edited.pointer_mut(path).unwrap() = serde_json::from_str(number).unwrap();
                let Ok(edited) = serde_json::from_value::<Vec<TransformParams>>(edited) else { continue };
                if validate_params(&chain, &edited, &incoming(2)).is_err() {
                    rejected += 1;
                    continue;
                }
                // Values that are not finite are an error, too.
                match View::new(volume(2), &chain, &edited).unwrap().volume() {
                    Ok(_) => applied += 1,
                    Err(PipelineError::NotFinite { .. }) => rejected += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
    assert!(rejected > 100 && applied > 100, "{rejected} {applied}");
}

#[test]
fn steps_that_are_not_random_sample_the_same_parameters_from_any_stream() {
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
fn random_steps_sample_different_parameters_from_different_streams() {
    let grid = Grid { shape: [300; 3], affine: Affine::IDENTITY };
    let sample =
        |step: &Transform, index| step.component().sample_params(&mut rng(index), &Incoming { grid, channels: 1 });
    for step in transforms().into_iter().filter(Transform::is_random) {
        let first = sample(&step, 0);
        assert!((1..16).any(|index| sample(&step, index) != first), "{step:?} has random keys, but samples constants");
    }
}

#[test]
fn examples_are_valid() {
    for step in transforms() {
        assert_eq!(step.component().validate(), [], "{step:?}");
    }
}

#[test]
fn recorded_parameters_are_named_by_their_step() {
    for step in transforms() {
        let params = serde_json::to_value(step.component().sample_params(&mut rng(0), &incoming(2))).unwrap();
        let name = params.as_object().map_or("nothing", |params| params.keys().next().unwrap());
        assert!(name == step.name() || params == "nothing", "{}: {params}", step.name());
    }
}

#[test]
fn every_key_of_a_transform_is_documented_and_random_keys_exist() {
    let schema: serde_json::Value = serde_json::from_str(&engine::experiment::schema::experiment()).unwrap();
    let mut problems = Vec::new();
    for step in transforms() {
        let name = step.name();
        let steps = schema["$defs"]["Transform"]["oneOf"].as_array().unwrap();
        let choice = steps.iter().find(|choice| choice["properties"].get(name).is_some()).unwrap();
        let reference = choice["properties"][name]["$ref"].as_str().unwrap_or_default();
        let keys = &schema.pointer(reference.trim_start_matches('#')).unwrap()["properties"];
        let undocumented = keys.as_object().into_iter().flatten().filter(|(_, key)| key.get("description").is_none());
        problems.extend(undocumented.map(|(key, _)| format!("{name}.{key} has no doc comment")));
        let random = step.component().random_keys().into_iter();
        let unknown = random.filter(|key| *key != ITSELF && keys.get(key).is_none());
        problems.extend(unknown.map(|key| format!("{name} has no key `{key}`, which it reports as random")));
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn label_values_are_unchanged() {
    let renames = |step: &Transform| ["remap_labels", "sequential_labels"].contains(&step.name());
    for step in transforms().into_iter().filter(|step| !renames(step)) {
        let chain = [step];
        let params = sampled(&chain, 2, &mut rng(0));
        let labels = View::new(volume(2), &chain, &params).unwrap().volume().unwrap().label.unwrap();
        assert!(labels.iter().all(|label| [0, 1, 5].contains(label)), "{chain:?}");
    }
}

/// Evaluates random windows of the output and compares each with the same window of the whole volume.
fn check_windows(chain: &[Transform], index: u64) {
    let params = sampled(chain, 2, &mut rng(index));
    let whole = View::new(volume(2), chain, &params).unwrap().volume().unwrap();
    let shape = whole.grid.shape;
    let mut positions = rng(1000 + index);
    for _ in 0..6 {
        let size: [usize; 3] = shape.map(|size| 1 + positions.below(size as u64) as usize);
        let start: [usize; 3] =
            std::array::from_fn(|axis| positions.below((shape[axis] - size[axis] + 1) as u64) as usize);
        let runs = LabelRuns::new(&volume(2).label.unwrap());
        let view = View::new(volume(2), chain, &params).unwrap().with_empty_space(runs.empty_space());
        let window = view.window(start, size).unwrap();
        let label = window.label.unwrap();
        for x in 0..size[0] {
            for y in 0..size[1] {
                for z in 0..size[2] {
                    let in_window = offset(size, [x, y, z]);
                    let in_volume = offset(shape, [start[0] + x, start[1] + y, start[2] + z]);
                    let count = size.iter().product::<usize>();
                    for channel in 0..2 {
                        let (a, b) =
                            (window.image[channel * count + in_window], whole.image.channel(channel)[in_volume]);
                        assert_eq!(a.to_bits(), b.to_bits(), "{chain:?} at {start:?} + {:?}", [x, y, z]);
                    }
                    assert_eq!(label[in_window], whole.label.as_ref().unwrap()[in_volume], "{chain:?}");
                }
            }
        }
    }
}

#[test]
fn windows_equal_the_whole_volume() {
    for (index, step) in transforms().into_iter().enumerate() {
        check_windows(&[step], index as u64);
    }
}

#[test]
fn windows_equal_the_whole_volume_for_long_chains() {
    let steps = transforms();
    let mut checked = 0;
    for chain_index in 0..40 {
        let mut choice = rng(500 + chain_index);
        let chain: Vec<Transform> = (0..6).map(|_| steps[choice.below(steps.len() as u64) as usize].clone()).collect();
        // A chain may blank out what a later step is fitted to or measures.
        let params = try_sampled(&chain, 2, &mut rng(chain_index));
        if params.and_then(|params| View::new(volume(2), &chain, &params)?.volume()).is_ok() {
            check_windows(&chain, chain_index);
            checked += 1;
        }
    }
    assert!(checked >= 36, "{checked}");
}

#[test]
fn shapes_do_not_depend_on_sampled_parameters() {
    for step in transforms() {
        let chain = [step];
        let shape = |index| {
            let params = sample_params(&chain, &mut rng(index), &incoming(1));
            lazy::output_grid(&chain, &params, &volume(1).grid).shape
        };
        assert!((1..8).all(|index| shape(index) == shape(0)), "{chain:?}");
    }
}

#[test]
fn each_output_label_is_copied_from_its_source_voxel() {
    // A chain may crop away what the next step is fitted to.
    // `rotate_and_scale` interpolates labels, and so does `resample` as nnU-Net.
    let is_tested = |step: &Transform| {
        let component = step.component();
        !component.relabels() && !component.needs_fit() && !component.zooms() && step.name() != "rotate_and_scale"
    };
    let steps: Vec<Transform> = transforms().into_iter().filter(is_tested).collect();
    let mut compared = 0;
    for index in 0..60 {
        let mut choice = rng(700 + index);
        let chain: Vec<Transform> = (0..3).map(|_| steps[choice.below(steps.len() as u64) as usize].clone()).collect();
        let params = sampled(&chain, 2, &mut rng(index));
        let source = volume(2).label.unwrap();
        let mapping = lazy::index_mapping(&chain, &params, &volume(2).grid);
        let labels = View::new(volume(2), &chain, &params).unwrap().volume().unwrap().label.unwrap();
        let shape = labels.shape;
        for (index, label) in labels.iter().enumerate() {
            let voxel = [index / (shape[1] * shape[2]), index / shape[2] % shape[1], index % shape[2]];
            let expected = mapping.source(voxel).map_or(0, |from| source[offset(source.shape, from)]);
            assert_eq!(*label, expected, "{chain:?} at {voxel:?}");
            compared += usize::from(*label > 0);
        }
    }
    assert!(compared > 1000, "{compared}");
}
