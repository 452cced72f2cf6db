//! The weights of the best epochs.

use std::path::Path;

use super::{BestEpoch, CheckpointError};
use nn::weights::{self, NamedTensor};
use run_folder::folder::{RunFolder, write_atomically};
use run_folder::table::is_better;

/// Stores the weights of an epoch if it is among the `keep` best, and removes those that no longer are. Returns whether
/// it is the best.
///
/// With `keep` above 1 the weights of each of these epochs have a file of their own; `best.safetensors` has those of
/// the best. Repeating the call after a crash writes the same files.
///
/// # Errors
/// When a file cannot be written or removed.
pub fn keep_best(
    folder: &RunFolder,
    best: &mut Vec<BestEpoch>,
    new: BestEpoch,
    monitor: &str,
    keep: usize,
    weights: &[NamedTensor],
) -> Result<bool, CheckpointError> {
    let rank = best.iter().position(|kept| is_better(monitor, new.value, kept.value)).unwrap_or(best.len());
    if rank >= keep {
        return Ok(false);
    }
    best.insert(rank, new);
    let bytes = weights::to_safetensors(weights);
    if keep > 1 {
        write_atomically(&folder.best_weights_of(new.epoch), &bytes)?;
    }
    if rank == 0 {
        write_atomically(&folder.best_weights(), &bytes)?;
    }
    for removed in best.drain(keep.min(best.len())..) {
        remove(&folder.best_weights_of(removed.epoch))?;
    }
    Ok(rank == 0)
}

fn remove(path: &Path) -> Result<(), CheckpointError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(CheckpointError::Remove { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
