//! `runner import nnunet`: models that nnU-Net trained predict its label maps, and what cannot be imported is refused by name.
//!
//! `nnunet/make.py` makes the models and label maps with nnU-Net itself.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use volume::io::read_label;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::test_dir::{TestDir, stderr, stderr_line, stdout};

/// Marks voxels whose probabilities are so close to a tie that rounding may decide.
const TIE: u16 = 255;

pub fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/nnunet").join(name)
}

/// Copies a model's folder into the temporary folder.
pub fn copy(dir: &TestDir, model: &str) -> PathBuf {
    let target = dir.path(model);
    fs::create_dir_all(target.join("fold_0")).unwrap();
    for file in ["plans.json", "dataset.json", "fold_0/checkpoint_final.pth"] {
        fs::copy(reference(model).join(file), target.join(file)).unwrap();
    }
    target
}

/// Imports a model and returns its run folders.
pub fn import(dir: &TestDir, path: &Path, more: &[&str]) -> Vec<String> {
    let arguments: Vec<&str> = ["import", "nnunet", path.to_str().unwrap()].iter().chain(more).copied().collect();
    stdout(&dir.runner(&arguments).success()).lines().map(str::to_owned).collect()
}

/// Predicts the image of a model with runs and returns the label map.
pub fn predicted(dir: &TestDir, runs: &[String], model: &str, channels: usize) -> Vec<u16> {
    let images: Vec<String> =
        (0..channels).map(|channel| reference(&format!("{model}_{channel:04}.nii.gz")).display().to_string()).collect();
    let mut arguments = vec!["predict", "--out", "out", "--overwrite", "--quiet"];
    runs.iter().for_each(|run| arguments.extend(["--run", run]));
    if channels == 1 {
        arguments.push(&images[0]);
    } else {
        images.iter().for_each(|image| arguments.extend(["--channel", image]));
    }
    let output = stdout(&dir.runner(&arguments).success());
    let written = output.split(": ").next().unwrap().to_owned();
    read_label(&dir.path(&written)).unwrap().1.to_vec()
}

/// Checks that a label map is nnU-Net's, apart from voxels close to a tie.
fn assert_is_nnunets(label: &[u16], model: &str) {
    let (_, expected) = read_label(&reference(&format!("{model}_expected.nii.gz"))).unwrap();
    assert_eq!(label.len(), expected.len(), "{model}");
    let different =
        label.iter().zip(expected.iter()).filter(|(ours, theirs)| **theirs != TIE && ours != theirs).count();
    let foreground = expected.iter().filter(|label| ![0, TIE].contains(label)).count();
    assert!(foreground > 400, "{model}: the reference has {foreground} voxels of foreground");
    assert_eq!(different, 0, "{model}: voxels with another label than nnU-Net's");
}

#[test]
fn folds_of_an_archive_predict_nnunets_label_map() {
    let dir = TestDir::new();
    let runs = import(&dir, &reference("plain.zip"), &[]);
    assert_eq!(runs, ["runs/Dataset001_Plain_3d_fullres/fold_0", "runs/Dataset001_Plain_3d_fullres/fold_1"]);
    assert_is_nnunets(&predicted(&dir, &runs, "plain", 1), "plain");
}

#[test]
fn resampled_thick_slices_with_regions_predict_nnunets_label_map() {
    let dir = TestDir::new();
    let runs = import(&dir, &reference("residual"), &[]);
    assert_is_nnunets(&predicted(&dir, &runs, "residual", 1), "residual");
    let plan = fs::read_to_string(dir.path(&runs[0]).join("plan.yaml")).unwrap();
    assert!(
        plan.starts_with("# A model of nnU-Net, imported by `runner import nnunet`:\n# Dataset002_Residual,"),
        "{plan}"
    );
    assert!(plan.contains("ignore_label: 3") && plan.contains("orientation: stored"), "{plan}");
}

#[test]
fn two_dimensional_slices_across_any_axis_predict_nnunets_label_map() {
    let dir = TestDir::new();
    let runs = import(&dir, &reference("planar"), &["--name", "slices", "--runs-dir", "others"]);
    assert_eq!(runs, ["others/slices/fold_0"]);
    assert_is_nnunets(&predicted(&dir, &runs, "planar", 2), "planar");
}

const SECOND_STAGE: &str = "cascade/nnUNetTrainer__nnUNetPlans__3d_cascade_fullres";

#[test]
fn both_stages_of_a_cascade_predict_nnunets_label_map() {
    let dir = TestDir::new();
    let runs = import(&dir, &reference(SECOND_STAGE), &[]);
    assert_eq!(runs, ["runs/Dataset007_Cascade_3d_cascade_fullres/fold_0"]);
    for fold in ["fold_0", "fold_1"] {
        assert!(dir.path(&runs[0]).join("previous").join(fold).join("checkpoints/best.safetensors").exists());
    }
    assert_is_nnunets(&predicted(&dir, &runs, "cascade", 1), "cascade");
    let again = import(&dir, &reference(SECOND_STAGE), &[]);
    assert_eq!(again, ["runs/Dataset007_Cascade_3d_cascade_fullres/fold_0 (imported before)"]);
    // The run is scored on data that is named; the folds of the first stage do not say what they were trained on.
    for (folder, ending, file) in
        [("imagesTr", "_0000.nii.gz", "cascade_0000.nii.gz"), ("labelsTr", ".nii.gz", "cascade_expected.nii.gz")]
    {
        fs::create_dir_all(dir.path("raw").join(folder)).unwrap();
        for subject in ["a", "b", "c", "d", "e"] {
            let to = dir.path("raw").join(folder).join(format!("{subject}{ending}"));
            fs::copy(reference(file), to).unwrap();
        }
    }
    fs::copy(reference(SECOND_STAGE).join("dataset.json"), dir.path("raw/dataset.json")).unwrap();
    let arguments = ["evaluate", &runs[0], "--quiet", "--set", "data.source.nnunet.root=raw"];
    assert!(stdout(&dir.runner(&arguments).success()).contains("dice"));
}

#[test]
fn the_first_stage_of_a_cascade_is_beside_the_second_or_named() {
    let dir = TestDir::new();
    let both = import(&dir, &reference("cascade"), &["--model", "3d_cascade_fullres", "--name", "both"]);
    assert_eq!(both, ["runs/both/fold_0"]);
    fs::remove_dir_all(dir.path("runs")).unwrap();
    let alone = copy(&dir, SECOND_STAGE);
    let message = refused(&dir, &alone, 2);
    assert!(message.contains("the model of its first stage, 3d_lowres, is not beside it"), "{message}");
    assert!(message.contains("--previous"), "{message}");
    let named = |model: &Path, previous: &str| {
        let previous = reference(previous);
        dir.runner(&["import", "nnunet", model.to_str().unwrap(), "--previous", previous.to_str().unwrap()])
    };
    let message = stderr_line(&named(&alone, "plain.zip").code(2));
    assert!(message.contains("is a model of 3d_fullres, expected 3d_lowres"), "{message}");
    let message = stderr_line(&named(&reference("residual"), "cascade").code(2));
    assert!(message.contains("has no previous stage, but --previous was given"), "{message}");
    assert!(!dir.path("runs").exists());
    // In a folder that has other models too.
    named(&alone, "cascade").success();
    assert!(dir.path("runs/Dataset007_Cascade_3d_cascade_fullres/fold_0/previous/fold_1").exists());
}

#[test]
fn a_run_folder_states_where_it_comes_from_and_a_second_import_changes_nothing() {
    let dir = TestDir::new();
    let runs = import(&dir, &reference("plain.zip"), &["--folds", "1"]);
    let manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(dir.path(&runs[0]).join("manifest.json")).unwrap()).unwrap();
    let imported = &manifest["imported"];
    assert_eq!((&manifest["status"], &manifest["best_epoch"]), (&"done".into(), &7.into()));
    assert_eq!((&imported["trainer"], &imported["fold"]), (&"nnUNetTrainer".into(), &"1".into()));
    assert!(
        imported["file"]
            .as_str()
            .unwrap()
            .ends_with("plain.zip/Dataset001_Plain/nnUNetTrainer__nnUNetPlans__3d_fullres/fold_1/checkpoint_final.pth")
    );
    let before = fs::read(dir.path(&runs[0]).join("manifest.json")).unwrap();
    let again = import(&dir, &reference("plain.zip"), &[]);
    assert_eq!(again[1], "runs/Dataset001_Plain_3d_fullres/fold_1 (imported before)");
    assert_eq!(fs::read(dir.path(&runs[0]).join("manifest.json")).unwrap(), before);
    // Another model of the same name.
    let other = reference("planar");
    let refused = dir.runner(&["import", "nnunet", other.to_str().unwrap(), "--name", "Dataset001_Plain_3d_fullres"]);
    let message = stderr_line(&refused.code(2));
    assert!(message.contains("fold_0 exists already and is another run"), "{message}");
    let left: Vec<_> = fs::read_dir(dir.path("runs")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["Dataset001_Plain_3d_fullres"]);
}

#[test]
fn an_imported_run_is_scored_on_data_that_is_named() {
    let dir = TestDir::new();
    let runs = import(&dir, &reference("plain.zip"), &["--folds", "0"]);
    // Five subjects, so that each of nnU-Net's folds has one.
    for (folder, file) in [("imagesTr", "plain_0000.nii.gz"), ("labelsTr", "plain_expected.nii.gz")] {
        fs::create_dir_all(dir.path("raw").join(folder)).unwrap();
        for subject in ["a", "b", "c", "d", "e"] {
            let ending = if folder == "imagesTr" { "_0000.nii.gz" } else { ".nii.gz" };
            fs::copy(reference(file), dir.path("raw").join(folder).join(format!("{subject}{ending}"))).unwrap();
        }
    }
    let labels = r#"{ "background": 0, "left ball": 1, "right ball": 2 }"#;
    let json = format!(
        r#"{{ "channel_names": {{ "0": "MRI" }}, "labels": {labels}, "numTraining": 5, "file_ending": ".nii.gz" }}"#
    );
    dir.write("raw/dataset.json", &json);
    let set = ["--set", "data.source.nnunet.root=raw"];
    let scored = dir.runner(&[&["evaluate", runs[0].as_str(), "--quiet"][..], &set].concat()).success();
    assert!(stdout(&scored).contains("dice"), "{}", stdout(&scored));
    let note = "note: the subjects of fold 0 are assumed to be those of nnU-Net's default split";
    assert!(stderr_line(&scored).contains(note), "{}", stderr_line(&scored));
    let refused = stderr_line(&dir.runner(&["evaluate", &runs[0], "--quiet"]).code(2));
    assert!(refused.contains("data/Dataset001_Plain"), "{refused}");
}

#[test]
fn an_imported_run_is_named_as_such_where_it_has_no_history() {
    let dir = TestDir::new();
    let runs = import(&dir, &reference("plain.zip"), &["--folds", "0"]);
    let report = stdout(&dir.runner(&["report", "runs"]).success());
    assert!(report.contains("imported, not trained here"), "{report}");
    let image = reference("plain_0000.nii.gz").display().to_string();
    let last = ["predict", "--run", &runs[0], "--checkpoint", "last", &image, "--out", "out"];
    let message = stderr_line(&dir.runner(&last).code(2));
    assert!(message.contains("leave out --checkpoint last"), "{message}");
}

#[test]
fn an_imported_run_is_not_trained_further() {
    let dir = TestDir::new();
    let runs = import(&dir, &reference("plain.zip"), &["--folds", "0"]);
    for command in [&["run", "--resume", &runs[0], "--set", "train.epochs=9"][..], &["reproduce", &runs[0]]] {
        let message = stderr_line(&dir.runner(command).code(2));
        assert!(message.contains("was imported from nnU-Net"), "{message}");
        assert!(message.contains("start a new run with `train.initial_weights: runs/"), "{message}");
    }
}

/// Replaces the pickle of a checkpoint.
fn with_pickle(checkpoint: &Path, pickle: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let mut archive = ZipArchive::new(Cursor::new(fs::read(checkpoint).unwrap())).unwrap();
    let mut written = ZipWriter::new(fs::File::create(checkpoint).unwrap());
    let mut pickle = Some(pickle);
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).unwrap();
        let (name, mut bytes) = (member.name().unwrap().into_owned(), Vec::new());
        member.read_to_end(&mut bytes).unwrap();
        if name.ends_with("/data.pkl") {
            bytes = (pickle.take().unwrap())(bytes);
        }
        written.start_file(name, SimpleFileOptions::default().compression_method(CompressionMethod::Stored)).unwrap();
        written.write_all(&bytes).unwrap();
    }
    written.finish().unwrap();
}

/// Tries to import a model and returns the message; nothing may be written.
fn refused(dir: &TestDir, model: &Path, code: i32) -> String {
    let message = stderr_line(&dir.runner(&["import", "nnunet", model.to_str().unwrap()]).code(code));
    assert!(!dir.path("runs").exists(), "{message}");
    message
}

#[test]
fn a_checkpoint_that_calls_a_function_is_refused_by_its_name_and_executes_nothing() {
    let dir = TestDir::new();
    let model = copy(&dir, "planar");
    let marker = dir.path("executed");
    // The call is the first thing that loading would execute; its result is thrown away.
    let command = format!("touch {}", marker.display());
    let call = [&b"cposix\nsystem\n(X"[..], &(command.len() as u32).to_le_bytes(), command.as_bytes(), b"tR0"].concat();
    with_pickle(&model.join("fold_0/checkpoint_final.pth"), |pickle| [&pickle[..2], &call, &pickle[2..]].concat());
    let message = refused(&dir, &model, 2);
    assert!(message.contains("asks to call `posix.system`") && message.contains("nothing was executed"), "{message}");
    assert!(!marker.exists());
}

#[test]
fn a_damaged_checkpoint_is_an_error_that_names_it() {
    let dir = TestDir::new();
    let model = copy(&dir, "planar");
    let checkpoint = model.join("fold_0/checkpoint_final.pth");
    let whole = fs::read(&checkpoint).unwrap();
    for length in [0, 3, 1000, whole.len() / 2, whole.len() - 1] {
        fs::write(&checkpoint, &whole[..length]).unwrap();
        let result = dir.runner(&["import", "nnunet", model.to_str().unwrap()]).failure();
        let message = stderr(&result);
        assert!([Some(2), Some(3)].contains(&result.get_output().status.code()), "{length} bytes: {message}");
        assert!(message.contains("checkpoint_final.pth"), "{length} bytes: {message}");
        assert!(!dir.path("runs").exists());
    }
    // Bytes of weights: the archive has a checksum of every tensor.
    let mut flipped = whole.clone();
    flipped[whole.len() / 2..][..500].iter_mut().for_each(|byte| *byte ^= 0x10);
    fs::write(&checkpoint, &flipped).unwrap();
    assert!(refused(&dir, &model, 3).contains("cannot be used"));
}

#[test]
fn what_a_model_needs_and_ours_lacks_is_refused_by_name() {
    let dir = TestDir::new();
    let model = copy(&dir, "residual");
    let plans = fs::read_to_string(model.join("plans.json")).unwrap();
    for (old, new, expected) in [
        (
            "unet.ResidualEncoderUNet",
            "primus.Primus",
            "the network is dynamic_network_architectures.architectures.primus.Primus",
        ),
        ("CTNormalization", "MyNormalization", "the normalization is MyNormalization"),
        ("\"DefaultPreprocessor\"", "\"MyPreprocessor\"", "the preprocessor is MyPreprocessor"),
        ("SimpleITKIO", "NaturalImage2DIO", "images are read by NaturalImage2DIO"),
        ("\"LabelManager\"", "\"MyManager\"", "the label manager is MyManager"),
        ("\"torch.nn.LeakyReLU\"", "\"torch.nn.SiLU\"", "torch.nn.SiLU"),
    ] {
        assert!(plans.contains(old), "{old}");
        fs::write(model.join("plans.json"), plans.replace(old, new)).unwrap();
        let message = refused(&dir, &model, 2);
        assert!(message.contains(expected), "{message}");
    }
    // Another network than the plans state.
    let widths: String = plans.split_whitespace().collect::<Vec<_>>().join(" ");
    let changed = widths.replace("\"features_per_stage\": [ 4, 8, 8 ]", "\"features_per_stage\": [ 4, 8, 9 ]");
    assert_ne!(changed, widths);
    fs::write(model.join("plans.json"), changed).unwrap();
    let message = refused(&dir, &model, 2);
    assert!(message.contains("nnUNetTrainer has another network than plans.json states"), "{message}");
}

#[test]
fn several_models_are_listed_and_a_missing_fold_is_named() {
    let dir = TestDir::new();
    for model in ["planar", "residual"] {
        copy(&dir, model);
    }
    let folder = dir.path("");
    let message = refused(&dir, &folder, 2);
    assert!(message.contains("several models: planar residual") && message.contains("--model"), "{message}");
    let folder = folder.to_str().unwrap();
    let message =
        stderr_line(&dir.runner(&["import", "nnunet", folder, "--model", "planar", "--folds", "0,3"]).code(2));
    assert!(message.contains("has no checkpoint_final.pth of fold 3, but of 0"), "{message}");
    let message =
        stderr_line(&dir.runner(&["import", "nnunet", folder, "--model", "planar", "--checkpoint", "best"]).code(2));
    assert!(message.contains("has checkpoint_best.pth"), "{message}");
    let message = stderr_line(&dir.runner(&["import", "nnunet", folder, "--model", "3d_lowres"]).code(2));
    assert!(message.contains("contains no model 3d_lowres; its models are: planar residual"), "{message}");
    assert_eq!(import(&dir, Path::new(folder), &["--model", "planar"]), ["runs/Dataset003_Planar_2d/fold_0"]);
}
