//! The files that a run reads, by their content.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::TrainError;
use crate::experiment::plan::{Case, Plan};
use dataset::cache::{FileHashes, Hashed};
use dataset::queue::MakeError;
use run_folder::event::Event;
use run_folder::manifest::InputFile;

/// The files of the training subjects; `None` when it was told to stop before the last one.
///
/// # Errors
/// When a file cannot be read; the subject is named.
pub(super) fn of_training(
    plan: &Plan,
    hashes: &FileHashes,
    stop: &AtomicBool,
    tell: &mut (dyn FnMut(Event) + Send),
) -> Result<Option<BTreeMap<String, Vec<InputFile>>>, TrainError> {
    let names = &plan.parts.train;
    let progress = Mutex::new((0, tell));
    let subjects = names
        .par_iter()
        .take_any_while(|_| !stop.load(Ordering::Relaxed))
        .map(|name| {
            let files = of_subject(&plan.cases[name], hashes);
            let files = files.map_err(|source| TrainError::Subject { subject: name.clone(), source })?;
            let mut progress = progress.lock().expect("telling of progress does not panic");
            progress.0 += 1;
            let done = progress.0;
            (progress.1)(Event::Preparing { task: "hashing files", done, total: names.len() });
            Ok((name.clone(), files))
        })
        .collect::<Result<BTreeMap<_, _>, TrainError>>()?;
    Ok((subjects.len() == names.len()).then_some(subjects))
}

/// The files of a subject.
///
/// # Errors
/// When one cannot be read.
pub(super) fn of_subject(case: &Case, hashes: &FileHashes) -> Result<Vec<InputFile>, MakeError> {
    paths(case).map(|path| file(path, hashes)).collect()
}

/// The files of a subject, where all were hashed before.
pub(super) fn known(case: &Case, hashes: &FileHashes) -> Option<Vec<InputFile>> {
    paths(case).map(|path| Some(input(path, hashes.known(path)?))).collect()
}

/// The file of the weights that training begins with.
///
/// # Errors
/// When it cannot be read.
pub(super) fn initial_weights(plan: &Plan, hashes: &FileHashes) -> Result<Option<InputFile>, TrainError> {
    let path = plan.experiment.train.initial_weights.as_deref();
    // What training began with need not be there any more when it goes on.
    let read = path.filter(|path| path.exists()).map(|path| file(path, hashes)).transpose();
    read.map_err(|source| TrainError::Subject { subject: "the initial weights".to_owned(), source })
}

/// A subject's files: those of its volume, then a map of weights.
fn paths(case: &Case) -> impl Iterator<Item = &Path> {
    volume_paths(case).chain(case.weights.as_deref())
}

/// The files of a subject's volume: images, then the label map.
pub(super) fn volume_paths(case: &Case) -> impl Iterator<Item = &Path> {
    case.subject.images.iter().chain(&case.subject.label).map(std::path::PathBuf::as_path)
}

fn file(path: &Path, hashes: &FileHashes) -> Result<InputFile, MakeError> {
    let hashed = hashes.hash(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(input(path, hashed))
}

fn input(path: &Path, Hashed { bytes, sha256 }: Hashed) -> InputFile {
    InputFile { path: path.to_owned(), bytes, sha256 }
}
