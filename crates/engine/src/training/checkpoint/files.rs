//! Where the states of a run lie, the newest and those before.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{CheckpointError, State};
use nn::weights;
use run_folder::folder::{RunError, RunFolder, sync_folder, write_atomically};

/// How many states remain, even where fewer checkpoints are asked for: the newest, and the one to go back to.
const LEAST_STATES: usize = 2;

/// The newest state of a run that can be read.
#[derive(Clone, Debug, Default)]
pub struct Newest {
    /// The state; `None` where the run has no checkpoint yet.
    pub state: Option<State>,
    /// Newer ones that cannot be read, and why.
    pub damaged: Vec<(PathBuf, String)>,
}

/// Looks for the newest state of a run that can be read.
///
/// # Errors
/// When there are some and none can be read.
pub fn newest(folder: &RunFolder) -> Result<Newest, CheckpointError> {
    let mut damaged = Vec::new();
    // Between two names the newest is not there for a moment, and those that were put aside leave gaps.
    for age in folder.ages_of_states()? {
        let [_, path] = folder.aged_checkpoint(age);
        let state = std::fs::read(&path).map_err(|error| error.to_string()).and_then(|bytes| State::from_bytes(&bytes));
        match state {
            Ok(state) => return Ok(Newest { state: Some(state), damaged }),
            Err(reason) => damaged.push((path, reason)),
        }
    }
    if damaged.is_empty() {
        return Ok(Newest::default());
    }
    let told = damaged.iter().map(|(path, reason)| format!("{}: {reason}", path.display()));
    Err(CheckpointError::Damaged(told.collect()))
}

impl Newest {
    /// Says which states are passed over, in words.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.damaged.iter().map(|(path, reason)| {
            format!("{} cannot be read, so the checkpoint before it is used: {reason}", path.display())
        })
    }

    /// Moves unreadable states out of the way of those to come: each keeps its content under a name that ends in `.damaged`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn set_aside(&self) -> Result<(), CheckpointError> {
        self.damaged.iter().try_for_each(|(path, _)| {
            let mut aside = path.clone().into_os_string();
            aside.push(".damaged");
            std::fs::rename(path, &aside).map_err(|source| refused(path, source))
        })
    }
}

impl State {
    /// Writes the newest weights, then the state that makes them the newest; `keep` checkpoints remain, and of
    /// states at least two.
    ///
    /// # Errors
    /// When the disk refuses; what was there before stays.
    pub fn commit(&self, folder: &RunFolder, keep: usize) -> Result<PathBuf, CheckpointError> {
        let [weights, state] = folder.aged_checkpoint(0);
        let coming = folder.coming_checkpoint();
        write_atomically(&coming[0], &weights::to_safetensors(&self.weights))?;
        write_atomically(&coming[1], &self.to_bytes())?;
        // From here on nothing is written any more, only renamed.
        for (kind, keep) in [keep, keep.max(LEAST_STATES)].into_iter().enumerate() {
            for age in (1..keep).rev() {
                let [newer, older] = [age - 1, age].map(|age| folder.aged_checkpoint(age)[kind].clone());
                rename(&newer, &older)?;
            }
        }
        rename(&coming[0], &weights)?;
        rename(&coming[1], &state)?;
        sync_folder(&weights)?;
        Ok(weights)
    }
}

/// Renames a file, if it is there.
fn rename(from: &Path, to: &Path) -> Result<(), CheckpointError> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        renamed => renamed.map_err(|source| refused(to, source)),
    }
}

fn refused(path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::Folder(RunError::Write { path: path.to_owned(), source })
}
