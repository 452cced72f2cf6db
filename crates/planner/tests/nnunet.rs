//! Plans that are compared with those of nnunetv2 2.8.1; `nnunet/plans.py` writes the expected values.

use std::path::Path;

use planner::fingerprint::SubjectFingerprint;
use planner::{Configuration, DatasetFacts, DatasetFingerprint, DatasetPlan, Encoder, Preset};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct File {
    made_up: Vec<Case>,
    real: Vec<Case>,
}

/// A dataset and its plans; lists run from z to x.
#[derive(Deserialize)]
struct Case {
    name: String,
    channels: Vec<String>,
    labels: usize,
    num_training: usize,
    spacings: Vec<[f64; 3]>,
    shapes: Vec<[usize; 3]>,
    relative_size: f64,
    memory_gb: Option<f64>,
    plans: serde_json::Map<String, Value>,
    /// Of a real dataset, the statistics of each channel.
    #[serde(default)]
    intensities: Vec<serde_json::Map<String, Value>>,
}

fn file() -> File {
    // Another file can be compared by hand: see plans.py.
    let path = std::env::var("NNUNET_PLANS").unwrap_or_else(|_| "tests/nnunet/plans.json".to_owned());
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn reversed<T: Copy>([z, y, x]: [T; 3]) -> [T; 3] {
    [x, y, z]
}

impl Case {
    fn facts(&self) -> DatasetFacts {
        DatasetFacts {
            channel_names: self.channels.clone(),
            label_entries: self.labels,
            num_training: self.num_training,
        }
    }

    fn fingerprint(&self) -> DatasetFingerprint {
        let subject = |(spacing, shape): (&[f64; 3], &[usize; 3])| SubjectFingerprint {
            name: String::new(),
            shape: reversed(*shape),
            shape_after_crop: reversed(*shape),
            spacing_mm: reversed(*spacing),
            orientation: "RAS".to_owned(),
            foreground_voxels: 1,
        };
        DatasetFingerprint {
            format: 1,
            subjects: self.spacings.iter().zip(&self.shapes).map(subject).collect(),
            channels: Vec::new(),
            max_label: 1,
            labels: Vec::new(),
            median_relative_size_after_cropping: self.relative_size,
        }
    }

    /// Returns what differs between the plans of a fingerprint and nnU-Net's.
    fn differences(&self, fingerprint: &DatasetFingerprint) -> Vec<String> {
        let mut differences = Vec::new();
        for preset in Preset::ALL {
            // nnU-Net has no plan of some random datasets.
            let Some(expected) = self.plans.get(preset.name()) else { continue };
            let memory_gb = self.memory_gb.unwrap_or_else(|| preset.memory_gb());
            let plan = match DatasetPlan::new(fingerprint, &self.facts(), preset, memory_gb) {
                Ok(plan) => plan,
                Err(error) => {
                    differences.push(format!("{}, {preset}: {error}", self.name));
                    continue;
                }
            };
            let planned =
                [("3d_fullres", plan.full.as_ref()), ("3d_lowres", plan.low.as_ref()), ("2d", Some(&plan.slices))];
            for (name, configuration) in planned {
                let ours = configuration.map(|configuration| described(&plan, configuration));
                let theirs = expected["configurations"].get(name).map(|theirs| described_peer(expected, theirs));
                if ours != theirs {
                    differences.push(format!("{}, {preset}, {name}:\n  {ours:?}\n  {theirs:?}", self.name));
                }
            }
        }
        differences
    }
}

/// Describes a configuration of ours, with axes x, y and z.
fn described(plan: &DatasetPlan, configuration: &Configuration) -> Vec<String> {
    let schemes: Vec<&str> = plan.normalization.iter().map(|scheme| scheme.class()).collect();
    let network = match plan.preset.encoder() {
        Encoder::Plain => "PlainConvUNet",
        Encoder::Residual => "ResidualEncoderUNet",
    };
    vec![
        format!("spacing {:?}", configuration.spacing_mm),
        format!("median {:?}", configuration.median_shape),
        format!("patch {:?}", configuration.patch),
        format!("kernels {:?}", configuration.kernels),
        format!("strides {:?}", configuration.strides),
        format!("widths {:?}", configuration.widths),
        format!("{network} {:?} {:?}", configuration.encoder_blocks, configuration.decoder_convs),
        format!("batch {} {}", configuration.batch.size, configuration.batch_dice),
        format!("{schemes:?} {:?}", plan.uses_mask),
    ]
}

/// Describes a configuration of nnU-Net, with axes x, y and z; those of slices have 1, or none, along the third axis.
fn described_peer(plans: &Value, configuration: &Value) -> Vec<String> {
    let forward: Vec<usize> = serde_json::from_value(plans["transpose_forward"].clone()).unwrap();
    let is_2d = configuration["patch_size"].as_array().unwrap().len() == 2;
    let placed = |values: &Value, across: Value| -> [Value; 3] {
        let mut values = values.as_array().unwrap().clone();
        if is_2d {
            values.insert(0, across);
        }
        let mut placed = [(); 3].map(|()| Value::Null);
        for (place, axis) in forward.iter().enumerate() {
            placed[2 - axis] = values[place].clone();
        }
        placed
    };
    let whole = |values: &Value| placed(values, 1.into()).map(|value| value.as_u64().unwrap() as usize);
    let levels = |key: &str| -> Vec<[usize; 3]> { configuration[key].as_array().unwrap().iter().map(whole).collect() };
    let list = |key: &str| -> Vec<u64> { serde_json::from_value(configuration[key].clone()).unwrap() };
    let schemes: Vec<String> = serde_json::from_value(configuration["normalization_schemes"].clone()).unwrap();
    let masks: Vec<bool> = serde_json::from_value(configuration["use_mask_for_norm"].clone()).unwrap();
    let median = if is_2d {
        // Slices have the median shape of the full resolution, which stays unnamed along the third axis.
        let across = plans["configurations"].get("3d_fullres").map(|full| &full["median_image_size_in_voxels"][0]);
        placed(&configuration["median_image_size_in_voxels"], across.cloned().unwrap_or_else(|| 1.0.into()))
    } else {
        placed(&configuration["median_image_size_in_voxels"], Value::Null)
    };
    vec![
        format!("spacing {:?}", placed(&configuration["spacing"], Value::Null).map(|value| value.as_f64())),
        format!("median {:?}", median.map(|value| value.as_f64().unwrap())),
        format!("patch {:?}", whole(&configuration["patch_size"])),
        format!("kernels {:?}", levels("kernel_sizes")),
        format!("strides {:?}", levels("strides")),
        format!("widths {:?}", list("features_per_stage")),
        format!(
            "{} {:?} {:?}",
            configuration["network"].as_str().unwrap(),
            list("blocks"),
            list("n_conv_per_stage_decoder")
        ),
        format!("batch {} {}", configuration["batch_size"], configuration["batch_dice"]),
        format!("{schemes:?} {masks:?}"),
    ]
}

#[test]
fn plans_of_made_up_fingerprints_are_those_of_nnunet() {
    let cases = file().made_up;
    assert!(cases.len() >= 20);
    let differences: Vec<String> = cases.iter().flat_map(|case| case.differences(&case.fingerprint())).collect();
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn plans_of_the_fingerprints_of_real_datasets_are_those_of_nnunet() {
    let differences: Vec<String> = file().real.iter().flat_map(|case| case.differences(&case.fingerprint())).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn real_datasets_have_the_fingerprints_and_plans_of_nnunet() {
    for case in file().real {
        let root = Path::new("../../../shared/data").join(&case.name);
        if !root.is_dir() {
            eprintln!("skipped: {} is not there", root.display());
            continue;
        }
        let source = dataset::sources::of_folder(&root).unwrap();
        let listing = dataset::sources::list(&source, Path::new("unused")).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let extraction = planner::fingerprint::extract(&listing.subjects, None, &stop, &mut |_, _| {});
        let planner::fingerprint::Extraction::Done(fingerprint) = extraction else { panic!("{extraction:?}") };
        let shapes: Vec<_> = fingerprint.subjects.iter().map(|subject| reversed(subject.shape_after_crop)).collect();
        let spacings: Vec<_> = fingerprint.subjects.iter().map(|subject| reversed(subject.spacing_mm)).collect();
        assert_eq!((shapes, spacings), (case.shapes.clone(), case.spacings.clone()), "{}", case.name);
        for (ours, theirs) in fingerprint.channels.iter().zip(&case.intensities) {
            let theirs = |key: &str| theirs[key].as_f64().unwrap();
            // The same voxels are sampled, so what does not add them up is the same.
            assert_eq!(
                [ours.min, ours.percentile_00_5, ours.median, ours.percentile_99_5, ours.max],
                ["min", "percentile_00_5", "median", "percentile_99_5", "max"].map(theirs),
                "{}",
                case.name
            );
            // nnU-Net sums in single precision.
            for (ours, theirs) in [(ours.mean, theirs("mean")), (ours.std, theirs("std"))] {
                eprintln!("{}: {ours} and {theirs}, {:e} apart", case.name, (ours / theirs - 1.0).abs());
                assert!((ours / theirs - 1.0).abs() < 1e-5, "{}: {ours} and {theirs}", case.name);
            }
        }
        let differences = case.differences(&fingerprint);
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
}
