//! `runner predict`: label maps of new images of any orientation, and its errors.

use std::fs;
use std::path::Path;

use volume::io::{read_image, read_label, write_image};
use volume::{Affine, Grid, Voxels, offset};

use crate::test_dir::{TestDir, stderr, stderr_line, stdout};

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
        "error: case channels: channels.nii: it has 2 channels",
        "3 of 4 cases failed: truncated, nan, channels",
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
        (vec!["--run", &run, &image, &image, "--out", "out"], "is named twice"),
        (vec!["--run", &run, &image, "absent.nii.gz", "--out", "out"], "absent.nii.gz"),
        (vec!["--run", &run, &image, "--out", &folder], "another folder with --out"),
    ] {
        let arguments: Vec<&str> = std::iter::once("predict").chain(arguments).collect();
        let message = stderr_line(&dir.runner(&arguments).code(2));
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

/// Trains a network of two channels on images in the form of nnU-Net; returns the run folder.
fn trained_on_two_channels(dir: &TestDir) -> String {
    let grid = Grid { shape: [12, 12, 12], affine: Affine::IDENTITY };
    let image =
        |seed: usize| Voxels::new(1, grid.shape, (0..1728).map(|k| ((k * 7 + seed * 131) % 97) as f32).collect());
    for case in 0..3 {
        for folder in ["T/imagesTr", "T/imagesTs", "T/labelsTr"] {
            fs::create_dir_all(dir.path(folder)).unwrap();
        }
        for channel in 0..2 {
            for folder in ["imagesTr/c", "imagesTs/p"] {
                let path = dir.path(&format!("T/{folder}{case}_000{channel}.nii.gz"));
                write_image(&path, &grid, &image(case + 10 * channel)).unwrap();
            }
        }
        let label = Voxels::new(1, grid.shape, (0..1728).map(|k| u16::from(k % 3 == 0)).collect());
        volume::io::write_label(&dir.path(&format!("T/labelsTr/c{case}.nii.gz")), &grid, &label).unwrap();
    }
    let json = r#"{"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "a": 1}, "numTraining": 3, "file_ending": ".nii.gz"}"#;
    dir.write("T/dataset.json", json);
    let source = "data={source: {msd: {root: T}}, split: {first: 2}}";
    let run = dir.run("runs", &["--set", source, "--set", "preprocess=[{z_normalize: {}}]"]);
    run.display().to_string()
}

#[test]
fn a_network_of_two_channels_is_given_its_files_in_any_form() {
    let dir = TestDir::new();
    let run = trained_on_two_channels(&dir);
    dir.write("cases.csv", "subject,image,image_2\np0,T/imagesTs/p0_0000.nii.gz,T/imagesTs/p0_0001.nii.gz\n");
    let (first, second) = ("T/imagesTs/p0_0000.nii.gz", "T/imagesTs/p0_0001.nii.gz");
    for (out, images) in [
        ("files", vec![first, second]),
        ("folder", vec!["T/imagesTs"]),
        ("table", vec!["--table", "cases.csv"]),
        ("channels", vec!["--channel", first, "--channel", second]),
        ("patterns", vec!["--channel", "T/imagesTs/*_0000.nii.gz", "--channel", "T/imagesTs/*_0001.nii.gz"]),
    ] {
        dir.runner(&[&["predict", "--run", &run, "--out", out], &images[..]].concat()).success();
        assert!(dir.path(out).join("p0.json").exists(), "{out}");
        let expected = fs::read(dir.path("files/p0.nii.gz")).unwrap();
        assert!(fs::read(dir.path(out).join("p0.nii.gz")).unwrap() == expected, "{out}");
        let cases = if ["folder", "patterns"].contains(&out) { 3 } else { 1 };
        let label_maps = fs::read_dir(dir.path(out))
            .unwrap()
            .filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().ends_with(".nii.gz"));
        assert_eq!(label_maps.count(), cases, "{out}");
    }
    let record: serde_json::Value = serde_json::from_slice(&fs::read(dir.path("files/p0.json")).unwrap()).unwrap();
    assert_eq!(record["images"].as_array().unwrap().len(), 2);
    // A file of a case that cannot be read is named with the case.
    let bytes = fs::read(dir.path(second)).unwrap();
    fs::create_dir(dir.path("damaged")).unwrap();
    fs::copy(dir.path(first), dir.path("damaged/p0_0000.nii.gz")).unwrap();
    fs::write(dir.path("damaged/p0_0001.nii.gz"), &bytes[..bytes.len() / 2]).unwrap();
    let failed = stderr_line(&dir.runner(&["predict", "--run", &run, "damaged", "--out", "failed"]).code(3));
    assert!(failed.contains("error: case p0: damaged/p0_0001.nii.gz: "), "{failed}");
    assert!(failed.contains("1 of 1 cases failed: p0") && !failed.contains("p0_0000"), "{failed}");
    let half = stderr_line(&dir.runner(&["predict", "--run", &run, first, "--out", "half"]).code(2));
    assert!(half.contains("has 1 channel, but the network takes 2") && half.contains("--table"), "{half}");
    assert!(!dir.path("half").exists());
}

#[test]
fn a_run_whose_training_is_not_finished_is_noted_wherever_it_is_used() {
    let dir = TestDir::new();
    let (run, image) = trained(&dir, &[]);
    let manifest = Path::new(&run).join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let predict = ["predict", "--run", &run, &image, "--out", "finished"];
    assert!(!stderr_line(&dir.runner(&predict).success()).contains("not finished"));
    fs::write(&manifest, text.replace(r#""status": "done""#, r#""status": "stopped""#)).unwrap();
    let note = "is not finished: stopped in epoch 2 of 2";
    for arguments in [
        &["predict", "--run", &run, &image, "--out", "predictions"][..],
        &["evaluate", &run],
        &["export", "onnx", &run, "--out", "onnx"],
    ] {
        let text = stderr_line(&dir.runner(arguments).success());
        assert!(text.matches(note).count() == 1, "{arguments:?}: {text}");
    }
    let read =
        |path: &str| -> serde_json::Value { serde_json::from_slice(&fs::read(dir.path(path)).unwrap()).unwrap() };
    let record = fs::read_dir(dir.path("predictions")).unwrap().map(|file| file.unwrap().path());
    let record = record.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "json")).unwrap();
    let made_by = &read(record.to_str().unwrap())["made_by"]["weights"][0];
    let expected = serde_json::json!({ "status": "stopped", "epoch": 2, "planned_epochs": 2 });
    assert_eq!(made_by["unfinished"], expected);
    assert_eq!(read("onnx/manifest.json")["made_by"]["weights"][0]["unfinished"], expected);
    // Its label maps are noted where they are scored.
    fs::create_dir(dir.path("labels")).unwrap();
    let name = record.with_extension("nii.gz").file_name().unwrap().to_owned();
    fs::copy(record.with_extension("nii.gz"), dir.path("labels").join(name)).unwrap();
    let scored = dir.runner(&["evaluate", "--predictions", "predictions", "--labels", "labels"]).success();
    assert!(stderr_line(&scored).contains("whose training was not finished: stopped"), "{}", stderr_line(&scored));
}

#[test]
fn predictions_are_named_after_the_case_and_names_that_collide_are_a_problem() {
    let dir = TestDir::new();
    let (run, image) = trained(&dir, &["--set", "train.epochs=1"]);
    for case in ["kits/case_1", "kits/case_2"] {
        fs::create_dir_all(dir.path(case)).unwrap();
        fs::copy(&image, dir.path(case).join("imaging.nii.gz")).unwrap();
    }
    fs::copy(&image, dir.path("p_0000.nii.gz")).unwrap();
    dir.runner(&["predict", "--run", &run, "p_0000.nii.gz", "--out", "out"]).success();
    assert!(dir.path("out/p.nii.gz").exists());
    let collide = ["predict", "--run", &run, "kits/case_1/imaging.nii.gz", "kits/case_2/imaging.nii.gz", "--out", "k"];
    let message = stderr_line(&dir.runner(&collide).code(2));
    assert!(message.contains("would both write") && message.contains("--channel 'kits/*/imaging.nii.gz'"), "{message}");
    assert!(!dir.path("k").exists());
    dir.runner(&["predict", "--run", &run, "--channel", "kits/*/imaging.nii.gz", "--out", "k"]).success();
    assert!(dir.path("k/case_1.nii.gz").exists() && dir.path("k/case_2.nii.gz").exists());
}

#[test]
fn a_prediction_says_what_made_it() {
    let dir = TestDir::new();
    let (run, image) = trained(&dir, &[]);
    dir.runner(&["predict", "--run", "runs/tiny/latest", &image, "--out", "out"]).success();
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.path("out/phantom_002.json")).unwrap()).unwrap();
    let made_by = &record["made_by"];
    assert_eq!(made_by["version"], env!("CARGO_PKG_VERSION"));
    assert!(made_by["command"].as_array().unwrap().iter().any(|word| word == "predict"));
    let weights = &made_by["weights"][0];
    let best = Path::new(&run).join("checkpoints/best.safetensors");
    let sha256 = dataset::cache::hash_content(&best).unwrap();
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(Path::new(&run).join("manifest.json")).unwrap()).unwrap();
    assert_eq!((&weights["sha256"], &weights["checkpoint"]), (&sha256.clone().into(), &"best".into()));
    assert_eq!(weights["epoch"], manifest["best_epoch"]);
    // The link is resolved: it may name another run later.
    let id = Path::new(&run).file_name().unwrap().to_str().unwrap();
    assert_eq!(weights["run"], format!("runs/tiny/{id}"));
    let mut header = Vec::new();
    let file = fs::File::open(dir.path("out/phantom_002.nii.gz")).unwrap();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(file), &mut header).unwrap();
    let description = String::from_utf8_lossy(&header[148..228]).into_owned();
    assert!(
        description.starts_with(&format!("runner {} {}", env!("CARGO_PKG_VERSION"), &sha256[..12])),
        "{description}"
    );
    // The predictions of `evaluate` say so too.
    dir.runner(&["evaluate", &run, "--pictures", "0"]).success();
    let record = fs::read_to_string(Path::new(&run).join("predictions/val/phantom_002.json")).unwrap();
    assert!(record.contains(&sha256), "{record}");
}

#[test]
fn what_is_done_is_skipped_and_what_was_corrected_by_hand_is_kept() {
    let dir = TestDir::new();
    let (run, image) = trained(&dir, &[]);
    fs::create_dir(dir.path("scans")).unwrap();
    for name in ["a", "b"] {
        fs::copy(&image, dir.path(&format!("scans/{name}.nii.gz"))).unwrap();
    }
    let predict = ["predict", "--run", &run, "scans", "--out", "out"];
    dir.runner(&predict).success();
    let written = |name: &str| fs::metadata(dir.path("out").join(name)).unwrap().modified().unwrap();
    let before = written("a.nii.gz");
    fs::remove_file(dir.path("out/b.json")).unwrap();
    fs::remove_file(dir.path("out/b.nii.gz")).unwrap();
    let second = stdout(&dir.runner(&predict).success());
    assert!(second.contains("b.nii.gz") && second.contains("1 of 2 cases was done before"), "{second}");
    assert_eq!(written("a.nii.gz"), before);
    // Other weights and other images are not done.
    dir.runner(&[&predict[..], &["--checkpoint", "last", "--probabilities"]].concat()).success();
    assert!(written("a.nii.gz") > before && dir.path("out/a_probabilities.nii.gz").exists());
    // A corrected label map, and one of another tool.
    fs::copy(dir.path("scans/a.nii.gz"), dir.path("out/a.nii.gz")).unwrap();
    let corrected = fs::read(dir.path("out/a.nii.gz")).unwrap();
    let message = stderr_line(&dir.runner(&predict).code(2));
    assert!(message.contains("out/a.nii.gz would be replaced") && message.contains("--overwrite"), "{message}");
    assert!(fs::read(dir.path("out/a.nii.gz")).unwrap() == corrected);
    dir.runner(&[&predict[..], &["--overwrite"]].concat()).success();
    assert!(fs::read(dir.path("out/a.nii.gz")).unwrap() != corrected);
}

#[test]
fn several_processes_share_the_images_of_a_folder() {
    let dir = TestDir::new();
    let (run, image) = trained(&dir, &["--set", "inference.overlap=0.5"]);
    fs::create_dir(dir.path("scans")).unwrap();
    for number in 0..12 {
        fs::copy(&image, dir.path(&format!("scans/{number:02}.nii.gz"))).unwrap();
    }
    let processes: Vec<_> = (0..3)
        .map(|_| {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_runner"));
            command.current_dir(dir.path("")).args(["predict", "--run", &run, "scans", "--out", "out"]);
            command.stdout(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut predicted = Vec::new();
    for process in processes {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        predicted.extend(text.lines().filter_map(|line| Some(line.split_once(".nii.gz: ")?.0.to_owned())));
    }
    predicted.sort();
    let all: Vec<String> = (0..12).map(|number| format!("out/{number:02}")).collect();
    assert_eq!(predicted, all, "each image is predicted once");
}

#[test]
fn a_scan_unlike_the_training_scans_is_predicted_with_a_warning() {
    let dir = TestDir::new();
    let (run, image) = trained(&dir, &[]);
    let fingerprint: serde_json::Value =
        serde_json::from_slice(&fs::read(Path::new(&run).join("fingerprint.json")).unwrap()).unwrap();
    assert_eq!((&fingerprint["subjects"], &fingerprint["channels"][0]["subjects"]), (&2.into(), &2.into()));
    assert_eq!(fingerprint["spacing_mm"]["median"], serde_json::json!([20.0, 20.0, 18.0]));
    let like = dir.runner(&["predict", "--run", &run, &image, "--out", "out"]).success();
    assert!(!stderr(&like).contains("warning"), "{}", stderr(&like));
    let (grid, voxels) = read_image(Path::new(&image)).unwrap();
    let fine = Grid { affine: Affine::scale_and_shift([5.0, 5.0, 18.0], [0.0; 3]), ..grid };
    write_image(&dir.path("fine.nii.gz"), &fine, &voxels).unwrap();
    let mr = Voxels::new(1, grid.shape, voxels.iter().map(|value| (value + 1024.0).max(0.0)).collect());
    write_image(&dir.path("mr.nii.gz"), &grid, &mr).unwrap();
    let unlike = dir.runner(&["predict", "--run", &run, "fine.nii.gz", "mr.nii.gz", "--out", "out"]).success();
    let warnings = stderr_line(&unlike);
    for part in [
        "warning: case fine: its voxels measure 5 x 5 x 18 mm, those of the training scans 20 x 20 x 18 mm",
        "resample: { spacing_mm: [20, 20, 18] }",
        "warning: case mr: its intensities range from",
    ] {
        assert!(warnings.contains(part), "{part} is missing in {warnings}");
    }
    let kinds = |name: &str| {
        let record: serde_json::Value = serde_json::from_slice(&fs::read(dir.path("out").join(name)).unwrap()).unwrap();
        let all = record["unlike_training"].as_array().unwrap().clone();
        all.into_iter().map(|difference| difference["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kinds("phantom_002.json"), Vec::<String>::new());
    assert!(kinds("fine.json").contains(&"spacing".to_owned()) && kinds("mr.json").contains(&"intensities".to_owned()));
    // The scan is resampled to the training spacing, and the label map is on its own grid.
    dir.runner(&["predict", "--run", &run, "fine.nii.gz", "--resample", "--out", "out"]).success();
    assert!(read_label(&dir.path("out/fine.nii.gz")).unwrap().0.matches(&fine, 1e-3));
    // Run folders of earlier versions have no fingerprint.
    fs::remove_file(Path::new(&run).join("fingerprint.json")).unwrap();
    let old = dir.runner(&["predict", "--run", &run, "fine.nii.gz", "--out", "old"]).success();
    assert!(!stderr(&old).contains("warning"), "{}", stderr(&old));
    assert!(fs::read_to_string(dir.path("old/fine.json")).unwrap().contains("\"unlike_training\": null"));
    let message =
        stderr_line(&dir.runner(&["predict", "--run", &run, "fine.nii.gz", "--resample", "--out", "old"]).code(2));
    assert!(message.contains("fingerprint.json"), "{message}");
}
