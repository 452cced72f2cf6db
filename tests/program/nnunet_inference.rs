//! Predictions as nnU-Net makes them: cropped to what is not 0, logits averaged and resampled, in the axis order of the file.

use std::path::Path;

use volume::io::{read_image, read_label, write_image};
use volume::{Affine, Grid, Voxels, offset};

use crate::test_dir::{TestDir, stderr, stderr_line, stdout};

const CHAIN: &str = "preprocess=[{crop_to_nonzero: {}}, {foreground_normalize: {}}, \
    {resample: {spacing_mm: [18, 23, null], interpolation: cubic, convention: nnunet}}]";
const INFERENCE: &str = "inference={convention: nnunet, overlap: 0.5, average: logits, mirror: [y]}";
const THRESHOLD: &str = "postprocess=[{threshold: {at_least: 0.2}}]";

fn trained(dir: &TestDir, runs: &str, more: &[&str]) -> String {
    let keys = [CHAIN, INFERENCE].iter().chain(more).flat_map(|key| ["--set", *key]);
    dir.run(runs, &keys.collect::<Vec<_>>()).display().to_string()
}

/// Returns the path of the image of a phantom, on which no run is trained.
fn phantom(dir: &TestDir) -> String {
    let images = walkdir::WalkDir::new(dir.path("cache/phantoms")).into_iter().flatten();
    let image = images.map(|entry| entry.into_path()).find(|path| path.ends_with("imagesTr/phantom_002.nii.gz"));
    image.unwrap().display().to_string()
}

#[test]
fn logits_of_an_ensemble_are_averaged() {
    let dir = TestDir::new();
    // Each run is fitted to training subjects of its own.
    let one = trained(&dir, "one", &[]);
    dir.write("split.json", r#"{"train": ["phantom_001", "phantom_003"], "val": ["phantom_002"]}"#);
    let two = trained(&dir, "two", &["seed=7", "data.split={file: split.json}"]);
    let image = phantom(&dir);
    for (out, runs) in
        [("a", vec!["--run", &one]), ("b", vec!["--run", &two]), ("both", vec!["--run", &one, "--run", &two])]
    {
        dir.runner(&[&["predict", &image, "--out", out, "--probabilities"], &runs[..]].concat()).success();
    }
    let read = |folder: &str| read_image(&dir.path(folder).join("phantom_002_probabilities.nii.gz")).unwrap().1;
    let (a, b, both) = (read("a"), read("b"), read("both"));
    // Logits relative to those of the background are the logarithms of ratios of probabilities.
    let logit = |p: &Voxels<f32>, class: usize, voxel: usize| (p.channel(class)[voxel] / p.channel(0)[voxel]).ln();
    for voxel in 0..4096 {
        for class in 1..3 {
            let mean = (logit(&a, class, voxel) + logit(&b, class, voxel)) / 2.0;
            // Logits are rounded to half precision.
            assert!((logit(&both, class, voxel) - mean).abs() < 4e-3, "{voxel} {class}");
        }
    }
    let differs = (0..4096).filter(|voxel| (logit(&a, 1, *voxel) - logit(&b, 1, *voxel)).abs() > 0.01).count();
    assert!(differs > 2048, "{differs}");
    // The label map is the same, whether probabilities are kept or not.
    dir.runner(&["predict", "--run", &one, "--run", &two, &image, "--out", "slabs"]).success();
    let label = |folder: &str| read_label(&dir.path(folder).join("phantom_002.nii.gz")).unwrap().1.to_vec();
    assert_eq!(label("slabs"), label("both"));
}

#[test]
fn runs_whose_logits_cannot_be_averaged_are_refused() {
    let dir = TestDir::new();
    let run = trained(&dir, "runs", &[]);
    let image = phantom(&dir);
    for (name, key, expected) in [
        ("probabilities", "inference.average=probabilities", "different values of `inference.average`"),
        ("window", "inference.window=[8, 8, 16]", "different windows"),
        ("overlap", "inference.overlap=0.25", "different windows"),
        ("preprocess", "preprocess.2.resample.spacing_mm=[18, 23, 17]", "different preprocess steps"),
        ("orientation", "data.orientation=stored", "different preprocess steps or orientations"),
    ] {
        let other = trained(&dir, name, &[key]);
        let refused = dir.runner(&["predict", "--run", &run, "--run", &other, &image, "--out", "out"]).code(2);
        let message = stderr_line(&refused);
        assert!(message.contains(expected), "{name}: {message}");
    }
}

#[test]
fn predictions_are_background_outside_of_what_is_not_0() {
    let dir = TestDir::new();
    let run = trained(&dir, "runs", &[THRESHOLD]);
    let image = phantom(&dir);
    let (grid, voxels) = read_image(Path::new(&image)).unwrap();
    let (start, shape) = ([3, 0, 2], [21, 18, 18]);
    let mut padded = vec![0.0; shape.iter().product()];
    for (index, value) in voxels.iter().enumerate() {
        let voxel = volume::unravel_index(grid.shape, index);
        padded[offset(shape, std::array::from_fn(|axis| voxel[axis] + start[axis]))] = *value;
    }
    let shift = Affine::scale_and_shift([1.0; 3], start.map(|start| -(start as f64)));
    let larger = Grid { shape, affine: grid.affine.after(&shift) };
    write_image(&dir.path("padded.nii.gz"), &larger, &Voxels::new(1, shape, padded)).unwrap();
    dir.runner(&["predict", "--run", &run, &image, "padded.nii.gz", "--out", "out"]).success();
    let (_, expected) = read_label(&dir.path("out/phantom_002.nii.gz")).unwrap();
    let (_, label) = read_label(&dir.path("out/padded.nii.gz")).unwrap();
    assert!(expected.iter().filter(|label| **label != 0).count() > 100, "the tiny network predicts no foreground");
    for (index, label) in label.iter().enumerate() {
        let voxel = volume::unravel_index(shape, index);
        let inside: Option<Vec<usize>> = (0..3).map(|axis| voxel[axis].checked_sub(start[axis])).collect();
        let inside = inside.filter(|at| (0..3).all(|axis| at[axis] < grid.shape[axis]));
        let source = inside.map_or(0, |at| expected[offset(grid.shape, [at[0], at[1], at[2]])]);
        assert_eq!(*label, source, "{voxel:?}");
    }
}

#[test]
fn stored_axes_are_not_reoriented() {
    let dir = TestDir::new();
    let run = trained(&dir, "runs", &[THRESHOLD, "data.orientation=stored"]);
    let image = phantom(&dir);
    let (grid, voxels) = read_image(Path::new(&image)).unwrap();
    // The same array in a file whose axes have other directions.
    let [x, y, z] = grid.spacing();
    let affine = Affine([[0.0, -y, 0.0, 9.0], [0.0, 0.0, z, 8.0], [-x, 0.0, 0.0, 7.0]]);
    write_image(&dir.path("turned.nii.gz"), &Grid { affine, ..grid }, &voxels).unwrap();
    dir.runner(&["predict", "--run", &run, &image, "turned.nii.gz", "--out", "out"]).success();
    let label = |name: &str| read_label(&dir.path("out").join(name)).unwrap().1.to_vec();
    let expected = label("phantom_002.nii.gz");
    assert!(expected.iter().any(|label| *label != 0));
    assert_eq!(label("turned.nii.gz"), expected);
}

#[test]
fn check_says_that_volumes_may_be_smaller() {
    let dir = TestDir::new();
    let checked = dir.runner(&["check", "tiny.yaml", "--set", CHAIN, "--set", INFERENCE]).success();
    let text = stdout(&checked);
    assert!(text.contains("at most 18 x 14 x 16 voxels after preprocess, less what crop_to_nonzero crops"), "{text}");
    let warning = stderr(&checked);
    assert!(
        format!("{text}{warning}").contains("crop_to_nonzero may crop volumes to fewer than 8 x 8 x 8 voxels"),
        "{text}{warning}"
    );
}
