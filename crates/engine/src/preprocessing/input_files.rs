//! The files that a run reads, identified by their content.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::PreprocessError;
use crate::experiment::plan::{Case, Plan};
use dataset::cache::{FileHashes, Hashed};
use dataset::queue::MakeError;
use run_folder::event::Event;
use run_folder::manifest::InputFile;

/// Hashes the files of some subjects of a plan; returns `None` when `stop` was set before the last one.
///
/// # Errors
/// When a file cannot be read; the subject is named.
pub(crate) fn hash_subjects(
    plan: &Plan,
    names: &[&String],
    hashes: &FileHashes,
    stop: &AtomicBool,
    emit: &mut (dyn FnMut(Event) + Send),
) -> Result<Option<BTreeMap<String, Vec<InputFile>>>, PreprocessError> {
    let progress = Mutex::new((0, emit));
    let subjects = names
        .par_iter()
        .take_any_while(|_| !stop.load(Ordering::Relaxed))
        .map(|name| {
            let files = hash_subject(&plan.cases[*name], hashes).map_err(PreprocessError::of_subject(name))?;
            let mut progress = progress.lock().expect("reporting progress does not panic");
            progress.0 += 1;
            let done = progress.0;
            (progress.1)(Event::Preparing { task: "hashing files", done, total: names.len() });
            Ok(((*name).clone(), files))
        })
        .collect::<Result<BTreeMap<_, _>, PreprocessError>>()?;
    Ok((subjects.len() == names.len()).then_some(subjects))
}

/// Hashes the files of a subject.
///
/// # Errors
/// When one cannot be read.
pub(crate) fn hash_subject(case: &Case, hashes: &FileHashes) -> Result<Vec<InputFile>, MakeError> {
    paths(case).map(|path| hash_file(path, hashes)).collect()
}

/// Returns the files of a subject if all of them have been hashed before.
pub(crate) fn known(case: &Case, hashes: &FileHashes) -> Option<Vec<InputFile>> {
    paths(case).map(|path| Some(input_file(path, hashes.known(path)?))).collect()
}

/// Hashes the file of the weights that training starts from.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn hash_initial_weights(plan: &Plan, hashes: &FileHashes) -> Result<Option<InputFile>, PreprocessError> {
    let path = plan.experiment.train.initial_weights.as_ref().map(|weights| weights.path());
    // A resumed run does not need the file any more.
    let hashed = path.filter(|path| path.exists()).map(|path| hash_file(&path, hashes)).transpose();
    hashed.map_err(PreprocessError::InitialWeights)
}

/// Returns a subject's files: those of its volume, then its weight maps.
fn paths(case: &Case) -> impl Iterator<Item = &Path> {
    volume_paths(case).chain(case.weight_maps.values().map(PathBuf::as_path))
}

/// Returns the files of a subject's volume: images, then the label map.
pub(super) fn volume_paths(case: &Case) -> impl Iterator<Item = &Path> {
    case.subject.images.iter().chain(&case.subject.label).map(PathBuf::as_path)
}

/// Hashes a file.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn hash_file(path: &Path, hashes: &FileHashes) -> Result<InputFile, MakeError> {
    let hashed = hashes.hash(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(input_file(path, hashed))
}

fn input_file(path: &Path, Hashed { bytes, sha256 }: Hashed) -> InputFile {
    InputFile { path: path.to_owned(), bytes, sha256 }
}
