//! The checkpoint files of a run: the latest state and those before it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{CheckpointError, State};
use nn::weights;
use run_folder::folder::{RunError, RunFolder, sync_folder, write_atomically};

/// Minimum number of states that are kept, even if `keep_last` is lower: the latest, and one to fall back to.
const MIN_STATES: usize = 2;

/// The latest state of a run that can be read.
#[derive(Clone, Debug, Default)]
pub struct LatestCheckpoint {
    /// The state; `None` if the run has no checkpoint yet.
    pub state: Option<State>,
    /// Later states that cannot be read, each with the reason.
    pub damaged: Vec<(PathBuf, String)>,
}

/// Reads the latest state of a run that can be read.
///
/// # Errors
/// When there are states and none can be read.
pub fn latest(folder: &RunFolder) -> Result<LatestCheckpoint, CheckpointError> {
    let mut damaged = Vec::new();
    // A process killed between two renames leaves no latest state, and damaged ones that were renamed leave gaps.
    for age in folder.ages_of_states()? {
        let [_, path] = folder.aged_checkpoint(age);
        let state = std::fs::read(&path).map_err(|error| error.to_string()).and_then(|bytes| State::from_bytes(&bytes));
        match state {
            Ok(state) => return Ok(LatestCheckpoint { state: Some(state), damaged }),
            Err(reason) => damaged.push((path, reason)),
        }
    }
    if damaged.is_empty() {
        return Ok(LatestCheckpoint::default());
    }
    let reasons = damaged.iter().map(|(path, reason)| format!("{}: {reason}", path.display()));
    Err(CheckpointError::Damaged(reasons.collect()))
}

impl LatestCheckpoint {
    /// Returns a warning for each state that cannot be read.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.damaged.iter().map(|(path, reason)| {
            format!("{} cannot be read, so the checkpoint before it is used: {reason}", path.display())
        })
    }

    /// Renames unreadable states, so that the next ones do not replace them: `.damaged` is appended to their names.
    ///
    /// # Errors
    /// When a file cannot be renamed.
    pub fn rename_damaged(&self) -> Result<(), CheckpointError> {
        self.damaged.iter().try_for_each(|(path, _)| {
            let mut renamed = path.clone().into_os_string();
            renamed.push(".damaged");
            std::fs::rename(path, &renamed).map_err(|source| write_error(path, source))
        })
    }
}

impl State {
    /// Writes weights and state as the latest checkpoint; `keep` checkpoints are kept, and at least two states.
    ///
    /// # Errors
    /// When a file cannot be written; the earlier checkpoints stay.
    pub fn commit(&self, folder: &RunFolder, keep: usize) -> Result<PathBuf, CheckpointError> {
        let [weights, state] = folder.aged_checkpoint(0);
        let partial = folder.partial_checkpoint();
        write_atomically(&partial[0], &weights::to_safetensors(&self.prediction_weights()))?;
        write_atomically(&partial[1], &self.to_bytes())?;
        // From here on files are only renamed.
        for (kind, keep) in [keep, keep.max(MIN_STATES)].into_iter().enumerate() {
            for age in (1..keep).rev() {
                let [newer, older] = [age - 1, age].map(|age| folder.aged_checkpoint(age)[kind].clone());
                rename(&newer, &older)?;
            }
        }
        rename(&partial[0], &weights)?;
        rename(&partial[1], &state)?;
        sync_folder(&weights)?;
        Ok(weights)
    }
}

/// Renames a file if it exists.
fn rename(from: &Path, to: &Path) -> Result<(), CheckpointError> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        renamed => renamed.map_err(|source| write_error(to, source)),
    }
}

fn write_error(path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::Folder(RunError::Write { path: path.to_owned(), source })
}
