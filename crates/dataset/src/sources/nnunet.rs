//! The layout of nnU-Net's raw data, version 2.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dataset_json::{self, CaseFiles, DatasetJson, join};
use super::{DataSource, DatasetError, Incomplete, Listing};
use crate::alignment::Role;
use crate::channels::with_channel;
use crate::subject::Subject;

/// A folder of nnU-Net's raw data: `dataset.json`, `imagesTr/CASE_0000.nii.gz` with a file per channel, and
/// `labelsTr/CASE.nii.gz`.
///
/// If `dataset.json` has the key `dataset`, that lists the files of each case.
///
/// ```yaml
/// nnunet: { root: data/Dataset004_Hippocampus }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NnunetSource {
    /// Folder that contains `dataset.json`, such as `data/Dataset004_Hippocampus`; relative to the working folder.
    pub root: PathBuf,
}

impl DataSource for NnunetSource {
    fn list(&self, _cache_dir: &Path) -> Result<Listing, DatasetError> {
        list(&self.root, &DatasetJson::read(&self.root)?)
    }
}

/// Lists the subjects of a folder whose `dataset.json` has been read.
///
/// # Errors
/// When there are none, or the folder cannot be read.
pub(super) fn list(root: &Path, json: &DatasetJson) -> Result<Listing, DatasetError> {
    let mut listing = Listing::default();
    match &json.dataset {
        Some(cases) => {
            for (name, files) in cases {
                let subject = listed_case(root, name, files)?;
                if subject.label.is_none() {
                    let reason = format!("{} lists no label for it", dataset_json::path(root).display());
                    listing.incomplete.push(Incomplete { subject: name.clone(), role: Role::LabelMap, reason });
                }
                listing.subjects.push(subject);
            }
        }
        None => listing.subjects = cases_in_folder(root, json.num_channels().unwrap_or(1), json.file_ending())?,
    }
    Ok(json.describe(root, listing))
}

fn listed_case(root: &Path, name: &str, files: &CaseFiles) -> Result<Subject, DatasetError> {
    if files.images.is_empty() {
        let reason = format!("dataset: {name}: expected at least one image, got none");
        return Err(DatasetError::Json { path: dataset_json::path(root), reason });
    }
    let images = files.images.iter().map(|image| join(root, image)).collect();
    Ok(Subject { name: name.to_owned(), images, label: files.label.as_deref().map(|label| join(root, label)) })
}

/// Lists the cases of `imagesTr`: every file of a first channel is one.
fn cases_in_folder(root: &Path, channels: usize, ending: &str) -> Result<Vec<Subject>, DatasetError> {
    let folder = root.join("imagesTr");
    let io = |source| DatasetError::Io { path: folder.clone(), source };
    let first = format!("{}{ending}", with_channel("", 0));
    let (mut subjects, mut example) = (Vec::new(), None);
    for entry in std::fs::read_dir(&folder).map_err(io)? {
        let file = entry.map_err(io)?.file_name().to_string_lossy().into_owned();
        if file.starts_with('.') {
            continue;
        }
        let Some(name) = file.strip_suffix(&first).filter(|name| !name.is_empty()) else {
            example.get_or_insert(file);
            continue;
        };
        let images = (0..channels).map(|channel| folder.join(format!("{}{ending}", with_channel(name, channel))));
        let label = Some(root.join("labelsTr").join(format!("{name}{ending}")));
        subjects.push(Subject { name: name.to_owned(), images: images.collect(), label });
    }
    if !subjects.is_empty() {
        return Ok(subjects);
    }
    let other = example.map(|file| format!(", but there is {file}")).unwrap_or_default();
    let reason = format!("no file ends with {first}, as dataset.json's file_ending requires of a first channel{other}");
    Err(DatasetError::Empty { source_name: folder, reason })
}
