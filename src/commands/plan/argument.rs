//! The argument DATASET: the name of a dataset, and what is wrong with a path that is none.

use std::path::Path;

use crate::terminal::CliError;
use dataset::sources::DatasetError;
use engine::experiment::check;
use engine::experiment::problem::nearest;

/// Returns the name of a folder, with `_` for characters that names of experiments cannot have.
pub(super) fn folder_name(root: &Path) -> String {
    let absolute = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let name = absolute.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let replaced = |c: char| if c.is_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    let name: String = name.chars().map(replaced).collect();
    if check::is_folder_name(&name) { name } else { "dataset".to_owned() }
}

/// Returns the error of a folder that is no dataset.
pub(super) fn dataset_error(error: DatasetError) -> CliError {
    let help = match &error {
        DatasetError::Io { path, source }
            if source.kind() == std::io::ErrorKind::NotFound && path.ends_with("dataset.json") =>
        {
            "expected a folder with dataset.json, as nnU-Net and the Medical Segmentation Decathlon have it; other datasets \
             are planned from an experiment file with their `data.source`"
                .to_owned()
        }
        _ => error.help(),
    };
    CliError::problem(error.to_string(), help)
}

/// Returns the error of a path that does not exist, with the nearest name in its folder.
pub(super) fn missing(path: &Path) -> CliError {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names: Vec<String> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    let written = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let help = match nearest(&written, names.iter().map(String::as_str)) {
        Some(name) => format!("did you mean {}?", path.with_file_name(name).display()),
        None => "give the folder of a dataset, or an experiment file".to_owned(),
    };
    CliError::problem(format!("{} does not exist", path.display()), help)
}
