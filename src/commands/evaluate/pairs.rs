//! The cases of two folders: predictions and the label maps that they are scored against.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Missing;
use crate::terminal::CliError;
use volume::io::{self, unsupported_in};

/// A reference label map and its prediction.
pub(in crate::commands) struct Files {
    /// The prediction; `None` if it is missing and scored as empty.
    pub prediction: Option<PathBuf>,
    /// The label map.
    pub truth: PathBuf,
}

/// Returns the cases of a folder of label maps, by name, with their predictions; warns about predictions without a label
/// map.
///
/// # Errors
/// When no name of one folder is in the other, or a prediction is missing and that is to be refused.
pub(super) fn find(predictions: &Path, truths: &Path, missing: Missing) -> Result<BTreeMap<String, Files>, CliError> {
    let (mut prediction_files, truth_files) = (label_maps(predictions)?, label_maps(truths)?);
    let total = truth_files.len();
    let pairs: BTreeMap<String, Files> = truth_files
        .into_iter()
        .map(|(name, truth)| {
            let prediction = prediction_files.remove(&name);
            (name, Files { prediction, truth })
        })
        .collect();
    let absent: Vec<&str> =
        pairs.iter().filter(|(_, files)| files.prediction.is_none()).map(|(name, _)| name.as_str()).collect();
    if absent.len() == total {
        return Err(CliError::problem(
            format!("no file name in {} matches one in {}", predictions.display(), truths.display()),
            format!("give a prediction the file name of its label map, with the ending {}", io::endings()),
        ));
    }
    if !prediction_files.is_empty() {
        let names: Vec<&str> = prediction_files.keys().map(String::as_str).collect();
        let which = if names.len() == 1 { "1 prediction has" } else { &format!("{} predictions have", names.len()) };
        eprintln!("warning: {which} no label map and cannot be scored: {}", few(&names));
    }
    if missing == Missing::Refuse && !absent.is_empty() {
        let verb = if absent.len() == 1 { "has" } else { "have" };
        return Err(CliError::problem(
            format!("{} of {total} label maps {verb} no prediction: {}", absent.len(), few(&absent)),
            "predict them, name a folder with the other label maps only, or pass --missing score-as-empty to score them as if nothing had been predicted",
        ));
    }
    Ok(pairs)
}

/// Checks that no folder is given twice: label maps agree with themselves, which looks like a perfect score.
///
/// # Errors
/// When two paths are the same folder.
pub(in crate::commands) fn check_different(folders: &[&Path]) -> Result<(), CliError> {
    let mut known: BTreeMap<PathBuf, &Path> = BTreeMap::new();
    for folder in folders {
        let canonical = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
        if let Some(other) = known.insert(canonical, folder) {
            let message = match other == *folder {
                true => format!("{} is given twice", folder.display()),
                false => format!("{} and {} are the same folder", other.display(), folder.display()),
            };
            return Err(CliError::problem(message, "a folder cannot be compared with itself; name different folders"));
        }
    }
    Ok(())
}

/// Formats the first of some names.
pub(in crate::commands) fn few(names: &[impl AsRef<str>]) -> String {
    const MAX_SHOWN: usize = 5;
    let more = names.len().saturating_sub(MAX_SHOWN);
    let shown: Vec<&str> = names[..names.len() - more].iter().map(AsRef::as_ref).collect();
    let shown = shown.join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// Returns the image files of a folder, in alphabetical order.
pub(super) fn images_in(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let entries = std::fs::read_dir(folder).map_err(|error| {
        CliError::problem(format!("cannot read {}: {error}", folder.display()), "name a folder of images or label maps")
    })?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| CliError::failure(&error))?.path();
        files.extend(io::is_image(&path).then_some(path));
    }
    files.sort();
    match no_images(folder).filter(|_| files.is_empty()) {
        Some(error) => Err(error),
        None => Ok(files),
    }
}

/// Returns the error of a folder without images whose files have a format that cannot be read; `None` if it has none of these.
pub(in crate::commands) fn no_images(folder: &Path) -> Option<CliError> {
    let (file, format) = unsupported_in(folder)?;
    let message = format!("{} has no images that can be read: {} is {}", folder.display(), file.display(), format.name);
    Some(CliError::problem(message, format.conversion))
}

/// Returns the label maps of a folder, by case name.
pub(in crate::commands) fn label_maps(folder: &Path) -> Result<BTreeMap<String, PathBuf>, CliError> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in images_in(folder)? {
        if let Some(other) = files.insert(io::case_name(&path), path.clone()) {
            let message = format!("{} and {} are the same case", other.display(), path.display());
            return Err(CliError::problem(message, "keep one of them"));
        }
    }
    // Probabilities that `runner predict` writes next to a label map are no label map.
    let is_probabilities =
        |name: &String| name.strip_suffix("_probabilities").is_some_and(|case| files.contains_key(case));
    let probabilities: Vec<String> = files.keys().filter(|name| is_probabilities(name)).cloned().collect();
    probabilities.iter().for_each(|name| {
        files.remove(name);
    });
    Ok(files)
}
