//! The files of predictions: their names, and which of them exist already.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::case::CaseSettings;
use super::record::{Identity, input_file, input_files};
use crate::terminal::CliError;
use dataset::subject::Subject;
use run_folder::manifest::InputFile;
use sweep::claim::{ClaimState, claims};
use volume::io;

/// The suffix of the case name in the file name of its probabilities.
const PROBABILITIES: &str = "_probabilities";

/// The files of a case's prediction.
#[derive(Debug)]
pub(in crate::commands) struct CaseFiles {
    /// `CASE.nii.gz`.
    pub label_map: PathBuf,
    /// `CASE_probabilities.nii.gz`, if probabilities are written.
    pub probabilities: Option<PathBuf>,
    /// `CASE.json`.
    pub record: PathBuf,
}

impl CaseFiles {
    /// Returns the files of a case in a folder.
    pub(in crate::commands) fn new(folder: &Path, case: &str, probabilities: bool) -> Self {
        let file = |suffix: &str| folder.join(format!("{case}{suffix}"));
        Self {
            label_map: file(io::DEFAULT_ENDING),
            probabilities: probabilities.then(|| file(&format!("{PROBABILITIES}{}", io::DEFAULT_ENDING))),
            record: file(".json"),
        }
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.label_map, &self.record].into_iter().chain(&self.probabilities)
    }
}

/// Returns the files of each case; checks that all are different and that none would replace an image.
pub(super) fn plan(subjects: &[Subject], out: &Path, probabilities: bool) -> Result<Vec<CaseFiles>, CliError> {
    let images: BTreeSet<PathBuf> =
        subjects.iter().flat_map(|subject| &subject.images).filter_map(|image| image.canonicalize().ok()).collect();
    let files: Vec<CaseFiles> =
        subjects.iter().map(|subject| CaseFiles::new(out, &subject.name, probabilities)).collect();
    let mut written: BTreeMap<&PathBuf, &Path> = BTreeMap::new();
    for (subject, files) in subjects.iter().zip(&files) {
        let image = subject.images.first().map_or(Path::new(""), PathBuf::as_path);
        for path in files.all() {
            if path.canonicalize().is_ok_and(|path| images.contains(&path)) {
                let message = format!("the prediction of {} would replace an image", image.display());
                return Err(CliError::problem(message, "name another folder with --out"));
            }
            if let Some(other) = written.insert(path, image) {
                if other == image {
                    let message = format!("{} is named twice", image.display());
                    return Err(CliError::problem(message, "name each image once"));
                }
                let message =
                    format!("{} and {} would both write {}", other.display(), image.display(), path.display());
                return Err(CliError::problem(message, collision_help(subjects)));
            }
        }
    }
    Ok(files)
}

/// Advises how to give cases different names: after their folders if these are different.
fn collision_help(subjects: &[Subject]) -> String {
    let images: Vec<&PathBuf> = subjects.iter().filter_map(|subject| subject.images.first()).collect();
    let names: BTreeSet<_> = images.iter().filter_map(|image| image.file_name()).collect();
    let folders: BTreeSet<_> = images.iter().filter_map(|image| image.parent()).collect();
    let parents: BTreeSet<_> = folders.iter().filter_map(|folder| folder.parent()).collect();
    let separate = "predict them separately, with different --out folders";
    match (names.first(), parents.first()) {
        (Some(name), Some(parent)) if [names.len(), parents.len()] == [1, 1] && folders.len() == images.len() => {
            let pattern = parent.join("*").join(name);
            let pattern = pattern.display();
            format!(
                "name the cases after their folders with --channel '{pattern}', list them with --table, or {separate}"
            )
        }
        _ => format!("name the cases in a table for --table, or {separate}"),
    }
}

/// What exists of a prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existing {
    /// Nothing.
    Nothing,
    /// The same prediction.
    Done,
    /// A prediction of this program from other files, by other weights or with other options.
    Other,
    /// A file that this program did not write, or that was changed since.
    Foreign,
}

/// Returns the indices of the cases that need a prediction.
///
/// # Errors
/// When a file would be replaced that this program did not write or that was changed since, unless `overwrite` is set.
pub(super) fn unfinished(
    subjects: &[Subject],
    files: &[CaseFiles],
    settings: &CaseSettings,
    claims_folder: &Path,
    overwrite: bool,
) -> Result<Vec<usize>, CliError> {
    if overwrite {
        return Ok((0..subjects.len()).collect());
    }
    let states = || -> Vec<Existing> {
        subjects.iter().zip(files).map(|(subject, files)| existing(subject, files, settings)).collect()
    };
    let mut existing = states();
    let others = existing.iter().filter(|state| **state == Existing::Other).count();
    if others > 0 {
        let maps = if others == 1 { "label map".to_owned() } else { format!("{others} label maps") };
        eprintln!("warning: the {maps} of other weights, images or options in this folder will be replaced");
    }
    if existing.contains(&Existing::Foreign) {
        // Between its two files, a prediction that another process writes looks like one that it did not write; so does that
        // of a process that was killed there.
        let claims = claims(claims_folder).map_err(|error| CliError::failure(&error))?;
        existing = states();
        for (state, subject) in existing.iter_mut().zip(subjects).filter(|(state, _)| **state == Existing::Foreign) {
            if matches!(claims.get(&subject.name), Some(ClaimState::Held(_) | ClaimState::Dead(_))) {
                *state = Existing::Other;
            }
        }
    }
    let foreign: Vec<&Path> = existing
        .iter()
        .zip(files)
        .filter(|(state, _)| **state == Existing::Foreign)
        .map(|(_, files)| files.label_map.as_path())
        .collect();
    if let Some(first) = foreign.first() {
        let others = if foreign.len() > 1 { format!(" and {} more files", foreign.len() - 1) } else { String::new() };
        return Err(CliError::problem(
            format!(
                "{}{others} would be replaced: this version of `runner predict` did not write it, or it was changed since",
                first.display()
            ),
            "name another folder with --out, move what you corrected by hand, or replace it with --overwrite",
        ));
    }
    Ok((0..subjects.len()).filter(|index| existing[*index] != Existing::Done).collect())
}

/// Returns whether a case has the prediction that would be made.
pub(in crate::commands) fn is_done(subject: &Subject, files: &CaseFiles, settings: &CaseSettings) -> bool {
    existing(subject, files, settings) == Existing::Done
}

fn existing(subject: &Subject, files: &CaseFiles, settings: &CaseSettings) -> Existing {
    if !files.label_map.exists() {
        return Existing::Nothing;
    }
    let Some(identity) = Identity::read(&files.record) else { return Existing::Foreign };
    let is_content = |file: &InputFile, other: &InputFile| (file.bytes, &file.sha256) == (other.bytes, &other.sha256);
    if !input_file(&files.label_map).is_ok_and(|file| is_content(&file, &identity.label_map)) {
        return Existing::Foreign;
    }
    let is_same = identity.made_by.has_same_weights(&settings.made_by)
        && identity.resample == settings.resample
        && identity.selection == settings.selection
        && files.probabilities.iter().all(|path| path.exists())
        && identity.images.len() == subject.images.len()
        && input_files(&subject.images)
            .is_ok_and(|images| images.iter().zip(&identity.images).all(|(image, other)| is_content(image, other)));
    if is_same { Existing::Done } else { Existing::Other }
}
