//! Image and label files found by glob patterns.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{DatasetError, FoldersSource, Listing, without_channel};
use crate::subject::Subject;
use volume::io::case_name;

pub(super) fn list(source: &FoldersSource) -> Result<Listing, DatasetError> {
    let several = source.images.0.len() > 1;
    let mut channels = Vec::new();
    for pattern in &source.images.0 {
        channels.push(find(pattern, several)?);
    }
    let labels = find(&source.labels, false)?;
    let Some(first) = channels.first() else {
        let reason = "expected at least one pattern of images".to_owned();
        return Err(DatasetError::Pattern { pattern: "[]".to_owned(), reason });
    };
    let names: BTreeMap<&String, &PathBuf> = channels.iter().rev().flatten().collect();
    let mut subjects = Vec::with_capacity(first.len());
    for (name, file) in names {
        let missing = |what: &str, pattern: &str| DatasetError::Incomplete {
            subject: name.clone(),
            file: file.clone(),
            reason: format!("no {what} of this name matches {pattern}"),
        };
        let mut images = Vec::new();
        for (channel, pattern) in channels.iter().zip(&source.images.0) {
            images.push(channel.get(name).ok_or_else(|| missing("image", pattern))?.clone());
        }
        let label = labels.get(name).ok_or_else(|| missing("label", &source.labels))?.clone();
        subjects.push(Subject { name: name.clone(), images, label: Some(label) });
    }
    Ok(Listing { subjects, label_names: None, phantom: None })
}

/// The files of a pattern by stem; hidden ones are left out.
fn find(pattern: &str, channel_suffix: bool) -> Result<BTreeMap<String, PathBuf>, DatasetError> {
    let wrong = |reason: String| DatasetError::Pattern { pattern: pattern.to_owned(), reason };
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in glob::glob(pattern).map_err(|error| wrong(error.to_string()))? {
        let path = path.map_err(|error| wrong(error.to_string()))?;
        if hidden(&path) || path.is_dir() {
            continue;
        }
        let name = case_name(&path);
        let name = if channel_suffix { without_channel(&name).to_owned() } else { name };
        if let Some(first) = files.insert(name.clone(), path.clone()) {
            return Err(DatasetError::Repeated { name, first, second: path });
        }
    }
    if files.is_empty() { Err(wrong("no file matches it".to_owned())) } else { Ok(files) }
}

fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}
