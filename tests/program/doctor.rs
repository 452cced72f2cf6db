//! `runner check --data` on valid datasets and on datasets with each kind of fault.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use volume::io;
use volume::{Affine, Grid, Label, Voxels};

use super::test_dir::{TestDir, stderr, stdout};

/// Training subjects are `phantom_000` to `phantom_011`, validation subjects `phantom_012` to `phantom_015`.
const TRAIN: &str = "data.split.first=12";
const SOURCE: &str = "data.source={msd: {root: data}}";
const CHECK: [&str; 7] = ["check", "tiny.yaml", "--data", "--set", SOURCE, "--set", TRAIN];

/// Returns a folder with the files of sixteen phantoms.
fn dir() -> TestDir {
    let dir = TestDir::new();
    let shape = ["--shape", "24,24,20", "--spacing", "13,13,14"];
    let arguments = ["phantom", "data", "--subjects", "16"];
    dir.runner(&[&arguments[..], &shape].concat()).success();
    dir
}

/// The files of a subject.
struct Files<'a>(&'a TestDir, usize);

impl Files<'_> {
    fn image(&self) -> PathBuf {
        self.0.path(&format!("data/imagesTr/phantom_{:03}.nii.gz", self.1))
    }

    fn label(&self) -> PathBuf {
        self.0.path(&format!("data/labelsTr/phantom_{:03}.nii.gz", self.1))
    }

    /// Changes the image.
    fn change_image(&self, change: impl FnOnce(&mut Grid, &mut Vec<f32>)) {
        let (mut grid, voxels) = io::read_image(&self.image()).unwrap();
        let mut values = voxels.to_vec();
        change(&mut grid, &mut values);
        io::write_image(&self.image(), &grid, &Voxels::new(1, grid.shape, values)).unwrap();
    }

    /// Changes the label map.
    fn change_label(&self, change: impl FnOnce(&mut Grid, &mut Vec<Label>)) {
        let (mut grid, voxels) = io::read_label(&self.label()).unwrap();
        let mut values = voxels.to_vec();
        change(&mut grid, &mut values);
        io::write_label(&self.label(), &grid, &Voxels::new(1, grid.shape, values)).unwrap();
    }
}

fn unpacked(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

fn pack(path: &Path, bytes: &[u8], level: u32) {
    let mut file = GzEncoder::new(File::create(path).unwrap(), Compression::new(level));
    file.write_all(bytes).unwrap();
    file.finish().unwrap();
}

fn truncate(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

/// Returns the faults and notes in the output of a command.
fn findings(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with("fault: ") || line.starts_with("note: ")).collect()
}

/// Asserts that for each pair of a start and a part exactly one finding has both, and that there are no other findings.
#[track_caller]
fn assert_findings(text: &str, expected: &[(&str, &str)]) {
    let findings = findings(text);
    for (start, part) in expected {
        let count = findings.iter().filter(|line| line.starts_with(start) && line.contains(part)).count();
        assert_eq!(count, 1, "{start} ... {part}\n{text}");
    }
    assert_eq!(findings.len(), expected.len(), "{text}");
}

#[test]
fn phantoms_have_no_faults_as_files_or_unwritten() {
    let dir = dir();
    let text = stdout(&dir.runner(&CHECK).success());
    assert!(text.ends_with("data              16 subjects read, 0 faults, 0 notes\n"), "{text}");
    let unwritten = ["check", "experiment.yaml", "--data"];
    dir.write("experiment.yaml", include_str!("../../experiments/quickstart.yaml"));
    let text = stdout(&dir.runner(&unwritten).success());
    assert!(text.ends_with("data              24 subjects read, 0 faults, 0 notes\n"), "{text}");
    assert!(!dir.path("cache").exists(), "checking phantoms does not write them");
}

#[test]
fn real_data_has_no_faults() {
    for (name, subjects) in [("Task04_Hippocampus", 200), ("STS_CT", 12)] {
        let root = Path::new("../shared/data").join(name);
        if !root.exists() {
            eprintln!("skipped: no {}", root.display());
            continue;
        }
        let dir = TestDir::new();
        let source = format!("data.source={{msd: {{root: {}}}}}", fs::canonicalize(root).unwrap().display());
        let set = ["--set", &source, "--set", "data.split={fold: {index: 0, count: 4}}"];
        let text = stdout(&dir.runner(&[&["check", "tiny.yaml", "--data"][..], &set].concat()).success());
        assert!(text.ends_with(&format!("{subjects} subjects read, 0 faults, 0 notes\n")), "{text}");
    }
}

#[test]
fn every_fault_is_reported_once() {
    let dir = dir();
    let files = |index| Files(&dir, index);
    truncate(&files(0).image());
    files(1).change_image(|_, values| {
        values[3 * 480 + 2 * 20 + 1] = f32::NAN;
        values[5 * 480] = f32::INFINITY;
    });
    files(2).change_label(|grid, _| grid.affine.0[2][3] += 12.5);
    files(3).change_label(|_, values| values[..3].copy_from_slice(&[7, 7, 9]));
    // The same voxels, with another compression level, another header and another label map.
    let mut copy = unpacked(&files(4).image());
    copy[148..158].copy_from_slice(b"other text");
    pack(&files(12).image(), &copy, 1);
    files(5).change_image(|grid, _| grid.affine = Affine::scale_and_shift([1.0; 3], grid.affine.origin()));
    files(5).change_label(|grid, _| grid.affine = Affine::scale_and_shift([1.0; 3], grid.affine.origin()));
    files(6).change_image(|_, values| values.iter_mut().for_each(|value| *value = value.max(-1024.0) + 1024.0));
    for index in 12..16 {
        files(index).change_label(|_, values| values.iter_mut().for_each(|label| *label = (*label).min(1)));
    }
    files(7).change_label(|_, values| values.fill(0));
    files(8).change_image(|_, values| values.fill(40.0));
    let text = stdout(&dir.runner(&CHECK).code(1));
    assert_findings(
        &text,
        &[
            ("fault: phantom_000: image data/imagesTr/phantom_000.nii.gz: ", "truncated"),
            (
                "fault: phantom_001: image data/imagesTr/phantom_001.nii.gz: ",
                "1 voxel is not a number and 1 voxel is infinite, the first at [3, 2, 1]",
            ),
            ("fault: phantom_002: label map data/labelsTr/phantom_002.nii.gz: ", "up to 12.5 mm"),
            (
                "fault: phantom_003: label map data/labelsTr/phantom_003.nii.gz: ",
                "7 (2 voxels), 9 (1 voxel) are not declared",
            ),
            ("note: phantom_005: its spacing is 1 x 1 x 1 mm, as in 1 of 15 subjects", "13 x 13 x 14 mm"),
            ("note: phantom_006: its smallest intensity is ", "stored without its offset"),
            ("note: phantom_007: its label map is empty", ""),
            ("fault: phantom_008: image data/imagesTr/phantom_008.nii.gz: every voxel is 40", ""),
            ("fault: phantom_004 (train) and phantom_012 (val) have the same image, with different label maps", "leak"),
            ("note: label 2 tumour: it does not occur in any validation subject", "undefined"),
        ],
    );
    assert!(text.ends_with("data              16 subjects read, 6 faults, 4 notes\n"), "{text}");
    // The order does not depend on the number of threads.
    let single_threaded = dir.command(&CHECK).env("RAYON_NUM_THREADS", "1").assert().code(1);
    assert_eq!(stdout(&single_threaded), text);
}

#[test]
fn files_that_make_a_plan_impossible_do_not_hide_the_others() {
    let dir = dir();
    fs::write(Files(&dir, 0).image(), b"no image").unwrap();
    fs::write(Files(&dir, 1).label(), b"no label map").unwrap();
    truncate(&Files(&dir, 2).label());
    Files(&dir, 3).change_label(|grid, values| {
        grid.shape[2] -= 1;
        values.truncate(grid.num_voxels());
    });
    let rejected = dir.runner(&["check", "tiny.yaml", "--set", SOURCE, "--set", TRAIN]).code(2);
    assert!(stderr(&rejected).contains("phantom_000"));
    let result = dir.runner(&CHECK).code(1);
    assert_findings(
        &stdout(&result),
        &[
            ("fault: phantom_000: image data/imagesTr/phantom_000.nii.gz: ", ""),
            ("fault: phantom_001: label map data/labelsTr/phantom_001.nii.gz: ", ""),
            ("fault: phantom_002: label map data/labelsTr/phantom_002.nii.gz: ", "truncated"),
            ("fault: phantom_003: label map ", "24 x 24 x 19 voxels, but the image has 24 x 24 x 20"),
        ],
    );
    assert_eq!(stderr(&result), "");
}

#[test]
fn problems_of_the_experiment_are_reported_after_the_findings() {
    let dir = dir();
    truncate(&Files(&dir, 2).label());
    Files(&dir, 3).change_image(|grid, _| grid.affine = Affine::scale_and_shift([-13.0, 13.0, 14.0], [0.0; 3]));
    Files(&dir, 3).change_label(|grid, _| grid.affine = Affine::scale_and_shift([-13.0, 13.0, 14.0], [0.0; 3]));
    let strict = ["--set", "data.orientation=require_RAS"];
    let result = dir.runner(&[&CHECK[..], &strict].concat()).code(2);
    assert_findings(&stdout(&result), &[("fault: phantom_002: label map ", "truncated")]);
    assert!(stderr(&result).contains("phantom_003 (LAS)"), "{}", stderr(&result));
}

#[test]
fn non_integer_labels_are_counted() {
    let dir = dir();
    let (grid, label) = io::read_label(&Files(&dir, 2).label()).unwrap();
    let mut values: Vec<f32> = label.iter().map(|label| f32::from(*label)).collect();
    values[7] = 0.5;
    values[9] = -1.0;
    io::write_image(&Files(&dir, 2).label(), &grid, &Voxels::new(1, grid.shape, values)).unwrap();
    let text = stdout(&dir.runner(&CHECK).code(1));
    assert_findings(&text, &[("fault: phantom_002: label map ", "2 of 11520 voxels are not whole numbers")]);
    assert!(text.contains("such as 0.5 at [0, 0, 7]"), "{text}");
}

#[test]
fn a_header_that_contradicts_itself_is_a_note() {
    let dir = dir();
    // pixdim[1] is a little-endian float at byte 80; the code of the qform is at byte 252, that of the sform at 254.
    let mut image = unpacked(&Files(&dir, 1).image());
    image[80..84].copy_from_slice(&(-13.0f32).to_le_bytes());
    pack(&Files(&dir, 1).image(), &image, 6);
    let mut image = unpacked(&Files(&dir, 2).image());
    image[252..254].copy_from_slice(&1i16.to_le_bytes());
    image[254..256].copy_from_slice(&1i16.to_le_bytes());
    // The translation of the qform along x.
    image[268..272].copy_from_slice(&500.0f32.to_le_bytes());
    pack(&Files(&dir, 2).image(), &image, 6);
    let text = stdout(&dir.runner(&CHECK).success());
    assert_findings(
        &text,
        &[
            ("note: phantom_001: image ", "its pixdim is [-13.0, 13.0, 14.0]"),
            ("note: phantom_002: image ", "sform (RAS, 13 x 13 x 14 mm) and qform"),
        ],
    );
}

#[test]
fn a_weight_map_with_a_negative_weight_is_a_fault() {
    let dir = dir();
    fs::create_dir(dir.path("weights")).unwrap();
    for index in 0..16 {
        let (grid, _) = io::read_label(&Files(&dir, index).label()).unwrap();
        let mut values = vec![1.0; grid.num_voxels()];
        if index == 3 {
            values[5] = -1.0;
        }
        let path = dir.path(&format!("weights/phantom_{index:03}.nii.gz"));
        io::write_image(&path, &grid, &Voxels::new(1, grid.shape, values)).unwrap();
    }
    let sampler = "sampler={weighted: {patch: [8, 8, 8], map: \"weights/{subject}.nii.gz\"}}";
    let text = stdout(&dir.runner(&[&CHECK[..], &["--set", sampler]].concat()).code(1));
    assert_findings(&text, &[("fault: phantom_003: weight map ", "voxel [0, 0, 5] has the weight -1")]);
}

#[test]
fn many_findings_of_one_kind_are_shortened() {
    let dir = dir();
    for index in 0..16 {
        Files(&dir, index).change_label(|_, values| values[0] = 7);
    }
    let text = stdout(&dir.runner(&CHECK).code(1));
    assert_findings(&text, &[("fault: 16 label maps with labels that data.labels does not declare", "")]);
    assert!(
        text.contains("\n  phantom_002: label map data/labelsTr/phantom_002.nii.gz: label values 7 (1 voxel)"),
        "{text}"
    );
    assert!(text.contains("\n  and 13 more: phantom_003, phantom_004, "), "{text}");
}

#[test]
fn problems_of_many_files_are_one_problem() {
    let dir = dir();
    (0..16).for_each(|index| fs::write(Files(&dir, index).image(), b"no image").unwrap());
    let text = stderr(&dir.runner(&["check", "tiny.yaml", "--set", SOURCE, "--set", TRAIN]).code(3));
    assert!(text.contains("16 files cannot be read:") && text.contains("and 11 more"), "{text}");
    assert_eq!(text.matches("help:").count(), 1, "{text}");
}
