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
    assert_eq!(listing.labels.names.unwrap()[&1], "liver");
}

#[test]
fn an_nnunet_folder_groups_channels_and_maps_label_names_to_numbers() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz"]);
    let json = r#"{"labels": {"background": 0, "tumour": 2}, "channel_names": {"0": "T1", "1": "T2"}, "file_ending": ".nii.gz"}"#;
    let listing = msd(folder.path(), json).unwrap();
    assert_eq!((names(&listing), listing.subjects[0].images.len()), (vec!["a"], 2));
    assert_eq!(listing.labels.names, Some(BTreeMap::from([(0, "background".into()), (2, "tumour".into())])));
    assert_eq!(list(&Source::Nnunet(NnunetSource { root: folder.path().to_owned() }), Path::new("")).unwrap(), listing);
}

#[test]
fn an_nnunet_folder_without_first_channels_names_a_file_that_it_has() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["imagesTr/a.nii.gz"]);
    let message = msd(folder.path(), r#"{"channel_names": {"0": "CT"}}"#).unwrap_err().to_string();
    assert!(message.contains("imagesTr: no file ends with _0000.nii.gz") && message.contains("a.nii.gz"), "{message}");
}

#[test]
fn nnunets_key_dataset_lists_files_anywhere_and_is_read_before_the_folders() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["T/imagesTr/other_0000.nii.gz", "elsewhere/i.nii.gz", "elsewhere/l.nii.gz"]);
    let root = folder.path().join("T");
    let json = r#"{"channel_names": {"0": "CT"}, "dataset": {"c": {"images": ["../elsewhere/i.nii.gz"], "label": "../elsewhere/l.nii.gz"}}}"#;
    let listing = msd(&root, json).unwrap();
    assert_eq!((names(&listing), &listing.incomplete[..]), (vec!["c"], &[][..]));
    assert_eq!(listing.subjects[0].images, [root.join("../elsewhere/i.nii.gz")]);
}

/// Returns what an nnU-Net folder with this `dataset.json` is refused for.
fn refused(root: &Path, json: &str) -> String {
    std::fs::write(root.join("dataset.json"), json).unwrap();
    list(&Source::Nnunet(NnunetSource { root: root.to_owned() }), Path::new("")).unwrap_err().to_string()
}

#[test]
fn what_cannot_be_read_as_nnunet_does_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    touch(root, &["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz"]);
    for (json, expected) in [
        (r#"{"overwrite_image_reader_writer": "Tiff3DIO"}"#, "overwrite_image_reader_writer: Tiff3DIO cannot be read"),
        (
            r#"{"file_ending": ".png"}"#,
            "file_ending: .png cannot be read; write the slices of a volume into one NIfTI file",
        ),
        (r#"{"channel_names": {"0": "T1", "2": "T2"}}"#, "channel_names: expected the channels 0 to 1, got 0, 2"),
        (r#"{"channel_names": {"0": "CT"}}"#, "it declares 1 channel, but imagesTr has a_0001.nii.gz"),
        (r#"{"dataset": {}}"#, "dataset: it lists no case"),
        (
            r#"{"channel_names": {"0": "a", "1": "b", "2": "c"}, "dataset": {"x": {"images": ["1", "2"], "label": "l"}}}"#,
            "dataset: x: expected an image for each of 3 channels, got 2",
        ),
    ] {
        let message = refused(root, json);
        assert!(message.contains(expected), "{json}: {message}");
    }
}

#[test]
fn nnunets_readers_of_the_same_voxels_are_accepted() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"]);
    for reader in ["None", "SimpleITKIO", "NibabelIO", "NibabelIOWithReorient"] {
        let json = format!(r#"{{"channel_names": {{"0": "CT"}}, "overwrite_image_reader_writer": "{reader}"}}"#);
        assert_eq!(names(&msd(folder.path(), &json).unwrap()), ["a"]);
    }
}

#[test]
fn a_case_without_a_first_channel_is_incomplete_and_files_without_a_channel_are_noted() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    touch(root, &["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "imagesTr/b_0001.nii.gz", "imagesTr/c.nii.gz"]);
    touch(root, &["labelsTr/a.nii.gz", "labelsTr/b.nii.gz"]);
    let listing = msd(root, r#"{"channel_names": {"0": "T1", "1": "T2"}, "file_ending": ".nii.gz"}"#).unwrap();
    assert_eq!(names(&listing), ["a", "b"]);
    let incomplete: Vec<_> = listing.incomplete.iter().map(|one| (one.role, one.subject.as_str())).collect();
    assert_eq!(incomplete, [(Role::Image, "b")]);
    assert!(
        listing.notes[0].ends_with("without a channel number, such as c.nii.gz, are not read"),
        "{:?}",
        listing.notes
    );
}

#[test]
fn a_decathlon_folder_given_as_nnunets_names_the_other_source() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["imagesTr/a.nii.gz"]);
    let message = refused(folder.path(), r#"{"training": [{"image": "imagesTr/a.nii.gz", "label": "l.nii.gz"}]}"#);
    assert!(message.contains("which `msd: { root: ... }` reads"), "{message}");
}

#[test]
fn nnunets_channels_are_in_the_order_of_their_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let files = (0..11).map(|channel| format!("imagesTr/a_{channel:04}.nii.gz")).collect::<Vec<_>>();
    touch(folder.path(), &files.iter().map(String::as_str).collect::<Vec<_>>());
    let channels = (0..11).rev().map(|channel| format!("\"{channel}\": \"c{channel}\"")).collect::<Vec<_>>();
    let listing = msd(folder.path(), &format!("{{\"channel_names\": {{{}}}}}", channels.join(","))).unwrap();
    assert_eq!(listing.channel_names[9..], ["c9", "c10"].map(str::to_owned));
    assert!(listing.subjects[0].images[10].ends_with("imagesTr/a_0010.nii.gz"));
}

#[test]
fn nnunets_first_version_lists_cases_without_the_numbers_of_their_channels() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    touch(root, &["imagesTr/c_0007_0000.nii.gz", "imagesTr/c_0007_0001.nii.gz", "labelsTr/c_0007.nii.gz"]);
    let json = r#"{"modality": {"0": "T1", "1": "T2"}, "training": [{"image": "./imagesTr/c_0007.nii.gz", "label": "./labelsTr/c_0007.nii.gz"}]}"#;
    let listing = msd(root, json).unwrap();
    let images = ["c_0007_0000", "c_0007_0001"].map(|name| root.join(format!("imagesTr/{name}.nii.gz")));
    assert_eq!((names(&listing), &listing.subjects[0].images[..]), (vec!["c_0007"], &images[..]));
    // The first channel may be listed for all.
    let first = json.replace("imagesTr/c_0007", "imagesTr/c_0007_0000");
    assert_eq!(msd(root, &first).unwrap().subjects, listing.subjects);
    // With one channel, the name stays that of the listed file.
    let single = first.replace(r#", "1": "T2""#, "");
    assert_eq!(names(&msd(root, &single).unwrap()), ["c_0007_0000"]);
}

#[test]
fn a_list_of_images_has_one_per_channel() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["a/c.nii.gz", "b/c.nii.gz", "l/c.nii.gz", "c_0000.nii.gz", "c_0001.nii.gz"]);
    let listed = |images: &str| {
        let json = format!(r#"{{"training": [{{"fold": 1, "image": {images}, "label": "l/c.nii.gz"}}]}}"#);
        msd(folder.path(), &json)
    };
    let listing = listed(r#"["a/c.nii.gz", "b/c.nii.gz"]"#).unwrap();
    assert_eq!((names(&listing), listing.subjects[0].images.len()), (vec!["c"], 2));
    assert_eq!(names(&listed(r#"["c_0000.nii.gz", "c_0001.nii.gz"]"#).unwrap()), ["c"]);
    let message = listed("3").unwrap_err().to_string();
    assert!(message.contains("image: expected a path or a list of paths"), "{message}");
}

#[test]
fn a_byte_order_mark_and_backslashes_of_windows_are_read() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["imagesTr/a.nii.gz", "labelsTr/a.nii.gz"]);
    let json = "\u{feff}{\r\n\"training\": [{\"image\": \".\\\\imagesTr\\\\a.nii.gz\", \"label\": \".\\\\labelsTr\\\\a.nii.gz\"}]}\r\n";
    let listing = msd(folder.path(), json).unwrap();
    assert_eq!((names(&listing), &listing.incomplete[..]), (vec!["a"], &[][..]));
}

#[test]
fn a_wrong_number_of_subjects_and_label_maps_without_an_image_are_noted() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz", "labelsTr/b.nii.gz", "labelsTr/._c.nii.gz"]);
    let listing = msd(folder.path(), r#"{"channel_names": {"0": "CT"}, "numTraining": 9}"#).unwrap();
    assert!(listing.notes[0].ends_with("numTraining is 9, but 1 subject was found"), "{:?}", listing.notes);
    assert_eq!(listing.unused_labels, [folder.path().join("labelsTr/b.nii.gz")]);
}

#[test]
fn missing_files_are_reported_with_their_subjects() {
    let folder = tempfile::tempdir().unwrap();
    let listing =
        msd(folder.path(), r#"{"training": [{"image": "./imagesTr/a.nii.gz", "label": "l.nii.gz"}]}"#).unwrap();
    let found: Vec<_> = listing.incomplete.iter().map(|one| (one.role, one.subject.as_str())).collect();
    assert_eq!(found, [(Role::Image, "a"), (Role::LabelMap, "a")]);
    let reason = &listing.incomplete[0].reason;
    assert!(reason.ends_with("imagesTr/a.nii.gz does not exist"), "{reason}");
    assert_eq!(listing.subjects[0].label, None);
}

#[cfg(unix)]
#[test]
fn a_link_to_a_missing_file_is_named_with_its_target() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("../annex/x", folder.path().join("a.nii.gz")).unwrap();
    let listing = msd(folder.path(), r#"{"training": [{"image": "a.nii.gz"}]}"#).unwrap();
    let reasons: Vec<&str> = listing.incomplete.iter().map(|one| one.reason.as_str()).collect();
    assert!(reasons[0].ends_with("dataset.json lists no label for it"), "{reasons:?}");
    assert!(reasons[1].ends_with("a.nii.gz is a link to ../annex/x, which does not exist"), "{reasons:?}");
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
    assert_eq!(listing.unused_labels, [folder.path().join("label/z.nii.gz")]);
    touch(folder.path(), &["t1/b.nii.gz"]);
    let listing = list(&source, Path::new("")).unwrap();
    let found: Vec<_> = listing.incomplete.iter().map(|one| (one.role, one.subject.as_str())).collect();
    assert_eq!(found, [(Role::Image, "b"), (Role::LabelMap, "b")]);
    assert!(listing.incomplete[0].reason.contains("no image of this name matches"), "{:?}", listing.incomplete);
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
    let reason = &listing.incomplete[0].reason;
    assert!(reason.ends_with("cases.csv: line 3: the label is empty"), "{reason}");
    let without_column = table("subject,image,age\nfirst,a.nii.gz,60\n").unwrap();
    assert!(without_column.incomplete[0].reason.ends_with("cases.csv: it has no column label"));
    assert_eq!(
        (without_column.columns[0].name.as_str(), &without_column.columns[0].values["first"]),
        ("age", &"60".into())
    );
    let windows = table("\u{feff}Subject;Image;Label;label_quality\r\nx;a.nii.gz;l.nii.gz;3\r\n\r\n").unwrap();
    assert_eq!((names(&windows), &windows.incomplete[..]), (vec!["x"], &[][..]));
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
    assert_eq!(listing.labels.names.unwrap()[&2], "Posterior");
}
