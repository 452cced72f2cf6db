//! Places for results and files of other kinds than expected: refused before anything is computed.

use std::fs;

use crate::test_dir::{TestDir, stderr_line};
use volume::io::{write_image, write_label};
use volume::{Affine, Grid, Voxels};

/// A folder with an image, two folders of label maps, an empty folder and a file.
fn dir() -> TestDir {
    let dir = TestDir::new();
    let grid = Grid { shape: [8, 8, 8], affine: Affine::IDENTITY };
    for folder in ["labels", "predictions", "empty"] {
        fs::create_dir(dir.path(folder)).unwrap();
    }
    write_image(&dir.path("scan.nii.gz"), &grid, &Voxels::new(1, grid.shape, vec![1.0; 512])).unwrap();
    for folder in ["labels", "predictions"] {
        let label = Voxels::new(1, grid.shape, vec![1; 512]);
        write_label(&dir.path(folder).join("a.nii.gz"), &grid, &label).unwrap();
    }
    dir.write("file", "");
    dir
}

#[test]
fn a_folder_in_place_of_a_file_and_a_file_in_place_of_a_folder_are_refused_first() {
    let dir = dir();
    let evaluate = ["evaluate", "--predictions", "predictions", "--labels", "labels", "--out"];
    // The runs, models and subjects of these commands do not exist: the place is checked before they are read.
    for (arguments, message) in [
        (&[&evaluate[..], &["empty"]].concat()[..], "empty is a folder"),
        (&[&evaluate[..], &["new/"]].concat(), "new/ ends like a folder"),
        (&[&evaluate[..], &["file/scores.csv"]].concat(), "file is a file"),
        (&["select", "nowhere", "--out", "empty"], "empty is a folder"),
        (&["report", "nowhere", "--out", "file"], "file is a file"),
        (&["compare", "predictions", "labels", "--labels", "nowhere", "--out", "file"], "file is a file"),
        (&["predict", "--run", "nowhere", "scan.nii.gz", "--out", "file"], "file is a file"),
        (&["view", "scan.nii.gz", "--out", "file/a.png"], "file is a file"),
        (&["transform", "tiny.yaml", "nowhere.nii.gz", "--out", "file"], "file is a file"),
        (&["patches", "tiny.yaml", "--out", "file"], "file is a file"),
        (&["phantom", "file"], "file is a file"),
        (&["plan", "tiny.yaml", "--out", "file"], "file is a file"),
        (&["export", "onnx", "nowhere", "--out", "file"], "file is a file"),
        (&["export", "nnunet", "nowhere", "--out", "file"], "file is a file"),
        (&["import", "nnunet", "nowhere", "--runs-dir", "file"], "file is a file"),
        (&["run", "tiny.yaml", "--runs-dir", "file"], "file is a file"),
        (&["sweep", "tiny.yaml", "--grid", "seed=1,2", "--runs-dir", "file"], "file is a file"),
    ] {
        let text = stderr_line(&dir.runner(arguments).code(2));
        assert!(text.contains(message), "{arguments:?}: {text}");
    }
    assert!(!dir.path("cache").exists() && !dir.path("new").exists(), "something was computed");
}

#[cfg(target_os = "linux")]
#[test]
fn a_place_where_nothing_can_be_written_is_a_failure_before_anything_is_computed() {
    let dir = dir();
    for arguments in [
        &["evaluate", "--predictions", "predictions", "--labels", "labels", "--out", "/proc/scores.csv"][..],
        &["select", "nowhere", "--out", "/proc/selection.yaml"],
        &["compare", "predictions", "nowhere", "--labels", "labels", "--out", "/proc/comparison"],
        &["predict", "--run", "nowhere", "scan.nii.gz", "--out", "/proc/predictions"],
    ] {
        let text = stderr_line(&dir.runner(arguments).code(3));
        assert!(text.contains("cannot write into /proc"), "{arguments:?}: {text}");
    }
}

#[test]
fn a_folder_in_place_of_an_input_file_is_a_problem() {
    let dir = dir();
    for arguments in [
        &["view", "empty", "--out", "a.png"][..],
        &["view", "scan.nii.gz", "--label", "empty", "--out", "a.png"],
        &["transform", "tiny.yaml", "empty", "--out", "out"],
        &["transform", "empty", "scan.nii.gz", "--out", "out"],
        &["transform", "tiny.yaml", "absent.nii.gz", "--out", "out"],
        &["check", "empty"],
        &["run", "empty"],
        &["sweep", "empty", "--grid", "seed=1,2"],
        &["patches", "empty"],
        &["parity", "empty", "--devices", "flex,flex"],
        &["predict", "--run", "empty", "scan.nii.gz", "--out", "out"],
        &["predict", "--selection", "empty", "scan.nii.gz", "--out", "out"],
        &["predict", "--run", "empty", "--table", "empty", "--out", "out"],
        &["evaluate", "empty"],
        &["evaluate", "file"],
        &["export", "nnunet", "file", "--out", "out"],
        &["evaluate", "--predictions", "predictions", "--labels", "labels", "--metrics", "empty"],
        &["evaluate", "--predictions", "file", "--labels", "labels"],
        &["compare", "predictions", "file", "--labels", "labels"],
        &["report", "file"],
        &["select", "file"],
        &["reproduce", "empty"],
        &["export", "onnx", "empty", "--out", "out"],
        &["plan", "tiny.yaml", "--fingerprint", "empty", "--out", "out"],
        &["import", "nnunet", "empty"],
    ] {
        let text = stderr_line(&dir.runner(arguments).code(2));
        let named = ["empty", "file", "absent.nii.gz"].iter().any(|name| text.contains(name));
        assert!(named && !text.contains("panicked"), "{arguments:?}: {text}");
    }
    assert!(!dir.path("a.png").exists() && !dir.path("out").exists());
}

#[test]
fn images_of_other_formats_are_refused_with_their_conversion() {
    let dir = dir();
    dir.write("scan.nrrd", "NRRD0004");
    fs::create_dir_all(dir.path("series")).unwrap();
    dir.write("series/0001.dcm", "DICM");
    for (arguments, parts) in [
        (&["view", "scan.nrrd", "--out", "a.png"][..], ["scan.nrrd: NRRD cannot be read", "SimpleITK"]),
        (&["view", "series", "--out", "a.png"], ["series is a folder", "dcm2niix"]),
        (&["transform", "tiny.yaml", "scan.nrrd", "--out", "out"], ["scan.nrrd: NRRD cannot be read", "SimpleITK"]),
        (&["evaluate", "--predictions", "series", "--labels", "labels"], ["0001.dcm is DICOM", "dcm2niix"]),
        (
            &[
                "check",
                "tiny.yaml",
                "--set",
                "data.source={folders: {images: series/*.nii.gz, labels: labels/*.nii.gz}}",
            ],
            ["0001.dcm is DICOM", "dcm2niix"],
        ),
    ] {
        let text = stderr_line(&dir.runner(arguments).code(2));
        assert!(parts.iter().all(|part| text.contains(part)), "{arguments:?}: {text}");
    }
}

#[test]
fn numbers_out_of_range_say_what_is_expected() {
    let dir = dir();
    for (arguments, expected) in [
        (&["sweep", "tiny.yaml", "--grid", "seed=1,2", "--jobs", "0"][..], "a whole number of at least 1"),
        (&["patches", "tiny.yaml", "--count", "0"], "a whole number of at least 1"),
        (&["patches", "tiny.yaml", "--epoch", "first"], "a whole number of at least 1"),
        (&["transform", "tiny.yaml", "scan.nii.gz", "--out", "out", "--epoch", "0"], "a whole number of at least 1"),
        (&["phantom", "data", "--subjects", "0"], "a whole number of at least 1"),
        (&["reproduce", "run", "--steps", "0"], "a whole number of at least 1"),
        (&["reproduce", "run", "--tolerance=-1"], "a number of at least 0"),
        (&["plan", "tiny.yaml", "--memory-gb", "0"], "a number above 0"),
        (&["evaluate", "run", "--pictures", "some"], "a whole number of at least 0"),
    ] {
        let text = stderr_line(&dir.runner(arguments).code(2));
        assert!(text.contains(&format!("expected {expected}")), "{arguments:?}: {text}");
    }
}
