//! The layout of nnU-Net's raw data, version 2.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::{Captures, Regex};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dataset_json::{self, CaseFiles, DatasetJson, join};
use super::{DataSource, DatasetError, Incomplete, Listing};
use crate::alignment::Role;
use crate::channels::{split_channel, with_channel};
use crate::subject::Subject;
use volume::io;

/// A folder of nnU-Net's raw data: `dataset.json`, `imagesTr/CASE_0000.nii.gz` with a file per channel, and
/// `labelsTr/CASE.nii.gz`.
///
/// If `dataset.json` has the key `dataset`, that lists the files of each case, and no folder is searched.
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
/// When there are none, the folder cannot be read, or `dataset.json` declares what cannot be read as nnU-Net reads it.
pub(super) fn list(root: &Path, json: &DatasetJson) -> Result<Listing, DatasetError> {
    json.check_readable().map_err(|reason| wrong(root, reason))?;
    let mut listing = Listing::default();
    match &json.dataset {
        Some(cases) => {
            for (name, files) in cases {
                let subject = listed_case(root, name, files, json.num_channels())?;
                if subject.label.is_none() {
                    let reason = format!("{} lists no label for it", dataset_json::path(root).display());
                    listing.incomplete.push(Incomplete { subject: name.clone(), role: Role::LabelMap, reason });
                }
                listing.subjects.push(subject);
            }
            if listing.subjects.is_empty() {
                return Err(wrong(root, "dataset: it lists no case".to_owned()));
            }
        }
        None => listing = cases_in_folder(root, json)?,
    }
    Ok(json.describe(root, listing))
}

fn wrong(root: &Path, reason: String) -> DatasetError {
    DatasetError::Json { path: dataset_json::path(root), reason }
}

/// Returns the case of an entry of `dataset`: an image file per channel, or one with all of them.
fn listed_case(root: &Path, name: &str, files: &CaseFiles, channels: Option<usize>) -> Result<Subject, DatasetError> {
    let expected = channels.unwrap_or(1);
    match files.images.len() {
        0 => return Err(wrong(root, format!("dataset: {name}: expected at least one image, got none"))),
        1 => {}
        count if channels.is_some_and(|channels| channels != count) => {
            let reason = format!("dataset: {name}: expected an image for each of {expected} channels, got {count}");
            return Err(wrong(root, reason));
        }
        _ => {}
    }
    let images = files.images.iter().map(|image| join(root, &with_variables(image))).collect();
    let label = files.label.as_deref().map(|label| join(root, &with_variables(label)));
    Ok(Subject { name: name.to_owned(), images, label })
}

/// Lists the cases of `imagesTr`: the files with a channel number, by the name before it.
fn cases_in_folder(root: &Path, json: &DatasetJson) -> Result<Listing, DatasetError> {
    let (folder, ending) = (root.join("imagesTr"), json.file_ending());
    let io = |source| DatasetError::Io { path: folder.clone(), source };
    let (mut cases, mut others) = (BTreeMap::<String, BTreeSet<usize>>::new(), BTreeSet::new());
    for entry in std::fs::read_dir(&folder).map_err(io)? {
        let file = entry.map_err(io)?.file_name().to_string_lossy().into_owned();
        match file.strip_suffix(ending).and_then(split_channel) {
            _ if file.starts_with('.') => {}
            Some((name, channel)) => drop(cases.entry(name.to_owned()).or_default().insert(channel)),
            None => drop(others.insert(file)),
        }
    }
    if cases.is_empty() {
        let first = format!("{}{ending}", with_channel("", 0));
        let other = others.first().map(|file| format!(", but there is {file}")).unwrap_or_default();
        let decathlon = match json.training {
            Some(_) => "; dataset.json lists its files as the Decathlon does, which `msd: { root: ... }` reads",
            None => "",
        };
        let reason = format!(
            "no file ends with {first}, as dataset.json's file_ending requires of a first channel{other}{decathlon}"
        );
        return Err(DatasetError::Empty { source_name: folder, reason });
    }
    let largest = cases.values().filter_map(|channels| channels.last()).max().copied().unwrap_or(0);
    let count = json.num_channels().unwrap_or(largest + 1);
    let file = |name: &str, channel| format!("{}{ending}", with_channel(name, channel));
    if let Some((name, channel)) = cases.iter().find_map(|(name, own)| Some((name, own.range(count..).next()?))) {
        let file = file(name, *channel);
        let channels = if count == 1 { "1 channel".to_owned() } else { format!("{count} channels") };
        return Err(wrong(root, format!("it declares {channels}, but imagesTr has {file}")));
    }
    let subject = |name: String| {
        let images = (0..count).map(|channel| folder.join(file(&name, channel))).collect();
        let label = Some(root.join("labelsTr").join(format!("{name}{ending}")));
        Subject { name, images, label }
    };
    let note = others
        .iter()
        .find(|file| io::is_image(Path::new(file)))
        .map(|file| format!("{}: files without a channel number, such as {file}, are not read", folder.display()));
    let subjects = cases.into_keys().map(subject).collect();
    Ok(Listing { subjects, notes: note.into_iter().collect(), ..Listing::default() })
}

/// Replaces `$NAME` and `${NAME}` by the values of environment variables, as nnU-Net does in paths; unknown ones stay.
fn with_variables(path: &str) -> String {
    static VARIABLE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\$(\w+|\{[^}]*\})").expect("the expression is valid"));
    let value = |found: &Captures| {
        let name = found[1].trim_start_matches('{').trim_end_matches('}');
        std::env::var(name).unwrap_or_else(|_| found[0].to_owned())
    };
    VARIABLE.replace_all(path, value).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_variables_in_paths_are_replaced() {
        let path = std::env::var("PATH").unwrap();
        assert_eq!(with_variables("$PATH/a_${PATH}"), format!("{path}/a_{path}"));
        assert_eq!(with_variables("$NO_SUCH_VARIABLE/x$"), "$NO_SUCH_VARIABLE/x$");
    }
}
