//! What lies where in a run folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use dataset::split::Parts;
use volume::atomic_file;

/// Bytes that are kept for the last words of a run on a full disk.
const RESERVE_BYTES: usize = 1 << 16;

/// A run folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The disk refused.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process is at work here.
    #[error("{} is in use by another process{}; wait for it, or stop it with Ctrl-C", path.display(), holder.as_deref().map(|holder| format!(" ({holder})")).unwrap_or_default())]
    Locked {
        /// The run folder.
        path: PathBuf,
        /// Who holds it, where that is known.
        holder: Option<String>,
    },
    /// A file of the folder is not what it should be.
    #[error("{} cannot be used: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A run folder that this process holds.
#[derive(Debug)]
pub struct RunFolder {
    root: PathBuf,
    /// Locked as long as this value lives; the system unlocks it when the process dies.
    _lock: File,
}

impl RunFolder {
    /// Makes `RUNS_DIR/NAME/ID` and takes hold of it; where the id is taken, `-2`, `-3`, … follow it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn create(runs_dir: &Path, name: &str, id: &str) -> Result<Self, RunError> {
        let parent = runs_dir.join(name);
        fs::create_dir_all(&parent).map_err(|source| RunError::Write { path: parent.clone(), source })?;
        for attempt in 1.. {
            let root = parent.join(if attempt == 1 { id.to_owned() } else { format!("{id}-{attempt}") });
            match fs::create_dir(&root) {
                Ok(()) => return Self::hold(root),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(RunError::Write { path: root, source }),
            }
        }
        unreachable!("some number is free")
    }

    /// Takes hold of a run folder that is there.
    ///
    /// # Errors
    /// When it is not there or another process holds it.
    pub fn open(root: &Path) -> Result<Self, RunError> {
        let manifest = root.join("manifest.json");
        match fs::metadata(&manifest) {
            Ok(_) => Self::hold(root.to_owned()),
            Err(source) => Err(RunError::Read { path: manifest, source }),
        }
    }

    /// Takes hold of a folder that is there, and makes the folders in it.
    ///
    /// # Errors
    /// When the disk refuses or another process holds it.
    pub fn hold(root: PathBuf) -> Result<Self, RunError> {
        for folder in ["checkpoints", "plots", "tensorboard"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(|source| RunError::Write { path, source })?;
        }
        let path = root.join(".lock");
        let opened = File::options().create(true).truncate(false).write(true).read(true).open(&path);
        let mut lock = opened.map_err(|source| RunError::Write { path: path.clone(), source })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).ok().filter(|holder| !holder.is_empty());
                return Err(RunError::Locked { path: root, holder });
            }
            // Some disks know no locks. In a sweep its claims still see to it that one process is at work.
            Err(fs::TryLockError::Error(source)) if source.kind() == io::ErrorKind::Unsupported => {}
            Err(fs::TryLockError::Error(source)) => return Err(RunError::Write { path, source }),
        }
        let holder = format!("process {} on {}", std::process::id(), super::manifest::host());
        let written = lock.set_len(0).and_then(|()| lock.write_all(holder.as_bytes()));
        written.map_err(|source| RunError::Write { path, source })?;
        let folder = Self { root, _lock: lock };
        for folder in [folder.root(), &folder.checkpoint(""), &folder.plot("")] {
            atomic_file::remove_temporary_files(folder)
                .map_err(|source| RunError::Write { path: folder.to_owned(), source })?;
        }
        write_atomically(&folder.reserve(), &[0; RESERVE_BYTES])?;
        Ok(folder)
    }

    /// Whether a process holds a run folder; where that cannot be told, nobody is said to.
    pub fn is_held(root: &Path) -> bool {
        // Opened without making it, and locked with others, so that asking disturbs nobody who asks too.
        let Ok(lock) = File::open(root.join(".lock")) else { return false };
        matches!(lock.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The experiment as given.
    pub fn experiment(&self) -> PathBuf {
        self.root.join("experiment.yaml")
    }

    /// The experiment as used, all defaults written.
    pub fn plan(&self) -> PathBuf {
        self.root.join("plan.yaml")
    }

    /// What the run says about itself.
    pub fn manifest(&self) -> PathBuf {
        self.root.join("manifest.json")
    }

    /// A file directly in the folder, such as `metrics.csv`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A plot, such as `loss.png`.
    pub fn plot(&self, name: &str) -> PathBuf {
        self.root.join("plots").join(name)
    }

    /// Event files for TensorBoard.
    pub fn tensorboard(&self) -> PathBuf {
        self.root.join("tensorboard")
    }

    /// Weights and state of the checkpoint that was the newest `age` checkpoints ago; 0 is the newest.
    pub fn aged_checkpoint(&self, age: usize) -> [PathBuf; 2] {
        match age {
            0 => self.checkpoint_named("last"),
            _ => self.checkpoint_named(&format!("last-{age}")),
        }
    }

    /// The ages of the checkpoints whose state is there, the newest first.
    ///
    /// # Errors
    /// When the folder of checkpoints cannot be read.
    pub fn ages_of_states(&self) -> Result<Vec<usize>, RunError> {
        let path = self.checkpoint("");
        let names = || fs::read_dir(&path)?.map(|file| Ok(file?.file_name())).collect::<io::Result<Vec<_>>>();
        let names = names().map_err(|source| RunError::Read { path: path.clone(), source })?;
        let age = |name: &std::ffi::OsString| match name.to_str()?.strip_suffix(".state.safetensors")? {
            "last" => Some(0),
            name => name.strip_prefix("last-")?.parse().ok(),
        };
        let mut ages: Vec<usize> = names.iter().filter_map(age).collect();
        ages.sort_unstable();
        Ok(ages)
    }

    /// Weights and state of a checkpoint that is being written.
    pub fn partial_checkpoint(&self) -> [PathBuf; 2] {
        self.checkpoint_named("coming")
    }

    fn checkpoint_named(&self, name: &str) -> [PathBuf; 2] {
        ["safetensors", "state.safetensors"].map(|ending| self.checkpoint(&format!("{name}.{ending}")))
    }

    /// The best weights.
    pub fn best_weights(&self) -> PathBuf {
        self.checkpoint("best.safetensors")
    }

    /// The weights of one of the best epochs.
    pub fn best_weights_of(&self, epoch: usize) -> PathBuf {
        self.checkpoint(&format!("best-epoch-{epoch:04}.safetensors"))
    }

    /// A file among the checkpoints.
    pub fn checkpoint(&self, name: &str) -> PathBuf {
        self.root.join("checkpoints").join(name)
    }

    /// Gives back the few bytes that were kept, so that a run on a full disk can still say why it failed.
    pub fn release_reserve(&self) {
        // Where even this fails, the message on the terminal remains.
        let _ = fs::remove_file(self.reserve());
    }

    fn reserve(&self) -> PathBuf {
        self.root.join(".reserve")
    }

    /// Writes the subjects of each part.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_split(&self, parts: &Parts) -> Result<(), RunError> {
        let text = serde_json::to_string_pretty(parts).expect("names are plain text") + "\n";
        write_atomically(&self.file("split.json"), text.as_bytes())
    }
}

impl Drop for RunFolder {
    /// The few bytes are kept as long as somebody may need them.
    fn drop(&mut self) {
        self.release_reserve();
    }
}

/// Puts the path of a file before what the system says of it.
pub fn naming(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Brings the names in the folder of a file onto the disk.
///
/// # Errors
/// When the disk refuses.
pub fn sync_folder(path: &Path) -> Result<(), RunError> {
    atomic_file::sync_folder(path).map_err(|source| RunError::Write { path: path.to_owned(), source })
}

/// Writes a whole file that appears complete or not at all, even where the machine stops in between.
///
/// # Errors
/// When the disk refuses; what was there before stays.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let written = atomic_file::write(path, |file| file.write_all(bytes));
    written.map_err(|source| RunError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_unfinished_is_removed() {
        let runs = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(runs.path(), "name", "id").unwrap();
        let unfinished = [folder.file(".partial-a"), folder.checkpoint(".partial-b"), folder.plot(".partial-c")];
        unfinished.iter().for_each(|path| fs::write(path, b"torn").unwrap());
        let root = folder.root().to_owned();
        drop(folder);
        RunFolder::hold(root).unwrap();
        assert!(unfinished.iter().all(|path| !path.exists()));
    }

    #[test]
    fn a_taken_id_gets_a_number() {
        let runs = tempfile::tempdir().unwrap();
        let first = RunFolder::create(runs.path(), "name", "id").unwrap();
        let second = RunFolder::create(runs.path(), "name", "id").unwrap();
        assert!(first.root().ends_with("name/id") && second.root().ends_with("name/id-2"));
    }

    #[test]
    fn a_folder_in_use_is_refused_and_names_its_holder() {
        let runs = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(runs.path(), "name", "id").unwrap();
        write_atomically(&folder.manifest(), b"{}").unwrap();
        let error = RunFolder::open(folder.root()).unwrap_err();
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        let root = folder.root().to_owned();
        assert!(RunFolder::is_held(&root));
        drop(folder);
        assert!(!RunFolder::is_held(&root));
        RunFolder::open(&root).unwrap();
    }

    #[test]
    fn a_folder_without_a_run_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(RunFolder::open(folder.path()), Err(RunError::Read { .. })));
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomically(&path, b"long old text").unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
