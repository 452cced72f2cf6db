//! `CASE.json`, the record of a prediction: the volumes of its labels and regions, what made it, and from which files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use engine::fingerprint::DifferenceKind;
use engine::inference::volumetry::{LabelVolume, RegionVolume};
use engine::prediction::provenance::UsedWeights;
use engine::prediction::{Provenance, Unfinished};
use run_folder::folder::{RunError, write_atomically};
use run_folder::manifest::InputFile;
use volume::io;

/// `CASE.json`.
#[derive(Debug, Serialize)]
pub(super) struct Record<'a> {
    /// The first image file.
    pub image: &'a Path,
    /// The run folders.
    pub runs: Vec<&'a Path>,
    /// Voxels of the label map along x, y and z.
    pub shape: [usize; 3],
    /// Millimetres between its voxels.
    pub spacing_mm: [f64; 3],
    /// The volume of each label and its connected components.
    pub labels: &'a [LabelVolume],
    /// The volume of each region and its connected components, if the network predicts regions.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub regions: &'a [RegionVolume],
    /// Seconds that the prediction took.
    pub seconds: f64,
    /// What is unlike the training scans about the image; `null` if no run folder describes its training scans.
    pub unlike_training: Option<Vec<UnlikeTraining<'a>>>,
    /// What identifies the prediction.
    #[serde(flatten)]
    pub identity: Identity,
}

/// A property of an image that no training scan of a run had.
#[derive(Debug, Serialize)]
pub(super) struct UnlikeTraining<'a> {
    /// The run folder.
    pub run: &'a Path,
    /// The property.
    pub kind: DifferenceKind,
    /// The difference in words.
    pub message: String,
}

/// What a prediction was made from and what it is: the part of the record that is read again.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Identity {
    /// The image files, one for all channels or one per channel.
    pub images: Vec<InputFile>,
    /// What made the prediction.
    pub made_by: Provenance,
    /// Whether scans unlike the training scans were resampled to the spacing of these.
    pub resample: bool,
    /// The SHA-256 of the selection that it was made by, if by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<String>,
    /// The label map as it was written.
    pub label_map: InputFile,
}

impl Record<'_> {
    /// Writes the record.
    pub(super) fn write(&self, path: &Path) -> Result<(), RunError> {
        let text = serde_json::to_string_pretty(self).expect("a record is plain data") + "\n";
        write_atomically(path, text.as_bytes())
    }
}

impl Identity {
    /// Reads the identity of an earlier prediction; `None` if there is none, as in records of earlier versions.
    pub(super) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }
}

/// Returns a sentence for each run that made some of these label maps before its training was finished, as their records say.
pub(in crate::commands) fn unfinished_notes<'a>(label_maps: impl IntoIterator<Item = &'a PathBuf>) -> Vec<String> {
    let mut runs: BTreeMap<PathBuf, (Unfinished, usize)> = BTreeMap::new();
    for label_map in label_maps {
        let record = label_map.with_file_name(format!("{}.json", io::case_name(label_map)));
        let weights = Identity::read(&record).into_iter().flat_map(|identity| identity.made_by.weights);
        for UsedWeights { run, unfinished, .. } in weights {
            let Some(unfinished) = unfinished else { continue };
            runs.entry(run).or_insert((unfinished, 0)).1 += 1;
        }
    }
    let note = |(run, (unfinished, count)): (PathBuf, (Unfinished, usize))| {
        let maps = if count == 1 { "1 label map was".to_owned() } else { format!("{count} label maps were") };
        format!("{maps} predicted by {}, whose training was not finished: {unfinished}", run.display())
    };
    runs.into_iter().map(note).collect()
}

/// Identifies a file by its content.
pub(super) fn input_file(path: &Path) -> std::io::Result<InputFile> {
    let bytes = std::fs::metadata(path)?.len();
    Ok(InputFile { path: path.to_owned(), bytes, sha256: dataset::cache::hash_content(path)? })
}

/// Identifies files by their content.
pub(super) fn input_files(paths: &[PathBuf]) -> std::io::Result<Vec<InputFile>> {
    paths.iter().map(|path| input_file(path)).collect()
}
