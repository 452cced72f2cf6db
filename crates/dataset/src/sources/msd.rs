//! The layout of the Medical Segmentation Decathlon, and that of nnU-Net version 2, which is based on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DataSource, DatasetError, Listing, require_files, without_channel};
use crate::subject::Subject;
use volume::Label;
use volume::io::{DEFAULT_ENDING, case_name};

/// A folder in the layout of the Medical Segmentation Decathlon or of nnU-Net: `dataset.json`, `imagesTr`, `labelsTr`.
///
/// ```yaml
/// msd: { root: data/Task03_Liver }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MsdSource {
    /// Folder that contains `dataset.json`, such as `data/Task03_Liver`; relative to the working folder.
    pub root: PathBuf,
}

/// The keys of `dataset.json` that are used; others are ignored.
#[derive(Deserialize)]
struct DatasetJson {
    /// Decathlon: pairs of files relative to the folder.
    training: Option<Vec<Pair>>,
    /// `{"0": "background"}` in the Decathlon, `{"background": 0}` in nnU-Net.
    labels: Option<BTreeMap<String, Value>>,
    /// nnU-Net: `{"0": "CT"}`; images then carry `_0000`.
    channel_names: Option<BTreeMap<String, Value>>,
    /// nnU-Net: extension of the files, such as `.nii.gz`.
    file_ending: Option<String>,
}

#[derive(Deserialize)]
struct Pair {
    image: String,
    label: String,
}

impl DataSource for MsdSource {
    fn list(&self, _cache_dir: &Path) -> Result<Listing, DatasetError> {
        let root = &self.root;
        let path = root.join("dataset.json");
        let text = std::fs::read_to_string(&path).map_err(|source| DatasetError::Io { path: path.clone(), source })?;
        let json: DatasetJson = serde_json::from_str(&text)
            .map_err(|error| DatasetError::Json { path: path.clone(), reason: error.to_string() })?;
        let label_names = json
            .labels
            .as_ref()
            .map(|labels| label_names(labels).map_err(|reason| DatasetError::Json { path: path.clone(), reason }))
            .transpose()?;
        let channels = json.channel_names.as_ref().map(BTreeMap::len);
        if channels == Some(0) {
            let reason = "channel_names: expected at least one channel, got none".to_owned();
            return Err(DatasetError::Json { path, reason });
        }
        let subjects: Vec<Subject> = match &json.training {
            Some(pairs) => pairs
                .iter()
                .filter(|pair| !case_name(Path::new(&pair.image)).starts_with("._"))
                .map(|pair| subject(root, pair, channels))
                .collect(),
            None => from_folders(root, channels.unwrap_or(1), json.file_ending.as_deref().unwrap_or(DEFAULT_ENDING))?,
        };
        if subjects.is_empty() {
            return Err(DatasetError::Empty { source_name: path });
        }
        require_files(&path, &subjects)?;
        Ok(Listing { subjects, label_names, generated_in: None })
    }
}

/// Returns the subject of a listed pair. If channels are declared as in nnU-Net and the listed image does not exist, its
/// images are the channel files.
fn subject(root: &Path, pair: &Pair, channels: Option<usize>) -> Subject {
    let image = join(root, &pair.image);
    let name = case_name(&image);
    let label = Some(join(root, &pair.label));
    let ending = image.file_name().map(|file| file.to_string_lossy()[name.len()..].to_owned()).unwrap_or_default();
    match channels {
        Some(channels) if !image.is_file() => {
            let base = without_channel(&name).to_owned();
            let images = (0..channels).map(|k| image.with_file_name(format!("{base}_{k:04}{ending}"))).collect();
            Subject { name: base, images, label }
        }
        _ => Subject { name, images: vec![image], label },
    }
}

fn join(root: &Path, relative: &str) -> PathBuf {
    root.join(relative.trim_start_matches("./"))
}

/// Lists the subjects of nnU-Net, whose `dataset.json` lists no files: every first channel in `imagesTr` is a subject.
fn from_folders(root: &Path, channels: usize, ending: &str) -> Result<Vec<Subject>, DatasetError> {
    let folder = root.join("imagesTr");
    let io = |source| DatasetError::Io { path: folder.clone(), source };
    let mut subjects = Vec::new();
    let first = format!("_0000{ending}");
    for entry in std::fs::read_dir(&folder).map_err(io)? {
        let file = entry.map_err(io)?.file_name().to_string_lossy().into_owned();
        let Some(name) = file.strip_suffix(&first).filter(|name| !name.starts_with('.')) else { continue };
        let images = (0..channels).map(|k| folder.join(format!("{name}_{k:04}{ending}"))).collect();
        let label = Some(root.join("labelsTr").join(format!("{name}{ending}")));
        subjects.push(Subject { name: name.to_owned(), images, label });
    }
    Ok(subjects)
}

fn label_names(labels: &BTreeMap<String, Value>) -> Result<BTreeMap<Label, String>, String> {
    let mut names = BTreeMap::new();
    for (key, value) in labels {
        let (number, name) = match (key.parse::<Label>(), value) {
            (Ok(number), Value::String(name)) => (number, name.clone()),
            (_, Value::Number(number)) => {
                let label = number.as_u64().and_then(|number| Label::try_from(number).ok());
                (label.ok_or_else(|| format!("labels: {key}: expected 0 to 65535, got {number}"))?, key.clone())
            }
            _ => return Err(format!("labels: expected a number and a name, got {key:?}: {value}")),
        };
        if let Some(other) = names.insert(number, name.clone()) {
            return Err(format!("labels: {number} is both {other} and {name}"));
        }
    }
    Ok(names)
}
