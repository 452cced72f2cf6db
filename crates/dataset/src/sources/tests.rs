use super::*;
use crate::phantom::PhantomSource;

fn touch(root: &Path, files: &[&str]) {
    for file in files {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"").unwrap();
    }
}

fn msd(root: &Path, json: &str) -> Result<Listing, DatasetError> {
    std::fs::write(root.join("dataset.json"), json).unwrap();
    list(&Source::Msd(MsdSource { root: root.to_owned() }), Path::new("cache"))
}

fn names(listing: &Listing) -> Vec<&str> {
    listing.subjects.iter().map(|subject| subject.name.as_str()).collect()
}

#[test]
fn a_decathlon_folder_lists_its_pairs_sorted_and_without_hidden_files() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    touch(root, &["imagesTr/b.nii.gz", "imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "labelsTr/b.nii.gz"]);
    let listing = msd(
        root,
        r#"{"labels": {"0": "background", "1": "liver"}, "training": [
            {"image": "./imagesTr/b.nii.gz", "label": "./labelsTr/b.nii.gz"},
            {"image": "./imagesTr/._b.nii.gz", "label": "./labelsTr/._b.nii.gz"},
            {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}]}"#,
    )
    .unwrap();
    assert_eq!(names(&listing), ["a", "b"]);
    assert_eq!(listing.subjects[0].images, [root.join("imagesTr/a.nii.gz")]);
    assert_eq!(listing.label_names.unwrap()[&1], "liver");
}

#[test]
fn an_nnunet_folder_groups_channels_and_maps_label_names_to_numbers() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz"]);
    let json = r#"{"labels": {"background": 0, "tumour": 2}, "channel_names": {"0": "T1", "1": "T2"}, "file_ending": ".nii.gz"}"#;
    let listing = msd(folder.path(), json).unwrap();
    assert_eq!((names(&listing), listing.subjects[0].images.len()), (vec!["a"], 2));
    assert_eq!(listing.label_names, Some(BTreeMap::from([(0, "background".into()), (2, "tumour".into())])));
}

#[test]
fn missing_files_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let error = msd(folder.path(), r#"{"training": [{"image": "./imagesTr/a.nii.gz", "label": "l.nii.gz"}]}"#);
    let message = error.unwrap_err().to_string();
    assert!(message.contains("2 of the listed files") && message.contains("a.nii.gz"), "{message}");
}

#[test]
fn patterns_pair_images_and_labels_by_file_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |pattern: &str| folder.path().join(pattern).to_string_lossy().into_owned();
    touch(folder.path(), &["t1/a.nii.gz", "t1/._a.nii.gz", "t2/a.nii", "label/a.nii.gz", "label/z.nii.gz"]);
    let images = Patterns(vec![at("t1/*.nii.gz"), at("t2/*.nii")]);
    let source = Source::Folders(FoldersSource { images, labels: at("label/*.nii.gz") });
    let listing = list(&source, Path::new("")).unwrap();
    assert_eq!(names(&listing), ["a"]);
    assert_eq!(listing.subjects[0].images, [folder.path().join("t1/a.nii.gz"), folder.path().join("t2/a.nii")]);
    touch(folder.path(), &["t1/b.nii.gz"]);
    let message = list(&source, Path::new("")).unwrap_err().to_string();
    assert!(message.contains("subject b") && message.contains("no image"), "{message}");
}

#[test]
fn two_files_with_the_same_name_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["1/a.nii.gz", "2/a.nii.gz", "label/a.nii.gz"]);
    let at = |pattern: &str| folder.path().join(pattern).to_string_lossy().into_owned();
    let source = FoldersSource { images: Patterns(vec![at("[12]/*.nii.gz")]), labels: at("label/*") };
    let message = list(&Source::Folders(source), Path::new("")).unwrap_err().to_string();
    assert!(message.contains("1/a.nii.gz") && message.contains("2/a.nii.gz"), "{message}");
}

#[test]
fn a_table_lists_names_channels_and_optional_labels() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["a.nii.gz", "b.nii.gz", "l.nii.gz"]);
    let file = folder.path().join("cases.csv");
    let table = |text: &str| {
        std::fs::write(&file, text).unwrap();
        list(&Source::Table(TableSource { file: file.clone() }), Path::new(""))
    };
    let listing =
        table("subject,image,image_2,label\nfirst,b.nii.gz,a.nii.gz,l.nii.gz\n,a.nii.gz,b.nii.gz,\n").unwrap();
    assert_eq!(names(&listing), ["a", "first"]);
    assert_eq!(listing.subjects[0].label, None);
    assert_eq!(listing.subjects[1].images[1], folder.path().join("a.nii.gz"));
    let misspelt = table("image,lable\na.nii.gz,l.nii.gz\n").unwrap_err().to_string();
    assert!(misspelt.contains("line 1") && misspelt.contains("lable"), "{misspelt}");
    let slash = table("subject,image\na/b,a.nii.gz\n").unwrap_err();
    assert!(matches!(slash, DatasetError::Name { .. }));
}

#[test]
fn phantoms_are_listed_before_they_exist() {
    let source: PhantomSource = serde_json::from_str(r#"{"subjects": 3}"#).unwrap();
    let listing = list(&Source::Phantom(source), Path::new("nowhere")).unwrap();
    assert_eq!(names(&listing), ["phantom_000", "phantom_001", "phantom_002"]);
    assert!(listing.generated_in.is_some() && !listing.subjects[0].images[0].exists());
}

#[test]
fn the_hippocampus_dataset_lists_its_200_subjects() {
    let root = Path::new("../../../shared/data/Task04_Hippocampus");
    if !root.is_dir() {
        eprintln!("skipped: Task04_Hippocampus is missing");
        return;
    }
    let listing = list(&Source::Msd(MsdSource { root: root.to_owned() }), Path::new("")).unwrap();
    assert_eq!((listing.subjects.len(), names(&listing)[0]), (200, "hippocampus_003"));
    assert_eq!(listing.label_names.unwrap()[&2], "Posterior");
}
