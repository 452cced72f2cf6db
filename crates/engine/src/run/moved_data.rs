//! Data that moved since a run started: the same files at another place.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::experiment::load::Document;
use crate::experiment::plan::Plan;
use crate::experiment::problem::Problems;
use crate::preprocessing::{PreprocessError, input_files};
use dataset::cache::FileHashes;
use run_folder::manifest::{InputFile, Inputs};

/// Adds to problems with the files of a run's data how to say that they moved.
pub fn with_moved_data_help(problems: Problems, document: &Document) -> Problems {
    let Problems(mut problems) = problems;
    let source = &document.experiment.data.source;
    let tree = serde_json::to_value(source).unwrap_or_default();
    let keys = tree[source.name()].as_object().into_iter().flat_map(|keys| keys.keys());
    let sets: Vec<String> = keys.map(|key| format!("`--set data.source.{}.{key}=…`", source.name())).collect();
    let moved = format!("if the data moved, name its new place with {}", sets.join(" and "));
    for problem in problems.iter_mut().filter(|problem| problem.is_dataset_problem) {
        let help = problem.help.take().map(|help| format!("{help}; {moved}"));
        problem.help = Some(help.unwrap_or_else(|| moved.clone()));
    }
    Problems(problems)
}

/// Data that a run cannot continue with or be scored on.
#[derive(Debug, thiserror::Error)]
pub enum MovedDataError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] PreprocessError),
    /// Files have another content than those that the run was trained on.
    #[error("{}", differences(.0))]
    Differs(Vec<PathBuf>),
}

fn differences(files: &[PathBuf]) -> String {
    let count = if let [_] = files { "1 file differs".to_owned() } else { format!("{} files differ", files.len()) };
    let example = files.first().map(|file| format!(", such as {}", file.display())).unwrap_or_default();
    format!("{count} in content from the files that the run was trained on{example}")
}

/// Checks that the files of subjects have the content that a run recorded, wherever they are. Subjects of which the run
/// recorded nothing, such as those of the test part, are not compared.
///
/// Hashes are looked up and stored in `hashes`, the folder of the cached volumes.
///
/// # Errors
/// When a file differs or cannot be read.
pub fn check_same_content<'a>(
    plan: &Plan,
    recorded: &Inputs,
    names: impl IntoIterator<Item = &'a String>,
    hashes: &Path,
) -> Result<(), MovedDataError> {
    let hashes = FileHashes::load(hashes);
    let known = names.into_iter().filter_map(|name| Some((name, recorded.subjects.get(name)?)));
    let known: Vec<(&String, &Vec<InputFile>)> = known.collect();
    let compare = |(name, before): (&String, &Vec<InputFile>)| -> Result<Vec<PathBuf>, PreprocessError> {
        let files = input_files::hash_subject(&plan.cases[name], &hashes).map_err(PreprocessError::of_subject(name))?;
        let differs = |(index, file): (usize, &InputFile)| {
            before.get(index).is_none_or(|before| before.sha256 != file.sha256).then(|| file.path.clone())
        };
        let mut changed: Vec<PathBuf> = files.iter().enumerate().filter_map(differs).collect();
        changed.extend(before.iter().skip(files.len()).map(|missing| missing.path.clone()));
        Ok(changed)
    };
    let changed = known.into_par_iter().map(compare).collect::<Result<Vec<_>, _>>();
    // The table of hashes only saves time.
    let _ = hashes.save();
    let changed = changed?.concat();
    if changed.is_empty() { Ok(()) } else { Err(MovedDataError::Differs(changed)) }
}
