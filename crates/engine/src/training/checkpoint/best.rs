//! The weights of the best epochs.

use std::path::Path;

use super::{BestEpoch, CheckpointError};
use nn::weights::{self, NamedTensor};
use run_folder::folder::{RunFolder, write_atomically};
use run_folder::table::is_better;

/// Keeps the weights of an epoch among the best, and forgets those that fall out.
///
/// The weights of each kept epoch lie in a file of their own, and `best.safetensors` holds those of
/// the first; so doing it again after a crash gives the same files.
///
/// # Errors
/// When the disk refuses.
pub fn keep_best(
    folder: &RunFolder,
    best: &mut Vec<BestEpoch>,
    new: BestEpoch,
    monitor: &str,
    keep: usize,
    weights: &[NamedTensor],
) -> Result<bool, CheckpointError> {
    let place = best.iter().position(|kept| is_better(monitor, new.value, kept.value)).unwrap_or(best.len());
    if place >= keep {
        return Ok(false);
    }
    best.insert(place, new);
    let bytes = weights::to_safetensors(weights);
    if keep > 1 {
        write_atomically(&folder.best_weights_of(new.epoch), &bytes)?;
    }
    if place == 0 {
        write_atomically(&folder.best_weights(), &bytes)?;
    }
    for fallen in best.drain(keep.min(best.len())..) {
        remove(&folder.best_weights_of(fallen.epoch))?;
    }
    Ok(place == 0)
}

fn remove(path: &Path) -> Result<(), CheckpointError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(CheckpointError::Remove { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
