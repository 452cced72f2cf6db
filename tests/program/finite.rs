//! Intensities that are NaN or infinite, in files and from steps.

use std::fs;

use volume::Voxels;
use volume::io::{read_image, write_image};

use crate::test_dir::{TestDir, one_line, stderr, stderr_line, stdout};

/// A dataset of files, of which one training image has a voxel with this value.
fn dir_with_nan(value: f32) -> TestDir {
    let dir = TestDir::new();
    let size = ["--subjects", "4", "--shape", "16,16,16", "--spacing", "20,20,18"];
    dir.runner(&[&["phantom", "data"][..], &size].concat()).success();
    let path = dir.path("data/imagesTr/phantom_001.nii.gz");
    let (grid, image) = read_image(&path).unwrap();
    let mut values = image.to_vec();
    values[3 * 256 + 2 * 16 + 1] = value;
    write_image(&path, &grid, &Voxels::new(1, image.shape, values)).unwrap();
    dir
}

const SOURCE: [&str; 2] = ["--set", "data.source={msd: {root: data}}"];
const IMAGE: &str = "data/imagesTr/phantom_001.nii.gz";

#[test]
fn a_voxel_that_is_not_finite_is_an_error_with_subject_and_position() {
    let chains = [
        "preprocess=[]",
        "preprocess=[{ clamp: { min: -200, max: 250 } }]",
        "preprocess=[{ mask: { keep: { above_mean: {} } } }]",
        "preprocess=[{ foreground_normalize: {} }]",
        "preprocess=[{ crop_or_pad: { shape: [12, 12, 12], mask: { above_mean: {} } } }]",
    ];
    for (value, name) in [(f32::NAN, "NaN"), (f32::NEG_INFINITY, "-inf")] {
        let dir = dir_with_nan(value);
        let expected = format!("voxel [3, 2, 1] is {name}; fix the image, or train with");
        for chain in chains {
            for command in ["run", "patches"] {
                let message =
                    stderr_line(&dir.runner(&[&[command, "tiny.yaml", "--set", chain], &SOURCE[..]].concat()).code(3));
                assert!(message.contains("subject phantom_001") && message.contains(&expected), "{chain}: {message}");
            }
        }
        for chain in chains.into_iter().filter(|chain| !chain.contains("foreground")) {
            let transform = ["transform", "tiny.yaml", IMAGE, "--out", "out", "--set", chain];
            let message = stderr_line(&dir.runner(&transform).code(3));
            assert!(message.contains("phantom_001: ") && message.contains(&expected), "{chain}: {message}");
            assert!(!dir.path("out").exists());
        }
    }
}

#[test]
fn prediction_and_evaluation_refuse_such_images_and_a_declared_step_lets_them_through() {
    let dir = dir_with_nan(f32::NAN);
    let healthy = TestDir::new();
    let mask = ["--set", "preprocess=[{ mask: { keep: { above_mean: {} } } }]"];
    let run = healthy.run("runs", &mask).display().to_string();
    let predict = |run: &str| dir.runner(&["predict", "--run", run, IMAGE, "--out", "out"]);
    let message = one_line(&stderr(&predict(&run).code(3)));
    assert!(message.contains("voxel [3, 2, 1] is NaN") && message.contains("phantom_001"), "{message}");
    assert!(!dir.path("out/phantom_001.nii.gz").exists());

    let replace = "preprocess=[{ replace_non_finite: { with: minimum } }, { mask: { keep: { above_mean: {} } } }]";
    let run = dir.run("runs", &[&["--set", replace][..], &SOURCE].concat()).display().to_string();
    predict(&run).success();
    assert!(dir.path("out/phantom_001.nii.gz").exists());
    dir.runner(&["evaluate", &run, "--split", "train"]).success();
    let check = |chain: &str| dir.runner(&[&["check", "tiny.yaml", "--data", "--set", chain], &SOURCE[..]].concat());
    let found = stdout(&check("preprocess=[]").code(1));
    assert!(found.contains("1 voxel is not a number, the first at [3, 2, 1]; fix the image, or begin"), "{found}");
    let found = stdout(&check(replace).success());
    assert!(found.contains("note: phantom_001: ") && found.contains("`preprocess` replaces them"), "{found}");
}

#[test]
fn a_step_that_computes_such_values_is_named_with_its_subject() {
    let dir = TestDir::new();
    let overflow = "{ noise: { mean: [1e38, 1e38], std: [1e38, 1e38] } }";
    let augment = format!("augment=[{overflow}, {{ clamp: {{ min: -1, max: 1 }} }}]");
    for command in ["run", "patches"] {
        let message = stderr_line(&dir.runner(&[command, "tiny.yaml", "--quiet", "--set", &augment]).code(3));
        for text in ["of subject phantom_00", "noise computes values that are not finite", "voxel [", "inf"] {
            assert!(message.contains(text), "{text} is missing in {message}");
        }
    }
    // In `preprocess` too, where the next step would hide them.
    let rescale = "preprocess=[{ gamma: { log_gamma: [9, 9] } }, { gamma: { log_gamma: [9, 9] } }, { clamp: { min: -1, max: 1 } }]";
    let message = stderr_line(&dir.runner(&["run", "tiny.yaml", "--set", rescale]).code(3));
    assert!(message.contains("subject phantom_00") && message.contains("gamma computes values"), "{message}");
}

#[test]
fn check_times_a_few_steps_and_leaves_nothing_behind() {
    let dir = TestDir::new();
    let text = stdout(&dir.runner(&["check", "tiny.yaml", "--time"]).success());
    for line in [
        "time              about ",
        "preprocessing ",
        "training ",
        "validation on patches ",
        "validation on whole volumes ",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert!(!dir.path("runs").exists());
    let left: Vec<_> = fs::read_dir(dir.path("cache")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["phantoms"]);
}
