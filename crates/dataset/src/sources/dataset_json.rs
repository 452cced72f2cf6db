//! `dataset.json`, as the Medical Segmentation Decathlon, nnU-Net and MONAI write it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::{DatasetError, DeclaredLabels, DeclaredRegion, Listing, UnusableLabels, unused_labels};
use values::OrderedMap;
use volume::Label;
use volume::io::{self, DEFAULT_ENDING, unsupported_format};

/// nnU-Net's readers of images whose voxels are read the same here; `None` leaves the choice to the file ending.
const READERS: [&str; 4] = ["None", "SimpleITKIO", "NibabelIO", "NibabelIOWithReorient"];

/// What a `dataset.json` declares apart from its files.
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetDescription {
    /// The labels.
    pub labels: DeclaredLabels,
    /// The number of image channels, if it is declared.
    pub num_channels: Option<usize>,
    /// The number of training subjects, if it is declared.
    pub num_training: Option<u64>,
}

/// Parses the text of a `dataset.json` without its dataset; `path` is for messages.
///
/// # Errors
/// When it is malformed.
pub fn describe_dataset_json(path: &Path, text: &str) -> Result<DatasetDescription, DatasetError> {
    let json = DatasetJson::parse(path, text)?;
    Ok(DatasetDescription {
        labels: json.labels(path.parent().unwrap_or(Path::new(""))),
        num_channels: json.num_channels(),
        num_training: json.num_training.as_ref().and_then(Value::as_u64),
    })
}

/// The keys of `dataset.json` that are used; others are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct DatasetJson {
    /// Decathlon and MONAI: pairs of files relative to the folder.
    pub training: Option<Vec<Pair>>,
    /// nnU-Net: the files of each case, relative to the folder.
    pub dataset: Option<BTreeMap<String, CaseFiles>>,
    /// `{"0": "background"}` in the Decathlon, `{"background": 0}` in nnU-Net, and `{"whole tumour": [1, 2]}` for regions.
    labels: Option<OrderedMap<Value>>,
    /// nnU-Net: the labels as which regions are written into label maps, in the order of `labels`.
    regions_class_order: Option<Vec<Label>>,
    /// nnU-Net: `{"0": "CT"}`; the name of an image file ends with the number of its channel.
    channel_names: Option<BTreeMap<String, Value>>,
    /// The same in the Decathlon and in version 1 of nnU-Net.
    modality: Option<BTreeMap<String, Value>>,
    /// nnU-Net: ending of the files, such as `.nii.gz`.
    file_ending: Option<String>,
    /// nnU-Net: the class that reads the images, instead of the one for `file_ending`.
    overwrite_image_reader_writer: Option<String>,
    #[serde(rename = "numTraining")]
    num_training: Option<Value>,
}

/// The files of a training subject.
#[derive(Debug, Deserialize)]
pub(super) struct Pair {
    pub image: ImageFiles,
    pub label: Option<String>,
}

/// The files of a case of nnU-Net.
#[derive(Debug, Deserialize)]
pub(super) struct CaseFiles {
    pub images: Vec<String>,
    pub label: Option<String>,
}

/// One image file, or one per channel.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "image: expected a path or a list of paths")]
pub(super) enum ImageFiles {
    One(String),
    PerChannel(Vec<String>),
}

impl DatasetJson {
    /// Reads the file of a dataset's folder.
    ///
    /// # Errors
    /// When it cannot be read or is malformed.
    pub fn read(root: &Path) -> Result<Self, DatasetError> {
        let path = path(root);
        let text = std::fs::read_to_string(&path).map_err(|source| DatasetError::Io { path: path.clone(), source })?;
        Self::parse(&path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, DatasetError> {
        let wrong = |reason: String| DatasetError::Json { path: path.to_owned(), reason };
        // Windows editors write a byte-order mark.
        let json: Self =
            serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| wrong(error.to_string()))?;
        for (key, channels) in [("channel_names", &json.channel_names), ("modality", &json.modality)] {
            if channels.as_ref().is_some_and(BTreeMap::is_empty) {
                return Err(wrong(format!("{key}: expected at least one channel, got none")));
            }
        }
        Ok(json)
    }

    /// Checks that the images can be read as nnU-Net reads them.
    ///
    /// # Errors
    /// Names the key, what it says and what can be read.
    pub fn check_readable(&self) -> Result<(), String> {
        if let Some(reader) = self.overwrite_image_reader_writer.as_deref().filter(|name| !READERS.contains(name)) {
            let known = READERS[1..].join(", ");
            return Err(format!(
                "overwrite_image_reader_writer: {reader} cannot be read; the readers that can are {known}: convert the \
                 images to NIfTI"
            ));
        }
        let ending = self.file_ending();
        if !io::is_image(Path::new(&format!("image{ending}"))) {
            let conversion = unsupported_format(Path::new(&format!("image{ending}"))).map(|format| format.conversion);
            let to_nifti = || format!("convert the images to {}", io::endings());
            let advice = conversion.map_or_else(to_nifti, str::to_owned);
            return Err(format!("file_ending: {ending} cannot be read; {advice}"));
        }
        for (key, channels) in [("channel_names", &self.channel_names), ("modality", &self.modality)] {
            let Some(channels) = channels else { continue };
            let number = |index: usize| channels.contains_key(&index.to_string());
            if !(0..channels.len()).all(number) {
                let names: Vec<&str> = channels.keys().map(String::as_str).collect();
                let last = channels.len() - 1;
                return Err(format!("{key}: expected the channels 0 to {last}, got {}", names.join(", ")));
            }
        }
        Ok(())
    }

    /// Returns the number of declared channels.
    pub fn num_channels(&self) -> Option<usize> {
        self.channel_names.as_ref().or(self.modality.as_ref()).map(BTreeMap::len)
    }

    /// Returns the names of the channels, by their numbers.
    fn channel_names(&self) -> Vec<String> {
        let declared = self.channel_names.as_ref().or(self.modality.as_ref()).into_iter().flatten();
        let numbered = declared.filter_map(|(number, name)| Some((number.parse::<usize>().ok()?, name.as_str()?)));
        let numbered: BTreeMap<usize, &str> = numbered.collect();
        numbered.into_values().map(str::to_owned).collect()
    }

    /// Returns the ending of the files.
    pub fn file_ending(&self) -> &str {
        self.file_ending.as_deref().unwrap_or(DEFAULT_ENDING)
    }

    /// Adds what the file declares about subjects that are listed already.
    pub fn describe(&self, root: &Path, listing: Listing) -> Listing {
        let mut notes = listing.notes;
        notes.extend(self.num_training_note(root, listing.subjects.len()));
        let unused_labels = unused_labels(&root.join("labelsTr"), &listing.subjects);
        let num_training =
            self.num_training.as_ref().and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
        let (labels, channel_names) = (self.labels(root), self.channel_names());
        Listing { labels, channel_names, num_training, unused_labels, notes, ..listing }
    }

    /// Returns whether the file is one of nnU-Net's: version 2 has `channel_names` and `file_ending`, and version 1, like the
    /// Decathlon, a list of training subjects.
    pub fn is_nnunet(&self) -> bool {
        self.channel_names.is_some() || self.file_ending.is_some() || self.dataset.is_some() || self.training.is_none()
    }

    fn num_training_note(&self, root: &Path, num_subjects: usize) -> Option<String> {
        let declared = self.num_training.as_ref().filter(|declared| declared.as_u64() != Some(num_subjects as u64))?;
        let found =
            if num_subjects == 1 { "1 subject was".to_owned() } else { format!("{num_subjects} subjects were") };
        Some(format!("{}: numTraining is {declared}, but {found} found", path(root).display()))
    }

    fn labels(&self, root: &Path) -> DeclaredLabels {
        let Some(labels) = &self.labels else { return DeclaredLabels::default() };
        let path = path(root);
        let wrong = |reason| DeclaredLabels {
            unusable: Some(UnusableLabels {
                reason: format!("{}: {reason}", path.display()),
                help: "write the labels as `{\"background\": 0, \"liver\": 1}`, or declare them in `data.labels`"
                    .to_owned(),
            }),
            ..DeclaredLabels::default()
        };
        let (mut names, mut unions) = (BTreeMap::new(), Vec::new());
        for (key, value) in labels.iter() {
            let (members, name) = match parse_label(key, value) {
                Ok(LabelOrRegion::Label(label, name)) => (vec![label], name),
                Ok(LabelOrRegion::Region(members)) => (members, key.to_owned()),
                Err(reason) => return wrong(reason),
            };
            if let [label] = members[..]
                && let Some(other) = names.insert(label, name.clone())
            {
                return wrong(format!("labels: {label} is both {other} and {name}"));
            }
            unions.push((name, members));
        }
        let ignore = names.iter().find(|(_, name)| name.as_str() == "ignore").map(|(label, _)| *label);
        if let Some(ignore) = ignore {
            names.remove(&ignore);
        }
        for label in unions.iter().flat_map(|(_, members)| members).filter(|label| Some(**label) != ignore) {
            names.entry(*label).or_insert_with(|| format!("label_{label}"));
        }
        match self.regions(unions, ignore) {
            Ok(regions) => DeclaredLabels { names: Some(names), regions, ignore, unusable: None },
            Err(reason) => wrong(reason),
        }
    }

    /// Returns the regions, by nnU-Net's rule: there are some if an entry of `labels` is a list of several labels, and then
    /// every entry but the background and `ignore` is one.
    fn regions(&self, unions: Vec<(String, Vec<Label>)>, ignore: Option<Label>) -> Result<Vec<DeclaredRegion>, String> {
        if unions.iter().all(|(_, members)| members.len() == 1) {
            return Ok(Vec::new());
        }
        let is_region = |members: &[Label]| members != [0] && ignore.is_none_or(|ignore| members != [ignore]);
        let regions: Vec<_> = unions.into_iter().filter(|(_, members)| is_region(members)).collect();
        let order = self.regions_class_order.as_deref();
        if let Some(order) = order.filter(|order| order.len() != regions.len()) {
            return Err(format!(
                "regions_class_order: expected a label for each of {} regions, got {}",
                regions.len(),
                order.len()
            ));
        }
        let region = |(index, (name, labels))| DeclaredRegion { name, labels, write: order.map(|order| order[index]) };
        Ok(regions.into_iter().enumerate().map(region).collect())
    }
}

/// Returns the path of the file in a dataset's folder.
pub(super) fn path(root: &Path) -> PathBuf {
    root.join("dataset.json")
}

/// Returns the path of a listed file. Windows programs write backslashes.
pub(super) fn join(root: &Path, relative: &str) -> PathBuf {
    let path = root.join(relative.trim_start_matches("./"));
    if !relative.contains('\\') || path.exists() {
        return path;
    }
    root.join(relative.replace('\\', "/").trim_start_matches("./"))
}

/// An entry of `labels`.
enum LabelOrRegion {
    Label(Label, String),
    /// nnU-Net's union of labels.
    Region(Vec<Label>),
}

fn parse_label(key: &str, value: &Value) -> Result<LabelOrRegion, String> {
    let number = |value: &Value| match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let label = |number: f64| {
        let label = number as Label;
        (f64::from(label) == number)
            .then_some(label)
            .ok_or_else(|| format!("labels: {key}: expected 0 to 65535, got {number}"))
    };
    if let (Ok(number), Value::String(name)) = (key.trim().parse(), value) {
        return Ok(LabelOrRegion::Label(label(number)?, name.clone()));
    }
    if let Some(number) = number(value) {
        return Ok(LabelOrRegion::Label(label(number)?, key.to_owned()));
    }
    let members = value.as_array().and_then(|members| members.iter().map(number).collect::<Option<Vec<_>>>());
    match members {
        Some(members) if !members.is_empty() => {
            Ok(LabelOrRegion::Region(members.into_iter().map(label).collect::<Result<_, _>>()?))
        }
        _ => Err(format!("labels: expected a number and a name, got {key:?}: {value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(labels: &str) -> DeclaredLabels {
        let json: DatasetJson = serde_json::from_str(&format!("{{\"labels\": {labels}}}")).unwrap();
        json.labels(Path::new("T"))
    }

    fn reason(declared: DeclaredLabels) -> String {
        declared.unusable.unwrap().reason
    }

    #[test]
    fn labels_are_read_in_either_order_and_with_numbers_as_text() {
        let expected = Some(BTreeMap::from([(0, "background".to_owned()), (1, "a".to_owned())]));
        for text in [
            r#"{"0": "background", "1": "a"}"#,
            r#"{"background": 0, "a": 1}"#,
            r#"{"background": "0", "a": "1"}"#,
            r#"{"0": "background", "1.0": "a"}"#,
        ] {
            assert_eq!(labels(text), DeclaredLabels { names: expected.clone(), ..DeclaredLabels::default() }, "{text}");
        }
        assert!(reason(labels(r#"{"a": 1, "b": 1}"#)).contains("1 is both a and b"));
        assert!(reason(labels(r#"{"a": 70000}"#)).contains("a: expected 0 to 65535, got 70000"));
        assert!(reason(labels(r#"{"a": {}}"#)).contains(r#"got "a": {}"#));
    }

    #[test]
    fn a_label_to_ignore_is_no_class() {
        let declared = labels(r#"{"background": 0, "a": 1, "ignore": 2}"#);
        assert_eq!((declared.names.unwrap().len(), declared.ignore, declared.unusable), (2, Some(2), None));
    }

    fn regions(text: &str) -> DeclaredLabels {
        serde_json::from_str::<DatasetJson>(text).unwrap().labels(Path::new("T"))
    }

    #[test]
    fn regions_keep_the_order_of_the_file() {
        let declared = regions(
            r#"{"labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "active": 3, "ignore": 4},
                "regions_class_order": [1, 2, 3]}"#,
        );
        let region = |name: &str, labels: &[Label], write| DeclaredRegion {
            name: name.to_owned(),
            labels: labels.to_vec(),
            write: Some(write),
        };
        let expected = [region("whole", &[1, 2, 3], 1), region("core", &[2, 3], 2), region("active", &[3], 3)];
        assert_eq!(declared.regions, expected);
        let names: Vec<String> = declared.names.unwrap().into_values().collect();
        assert_eq!((&names[1..], declared.ignore), (&["label_1", "label_2", "active"].map(str::to_owned)[..], Some(4)));
    }

    #[test]
    fn lists_of_one_label_alone_are_labels() {
        let declared = regions(r#"{"labels": {"background": [0], "a": [1], "b": 2}}"#);
        assert_eq!(declared.regions, []);
        assert_eq!(declared.names.unwrap().len(), 3);
    }

    #[test]
    fn every_region_needs_a_label_to_be_written_as() {
        let declared = regions(r#"{"labels": {"background": 0, "a": [1, 2], "b": 2}, "regions_class_order": [1]}"#);
        assert!(reason(declared).contains("expected a label for each of 2 regions, got 1"));
    }
}
