//! `runner check --write-splits`: the folds of a cross-validation in nnU-Net's format.

use std::fs;
use std::path::Path;

use crate::terminal::{CliError, run_error};
use dataset::split;
use engine::experiment::check::DatasetIndex;
use engine::experiment::spec::Experiment;
use random::Seed;
use run_folder::folder::write_atomically;

/// Writes the training and validation subjects of every fold as nnU-Net's `splits_final.json`.
///
/// # Errors
/// When the split has no folds, or the file exists with other folds or cannot be written.
pub(super) fn write(path: &Path, experiment: &Experiment, index: &DatasetIndex) -> Result<(), CliError> {
    let split = &experiment.data.split;
    let folds = split::folds(split, Seed(experiment.seed), &index.listing);
    let folds = folds.map_err(|error| CliError::problem(error.to_string(), error.help()))?.ok_or_else(|| {
        let message =
            format!("--write-splits writes the folds of a cross-validation, but data.split is `{}`", split.name());
        CliError::problem(message, "use `split: { fold: { index: 0, count: 5 } }` or `split: { nnunet: { index: 0 } }`")
    })?;
    let text = split::to_splits_json(&folds);
    if path.exists() {
        if fs::read_to_string(path).is_ok_and(|written| written == text) {
            outln!("{} has these {} folds already", path.display(), folds.len());
            return Ok(());
        }
        let message = format!("{} exists with different content", path.display());
        return Err(CliError::problem(
            message,
            "remove the file or choose another name; runs that use the file would get different folds",
        ));
    }
    write_atomically(path, text.as_bytes()).map_err(run_error)?;
    outln!("{} folds written to {}", folds.len(), path.display());
    Ok(())
}
