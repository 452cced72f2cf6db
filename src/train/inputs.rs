//! The files that a run reads, by their content.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::TrainError;
use crate::data::cache::FileHashes;
use crate::run::event::Event;
use crate::run::manifest::{InputFile, Inputs};
use crate::spec::plan::{Case, Plan};

/// The files of some subjects, and the weights that training begins with; `None` when it was
/// told to stop before the last one.
///
/// # Errors
/// When a file cannot be read; the subject is named.
pub fn read(
    plan: &Plan,
    names: &[&String],
    hashes: &FileHashes,
    stop: &AtomicBool,
    tell: &mut (dyn FnMut(Event) + Send),
) -> Result<Option<Inputs>, TrainError> {
    let progress = Mutex::new((0, tell));
    let subjects = names
        .par_iter()
        .take_any_while(|_| !stop.load(Ordering::Relaxed))
        .map(|name| {
            let files = paths(&plan.cases[*name]).map(|path| file(path, hashes)).collect::<Result<_, _>>();
            let files = files.map_err(|source| TrainError::Subject { subject: (*name).clone(), source })?;
            let mut progress = progress.lock().expect("telling of progress does not panic");
            progress.0 += 1;
            let done = progress.0;
            (progress.1)(Event::Preparing { task: "hashing files", done, total: names.len() });
            Ok(((*name).clone(), files))
        })
        .collect::<Result<std::collections::BTreeMap<_, _>, TrainError>>()?;
    if subjects.len() < names.len() {
        return Ok(None);
    }
    let weights = plan.experiment.train.initial_weights.as_deref();
    // What training began with need not be there any more when it goes on.
    let weights = weights.filter(|path| path.exists()).map(|path| file(path, hashes)).transpose();
    let initial_weights =
        weights.map_err(|source| TrainError::Subject { subject: "the initial weights".to_owned(), source })?;
    Ok(Some(Inputs { subjects, initial_weights }))
}

/// A subject's files: images, then the label map, then a map of weights.
fn paths(case: &Case) -> impl Iterator<Item = &Path> {
    case.subject.images.iter().chain(&case.subject.label).chain(&case.weights).map(std::path::PathBuf::as_path)
}

fn file(path: &Path, hashes: &FileHashes) -> Result<InputFile, Box<dyn std::error::Error + Send + Sync>> {
    let read = || Ok((hashes.hash(path)?, path.metadata()?.len()));
    let read: std::io::Result<_> = read();
    let (sha256, bytes) = read.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(InputFile { path: path.to_owned(), bytes, sha256 })
}
