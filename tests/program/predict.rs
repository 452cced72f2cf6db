//! `runner predict`: label maps of new images of any orientation, and its errors.

use std::fs;
use std::path::Path;

use volume::io::{read_image, read_label, write_image};
use volume::{Affine, Grid, Voxels, offset};

use crate::test_dir::{TestDir, stderr, stdout};

/// Trains a run; returns its folder and the image of a phantom.
fn trained(dir: &TestDir, more: &[&str]) -> (String, String) {
    let run = dir.run("runs", more);
    let images = walkdir::WalkDir::new(dir.path("cache/phantoms")).into_iter().flatten();
    let image = images.map(|entry| entry.into_path()).find(|path| path.ends_with("imagesTr/phantom_002.nii.gz"));
    (run.display().to_string(), image.unwrap().display().to_string())
}

/// Returns the image with axes permuted and flipped; its voxels keep their world coordinates.
fn reoriented(grid: &Grid, image: &Voxels<f32>, axes: [usize; 3], mirrored: [bool; 3]) -> (Grid, Voxels<f32>) {
    let shape = axes.map(|axis| grid.shape[axis]);
    let mut rows = [[0.0; 4]; 3];
    for (new, old) in axes.into_iter().enumerate() {
        rows[old][new] = if mirrored[new] { -1.0 } else { 1.0 };
        rows[old][3] = if mirrored[new] { grid.shape[old] as f64 - 1.0 } else { 0.0 };
    }
    let to_old = Affine(rows);
    let mut values = Vec::new();
    for x in 0..shape[0] {
        for y in 0..shape[1] {
            for z in 0..shape[2] {
                let old = to_old.apply([x, y, z].map(|index| index as f64)).map(|index| index as usize);
                values.push(image[offset(grid.shape, old)]);
            }
        }
    }
    (Grid { shape, affine: grid.affine.after(&to_old) }, Voxels::new(1, shape, values))
}

/// Predicts an image and returns the label map with its grid.
fn predicted(dir: &TestDir, run: &str, image: &Path) -> (Grid, Vec<u16>) {
    dir.runner(&["predict", "--run", run, image.to_str().unwrap(), "--out", "out"]).success();
    let name = image.file_name().unwrap().to_str().unwrap();
    let (grid, label) = read_label(&dir.path("out").join(name)).unwrap();
    (grid, label.to_vec())
}

#[test]
fn predictions_match_their_images_in_any_orientation() {
    let dir = TestDir::new();
    // Resampling, cropping and padding have to be inverted.
    let chain = "preprocess=[{resample: {spacing_mm: [18, 18, 18]}}, {crop_or_pad: {shape: [16, 18, 14]}}, {clamp: {min: -200, max: 250}}, {rescale_intensity: {to: [-1, 1]}}]";
    // After so few steps a low threshold is needed for foreground.
    let threshold = "postprocess=[{threshold: {at_least: 0.2}}]";
    let (run, image) = trained(&dir, &["--set", chain, "--set", threshold]);
    let (grid, voxels) = read_image(Path::new(&image)).unwrap();
    let (_, expected) = predicted(&dir, &run, Path::new(&image));
    assert!(expected.iter().any(|label| *label != 0), "the tiny network predicts no foreground");
    let tilt = Affine([[0.9, -0.2, 0.1, 3.0], [0.2, 0.95, 0.0, -4.0], [-0.1, 0.05, 0.97, 10.0]]);
    let oblique = Grid { shape: grid.shape, affine: tilt.after(&grid.affine) };
    for (name, (grid, image)) in [
        ("lps.nii.gz", reoriented(&grid, &voxels, [0, 1, 2], [true, true, false])),
        ("las.nii", reoriented(&grid, &voxels, [0, 1, 2], [true, false, false])),
        ("pir.nii.gz", reoriented(&grid, &voxels, [1, 2, 0], [true, true, false])),
        ("oblique.nii.gz", (oblique, voxels.clone())),
    ] {
        write_image(&dir.path(name), &grid, &image).unwrap();
        let out = name.trim_end_matches(".gz").trim_end_matches(".nii").to_owned() + ".nii.gz";
        dir.runner(&["predict", "--run", &run, name, "--out", "out"]).success();
        let (written, label) = read_label(&dir.path("out").join(out)).unwrap();
        assert!(written.shape == grid.shape && written.matches(&read_image(&dir.path(name)).unwrap().0, 0.0), "{name}");
        if name != "oblique.nii.gz" {
            let back = reoriented_labels(&grid, &label, name);
            let same = back.iter().zip(&expected).filter(|(a, b)| a == b).count();
            assert_eq!(same, expected.len(), "{name}: voxels with the same labels");
        }
    }
}

/// Returns the labels of a reoriented grid in the voxel order of the original grid.
fn reoriented_labels(grid: &Grid, label: &[u16], name: &str) -> Vec<u16> {
    let values = Voxels::new(1, grid.shape, label.iter().map(|label| f32::from(*label)).collect());
    let (axes, mirrored) = match name {
        "lps.nii.gz" => ([0, 1, 2], [true, true, false]),
        "las.nii" => ([0, 1, 2], [true, false, false]),
        _ => ([2, 0, 1], [false, true, true]),
    };
    reoriented(grid, &values, axes, mirrored).1.iter().map(|label| *label as u16).collect()
}

#[test]
fn an_ensemble_averages_probabilities_that_sum_to_one() {
    let dir = TestDir::new();
    let (run, image) = trained(&dir, &[]);
    let other = dir.run("others", &["--set", "seed=7", "--set", "inference.mirror=[x]"]).display().to_string();
    dir.runner(&["predict", "--run", &run, &image, "--out", "one", "--probabilities"]).success();
    dir.runner(&["predict", "--run", &other, &image, "--out", "two", "--probabilities"]).success();
    let both = ["predict", "--run", &run, "--run", &other, &image, "--out", "both", "--probabilities"];
    dir.runner(&both).success();
    let read = |folder: &str| read_image(&dir.path(folder).join("phantom_002_probabilities.nii.gz")).unwrap().1;
    let (one, two, both) = (read("one"), read("two"), read("both"));
    assert_eq!((both.channels, both.shape), (3, [16, 16, 16]));
    let worst = (0..both.len()).map(|i| (both[i] - (one[i] + two[i]) / 2.0).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-6, "{worst}");
    let sum = |voxel: usize| (0..3).map(|class| both.channel(class)[voxel]).sum::<f32>();
    assert!((0..4096).all(|voxel| (sum(voxel) - 1.0).abs() < 1e-5));
    // A single run has the same labels with and without stored probabilities.
    dir.runner(&["predict", "--run", &run, &image, "--out", "slabs"]).success();
    let label = |folder: &str| fs::read(dir.path(folder).join("phantom_002.nii.gz")).unwrap();
    assert!(label("slabs") == label("one"));
}

#[test]
fn the_report_has_volumes_and_components() {
    let dir = TestDir::new();
    let (run, image) = trained(&dir, &[]);
    let result = dir.runner(&["predict", "--run", &run, &image, "--out", "out"]).success();
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.path("out/phantom_002.json")).unwrap()).unwrap();
    let (grid, label) = read_label(&dir.path("out/phantom_002.nii.gz")).unwrap();
    let ml = grid.spacing().iter().product::<f64>() / 1000.0;
    for (index, (value, name)) in [(1, "liver"), (2, "tumour")].into_iter().enumerate() {
        let entry = &report["labels"][index];
        let voxels = label.iter().filter(|label| **label == value).count();
        assert_eq!((&entry["name"], &entry["voxels"]), (&name.into(), &voxels.into()));
        assert!((entry["volume_ml"].as_f64().unwrap() - voxels as f64 * ml).abs() < 1e-6);
        let parts = entry["components"].as_array().unwrap();
        let sum: f64 = parts.iter().map(|part| part["volume_ml"].as_f64().unwrap()).sum();
        assert!((sum - voxels as f64 * ml).abs() < 1e-6);
        assert!(stdout(&result).contains(name), "{}", stdout(&result));
    }
}

#[test]
fn an_unreadable_image_is_reported_and_skipped() {
    let dir = TestDir::new();
    let (run, image) = trained(&dir, &["--set", "preprocess=[]"]);
    let bytes = fs::read(&image).unwrap();
    fs::write(dir.path("truncated.nii.gz"), &bytes[..bytes.len() / 2]).unwrap();
    let grid = Grid { shape: [8, 8, 8], affine: Affine::IDENTITY };
    write_image(&dir.path("channels.nii"), &grid, &Voxels::new(2, [8; 3], vec![0.0; 1024])).unwrap();
    write_image(&dir.path("nan.nii"), &grid, &Voxels::new(1, [8; 3], vec![f32::NAN; 512])).unwrap();
    let failed = dir
        .runner(&["predict", "--run", &run, "truncated.nii.gz", "nan.nii", "channels.nii", &image, "--out", "out"])
        .code(3);
    let message = stderr(&failed);
    for part in [
        "truncated.nii.gz",
        "512 of 512 voxels are not finite; the first is voxel [0, 0, 0], NaN",
        "2 channels",
        "3 of 4 images failed",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(dir.path("out/phantom_002.nii.gz").exists());
    assert!(!dir.path("out/truncated.nii.gz").exists());
}

#[test]
fn wrong_arguments_are_reported_before_anything_is_predicted() {
    let dir = TestDir::new();
    let (run, image) = trained(&dir, &[]);
    let folder = Path::new(&image).parent().unwrap().display().to_string();
    for (arguments, expected) in [
        (vec!["--run", "absent", &image, "--out", "out"], "cannot read"),
        (vec!["--run", &run, &image, &image, "--out", "out"], "different --out folders"),
        (vec!["--run", &run, &image, "absent.nii.gz", "--out", "out"], "absent.nii.gz"),
        (vec!["--run", &run, &image, "--out", &folder], "another folder with --out"),
    ] {
        let arguments: Vec<&str> = std::iter::once("predict").chain(arguments).collect();
        let message = stderr(&dir.runner(&arguments).code(2));
        assert!(message.contains(expected), "{message}");
    }
    fs::remove_file(Path::new(&run).join("checkpoints/best.safetensors")).unwrap();
    let message = stderr(&dir.runner(&["predict", "--run", &run, &image, "--out", "out"]).code(2));
    assert!(message.contains("--checkpoint last"), "{message}");
    dir.runner(&["predict", "--run", &run, &image, "--out", "out", "--checkpoint", "last"]).success();
}

#[test]
fn fitted_preprocessing_is_read_from_the_run_without_training_data() {
    let dir = TestDir::new();
    let (run, image) = trained(&dir, &["--set", "preprocess=[{foreground_normalize: {}}]"]);
    fs::copy(&image, dir.path("new.nii.gz")).unwrap();
    fs::remove_dir_all(dir.path("cache")).unwrap();
    dir.runner(&["predict", "--run", &run, "new.nii.gz", "--out", "out"]).success();
    fs::remove_file(Path::new(&run).join("preprocess.json")).unwrap();
    let message = stderr(&dir.runner(&["predict", "--run", &run, "new.nii.gz", "--out", "out"]).code(2));
    assert!(message.contains("preprocess.json"), "{message}");
}

#[test]
fn weights_of_another_run_initialize_training_and_mismatches_are_reported() {
    let dir = TestDir::new();
    let (run, _) = trained(&dir, &[]);
    let weights = format!("train.initial_weights={run}/checkpoints/best.safetensors");
    let run_from_weights = dir.run("more", &["--set", &weights, "--set", "optimizer.adam.learning_rate=1e-30"]);
    let read = |path: &Path| nn::weights::read(path).unwrap();
    let (old, new) = (
        read(&Path::new(&run).join("checkpoints/best.safetensors")),
        read(&run_from_weights.join("checkpoints/last.safetensors")),
    );
    let trained = |tensor: &&nn::weights::NamedTensor| !tensor.name.contains("running");
    assert!(
        old.iter().filter(trained).eq(new.iter().filter(trained)),
        "with so small a learning rate, weights must not change"
    );
    // A run that has a checkpoint does not read the initial weights again.
    fs::remove_file(Path::new(&run).join("checkpoints/best.safetensors")).unwrap();
    dir.runner(&["run", "--resume", run_from_weights.to_str().unwrap(), "--set", "train.epochs=3"]).success();
    assert!(fs::read_to_string(run_from_weights.join("plan.yaml")).unwrap().contains("initial_weights"));
    let weights = format!("train.initial_weights={run}/checkpoints/last.safetensors");
    let mismatch = ["check", "tiny.yaml", "--set", &weights, "--set", "model.unet.widths=[2, 6]"];
    let message = stderr(&dir.runner(&mismatch).code(2));
    assert!(message.contains("has shape") && message.contains("train.initial_weights"), "{message}");
    let absent = ["check", "tiny.yaml", "--set", "train.initial_weights=absent.pt"];
    assert!(stderr(&dir.runner(&absent).code(2)).contains("absent.pt"));
}
