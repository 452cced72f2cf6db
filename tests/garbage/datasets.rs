//! Corrupt lists of subjects and splits.

use std::fs;
use std::path::Path;

use dataset::sources::{Listing, MsdSource, Source, TableSource, list};
use dataset::split::{Split, SplitFile, parts};
use dataset::subject::Subject;
use proptest::prelude::*;
use random::Seed;

use super::mutate::{changed, changes};

const DATASET: &str = r#"{"labels": {"0": "background", "1": "liver"}, "channel_names": {"0": "CT"}, "file_ending": ".nii.gz",
"training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}]}"#;
const TABLE: &str = "subject,image,image_2,label\na,a.nii,b.nii,c.nii\nb,b.nii,a.nii,c.nii\n";
const SPLIT: &str = r#"{"train": ["a", "b"], "val": ["c"], "test": []}"#;

/// Returns a folder with the files that the lists name.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["imagesTr", "labelsTr"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("a.nii.gz"), "").unwrap();
    }
    for name in ["a.nii", "b.nii", "c.nii"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    folder
}

fn list_dataset(folder: &Path, json: &[u8]) -> Result<Vec<String>, String> {
    fs::write(folder.join("dataset.json"), json).unwrap();
    names(&Source::Msd(MsdSource { root: folder.to_owned() }))
}

fn list_table(folder: &Path, csv: &[u8]) -> Result<Vec<String>, String> {
    let file = folder.join("table.csv");
    fs::write(&file, csv).unwrap();
    names(&Source::Table(TableSource { file }))
}

fn names(source: &Source) -> Result<Vec<String>, String> {
    let listing = list(source, Path::new("cache")).map_err(|error| error.to_string())?;
    if let Some(incomplete) = listing.incomplete.first() {
        return Err(incomplete.reason.clone());
    }
    Ok(listing.subjects.into_iter().map(|subject| subject.name).collect())
}

fn read_split(folder: &Path, json: &[u8]) -> Result<usize, String> {
    let file = folder.join("split.json");
    fs::write(&file, json).unwrap();
    let subject = |name: &str| Subject { name: name.to_owned(), images: Vec::new(), label: None };
    let listing = Listing { subjects: ["a", "b", "c"].map(subject).to_vec(), ..Listing::default() };
    parts(&Split::File(SplitFile { path: file, index: None }), Seed(1), &listing)
        .map(|parts| parts.train.len())
        .map_err(|error| error.to_string())
}

#[test]
fn valid_lists_are_read() {
    let folder = folder();
    assert_eq!(list_dataset(folder.path(), DATASET.as_bytes()).unwrap(), ["a"]);
    assert_eq!(list_table(folder.path(), TABLE.as_bytes()).unwrap(), ["a", "b"]);
    assert_eq!(read_split(folder.path(), SPLIT.as_bytes()).unwrap(), 2);
}

#[test]
fn a_subject_name_that_is_a_path_is_rejected() {
    let folder = folder();
    for name in ["../a", "/a", "..", "a/b", "a\\b", ".a", "a\u{7}b", &"x".repeat(300)] {
        let table = format!("subject,image,label\n\"{name}\",a.nii,c.nii\n");
        let error = list_table(folder.path(), table.as_bytes()).unwrap_err();
        assert!(error.contains("a name must not be empty"), "{name}: {error}");
        let split = serde_json::json!({ "train": ["a", "b"], "val": [name] }).to_string();
        let error = read_split(folder.path(), split.as_bytes()).unwrap_err();
        assert!(error.contains("no such subjects"), "{name}: {error}");
    }
    // The name is that of the file, without the folders of its path.
    let json = DATASET.replace("./imagesTr/a", "./imagesTr/../imagesTr/a");
    assert_eq!(list_dataset(folder.path(), json.as_bytes()).unwrap(), ["a"]);
    for image in ["", "..", "imagesTr/.."] {
        let error = list_dataset(folder.path(), DATASET.replace("./imagesTr/a.nii.gz", image).as_bytes()).unwrap_err();
        assert!(error.contains("does not exist") || error.contains("a name must not be empty"), "{error}");
    }
}

#[test]
fn a_dataset_without_channels_is_an_error() {
    let folder = folder();
    let json = r#"{"labels": {"background": 0, "liver": 1}, "channel_names": {}}"#;
    let error = list_dataset(folder.path(), json.as_bytes()).unwrap_err();
    assert!(error.ends_with("dataset.json: channel_names: expected at least one channel, got none"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lists_with_changes_cause_no_panic(changes in changes()) {
        let folder = folder();
        let _ = list_dataset(folder.path(), &changed(DATASET.as_bytes(), usize::MAX, &changes));
        let _ = list_table(folder.path(), &changed(TABLE.as_bytes(), usize::MAX, &changes));
        let _ = read_split(folder.path(), &changed(SPLIT.as_bytes(), usize::MAX, &changes));
    }
}
