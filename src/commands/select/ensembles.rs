//! Ensembles of two settings: their label maps, from the mean of their probabilities.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::SelectArgs;
use super::candidates::Candidate;
use super::predictions::{OpenRun, Predicted};
use crate::commands::predict::predict_error;
use crate::output_paths::make_folder;
use crate::terminal::CliError;
use engine::prediction::Ensemble;
use values::Bytes;
use volume::memory::memory_limit_bytes;
use volume::{Grid, Label, Voxels, io};

/// Checks that the probabilities of all settings for the largest subject fit into memory.
///
/// # Errors
/// When they do not.
pub(super) fn check_memory(num_settings: usize, num_classes: usize, open: &OpenRun) -> Result<(), CliError> {
    let largest = open.plan.cases.values().map(|case| case.grid.num_voxels()).max().unwrap_or(0);
    // One more for the mean of a pair.
    let bytes = (largest * num_classes * size_of::<f32>()) as u64 * (num_settings as u64 + 1);
    match memory_limit_bytes().filter(|limit| bytes > *limit) {
        None => Ok(()),
        Some(limit) => Err(CliError::problem(
            format!(
                "the probabilities of {num_settings} settings take {} for the largest image, and this machine has {}",
                Bytes(bytes),
                Bytes(limit)
            ),
            "compare fewer settings at a time, or leave ensembles out with --no-ensembles",
        )),
    }
}

/// Returns the file of a candidate's label map: in the run folder, or of an ensemble in a folder named after its weights.
pub(super) fn file(candidate: &Candidate, subject: &str, open: &[OpenRun], arguments: &SelectArgs) -> PathBuf {
    if let [setting] = candidate.settings[..] {
        return open[setting].label_map(subject);
    }
    let mut hash = Sha256::new();
    hash.update([u8::from(arguments.weights.resample)]);
    for setting in &candidate.settings {
        let predictor = &open[*setting].predictor;
        hash.update(&predictor.weights.sha256);
        hash.update(predictor.experiment.to_yaml());
    }
    let name = &hex::encode(hash.finalize())[..16];
    folder(&arguments.runs).join(name).join(format!("{subject}{}", io::DEFAULT_ENDING))
}

/// Returns the folder of the ensembles' label maps.
fn folder(runs: &Path) -> PathBuf {
    runs.join("selection").join("ensembles")
}

/// Averages the probabilities of a pair, and writes and returns its label map.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn label_map(
    candidate: &Candidate,
    predicted: &[Predicted],
    grid: &Grid,
    open: &OpenRun,
    path: &Path,
) -> Result<Voxels<Label>, CliError> {
    let probabilities = candidate.settings.iter().map(|setting| predicted[*setting].probabilities.as_ref());
    let probabilities: Vec<&Voxels<f32>> = probabilities.flatten().collect();
    let factor = 1.0 / probabilities.len() as f32;
    let mut mean = vec![0.0; probabilities[0].len()];
    for one in probabilities {
        mean.par_iter_mut().zip(&one[..]).for_each(|(mean, value)| *mean += factor * value);
    }
    let ensemble = Ensemble::of_runs(std::slice::from_ref(&open.predictor)).map_err(predict_error)?;
    let averaged = ensemble.output(grid).label_map(&mean);
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let description = format!("runner {} {}", env!("CARGO_PKG_VERSION"), candidate.name);
    io::write_described_label(path, grid, &averaged, &description).map_err(|error| CliError::failure(&error))?;
    Ok(averaged)
}
