//! The layout of a run folder, and its lock.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use dataset::split::Parts;
use volume::atomic_file;

/// Bytes reserved to record why a run failed on a full disk.
const RESERVE_BYTES: usize = 1 << 16;

/// The name of the link to the run that was started last, in the folder of all runs of a name.
pub const LATEST: &str = "latest";

/// An error of a run folder.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file or folder cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Another process has locked the folder.
    #[error("{} is in use by another process{}; wait for it, or stop it with Ctrl-C", path.display(), holder.as_deref().map(|holder| format!(" ({holder})")).unwrap_or_default())]
    Locked {
        /// The run folder.
        path: PathBuf,
        /// The other process, if it is known.
        holder: Option<String>,
    },
    /// A file of the folder is invalid.
    #[error("{} cannot be used: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A run folder that this process has locked.
#[derive(Debug)]
pub struct RunFolder {
    root: PathBuf,
    /// Locked during the lifetime of this value; the system unlocks it when the process ends.
    _lock: File,
}

impl RunFolder {
    /// Creates and locks `RUNS_DIR/NAME/ID`; if the id exists, `-2`, `-3`, … is appended.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn create(runs_dir: &Path, name: &str, id: &str) -> Result<Self, RunError> {
        let parent = runs_dir.join(name);
        fs::create_dir_all(&parent).map_err(|source| RunError::Write { path: parent.clone(), source })?;
        for attempt in 1.. {
            let root = parent.join(if attempt == 1 { id.to_owned() } else { format!("{id}-{attempt}") });
            match fs::create_dir(&root) {
                Ok(()) => return Self::lock(root),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(RunError::Write { path: root, source }),
            }
        }
        unreachable!("some number is free")
    }

    /// Locks an existing run folder.
    ///
    /// # Errors
    /// When it does not exist or another process has locked it.
    pub fn open(root: &Path) -> Result<Self, RunError> {
        let manifest = root.join("manifest.json");
        match fs::metadata(&manifest) {
            Ok(_) => Self::lock(root.to_owned()),
            Err(source) => Err(RunError::Read { path: manifest, source }),
        }
    }

    /// Locks an existing folder, and creates the folders in it.
    ///
    /// # Errors
    /// When it cannot be written or another process has locked it.
    pub fn lock(root: PathBuf) -> Result<Self, RunError> {
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
            // Some file systems have no locks. In a sweep, claims still ensure that one process trains a run.
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

    /// Makes `latest` beside the folder a relative link to it, so that commands can be given the run that was started last.
    ///
    /// A file or folder of that name that is no link stays as it is. On a system or disk without symbolic links there is no
    /// such link.
    pub fn link_as_latest(&self) {
        #[cfg(unix)]
        if let (Some(parent), Some(name)) = (self.root.parent(), self.root.file_name()) {
            let link = parent.join(LATEST);
            if fs::symlink_metadata(&link).is_ok_and(|file| !file.is_symlink()) {
                return;
            }
            // Replaced by a rename, so that there is a link at any time.
            let new = parent.join(format!("{}{LATEST}-{}", atomic_file::TEMPORARY_PREFIX, std::process::id()));
            let linked = std::os::unix::fs::symlink(name, &new).and_then(|()| fs::rename(&new, &link));
            if linked.is_err() {
                let _ = fs::remove_file(&new);
            }
        }
    }

    /// Returns whether a process has locked a run folder; false if that cannot be determined.
    pub fn is_locked(root: &Path) -> bool {
        // A shared lock on an existing file, so that several processes can ask at the same time.
        let Ok(lock) = File::open(root.join(".lock")) else { return false };
        matches!(lock.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
    }

    /// Returns the path of the folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the path of the experiment as given.
    pub fn experiment(&self) -> PathBuf {
        self.root.join("experiment.yaml")
    }

    /// Returns the path of the resolved plan.
    pub fn plan(&self) -> PathBuf {
        self.root.join("plan.yaml")
    }

    /// Returns the path of the manifest.
    pub fn manifest(&self) -> PathBuf {
        self.root.join("manifest.json")
    }

    /// Returns the path of a file directly in the folder, such as `metrics.csv`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Returns the path of a plot, such as `loss.png`.
    pub fn plot(&self, name: &str) -> PathBuf {
        self.root.join("plots").join(name)
    }

    /// Returns the folder of event files for TensorBoard.
    pub fn tensorboard(&self) -> PathBuf {
        self.root.join("tensorboard")
    }

    /// Returns the paths of the weights and the state of the checkpoint that was the latest `age` checkpoints ago; 0 is
    /// the latest.
    pub fn aged_checkpoint(&self, age: usize) -> [PathBuf; 2] {
        match age {
            0 => self.checkpoint_named("last"),
            _ => self.checkpoint_named(&format!("last-{age}")),
        }
    }

    /// Returns the ages of the checkpoints whose state exists, the latest first.
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

    /// Returns the paths of the weights and the state of a checkpoint that is being written.
    pub fn partial_checkpoint(&self) -> [PathBuf; 2] {
        self.checkpoint_named("coming")
    }

    fn checkpoint_named(&self, name: &str) -> [PathBuf; 2] {
        ["safetensors", "state.safetensors"].map(|ending| self.checkpoint(&format!("{name}.{ending}")))
    }

    /// Returns the path of the best weights.
    pub fn best_weights(&self) -> PathBuf {
        self.checkpoint("best.safetensors")
    }

    /// Returns the path of the weights of one of the best epochs.
    pub fn best_weights_of(&self, epoch: usize) -> PathBuf {
        self.checkpoint(&format!("best-epoch-{epoch:04}.safetensors"))
    }

    /// Returns the path of a file among the checkpoints.
    pub fn checkpoint(&self, name: &str) -> PathBuf {
        self.root.join("checkpoints").join(name)
    }

    /// Frees the reserved bytes, so that a run on a full disk can record why it failed.
    pub fn release_reserve(&self) {
        // If this fails too, the terminal still has the message.
        let _ = fs::remove_file(self.reserve());
    }

    fn reserve(&self) -> PathBuf {
        self.root.join(".reserve")
    }

    /// Writes the subjects of each part.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_split(&self, parts: &Parts) -> Result<(), RunError> {
        let text = serde_json::to_string_pretty(parts).expect("names are plain text") + "\n";
        write_atomically(&self.file("split.json"), text.as_bytes())
    }
}

impl Drop for RunFolder {
    /// Frees the reserved bytes.
    fn drop(&mut self) {
        self.release_reserve();
    }
}

/// Returns the folder that a link such as `runs/NAME/latest` names, and any other path as it is.
pub fn linked_folder(path: &Path) -> PathBuf {
    // Without a trailing slash, which would make the system follow the link.
    let path: PathBuf = path.components().collect();
    let target = fs::read_link(&path).ok().zip(path.parent()).map(|(target, parent)| parent.join(target));
    target.unwrap_or(path)
}

/// Prefixes an error's message with the path of a file.
pub fn naming(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Syncs the folder of a file, and so the file's name, to disk.
///
/// # Errors
/// When the system reports an error.
pub fn sync_folder(path: &Path) -> Result<(), RunError> {
    atomic_file::sync_folder(path).map_err(|source| RunError::Write { path: path.to_owned(), source })
}

/// Replaces a file atomically: after a crash it has either its old or its new content.
///
/// # Errors
/// When it cannot be written; the old content stays.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let written = atomic_file::write(path, |file| file.write_all(bytes));
    written.map_err(|source| RunError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_files_of_a_killed_process_are_removed() {
        let runs = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(runs.path(), "name", "id").unwrap();
        let unfinished = [folder.file(".partial-a"), folder.checkpoint(".partial-b"), folder.plot(".partial-c")];
        unfinished.iter().for_each(|path| fs::write(path, b"torn").unwrap());
        let root = folder.root().to_owned();
        drop(folder);
        RunFolder::lock(root).unwrap();
        assert!(unfinished.iter().all(|path| !path.exists()));
    }

    #[test]
    fn an_existing_id_gets_a_number() {
        let runs = tempfile::tempdir().unwrap();
        let first = RunFolder::create(runs.path(), "name", "id").unwrap();
        let second = RunFolder::create(runs.path(), "name", "id").unwrap();
        assert!(first.root().ends_with("name/id") && second.root().ends_with("name/id-2"));
    }

    #[cfg(unix)]
    #[test]
    fn latest_is_a_relative_link_to_the_folder_that_was_linked_last() {
        let runs = tempfile::tempdir().unwrap();
        let latest = runs.path().join("name").join(LATEST);
        for id in ["first", "second"] {
            let folder = RunFolder::create(runs.path(), "name", id).unwrap();
            folder.link_as_latest();
            assert_eq!(fs::read_link(&latest).unwrap(), Path::new(id));
            for path in [latest.clone(), latest.join("")] {
                assert_eq!(linked_folder(&path), folder.root());
            }
        }
        assert_eq!(fs::read_dir(runs.path().join("name")).unwrap().count(), 3);
        let absent = Path::new("runs/absent");
        assert_eq!(linked_folder(absent), absent);
    }

    #[test]
    fn a_folder_named_latest_that_is_no_link_stays() {
        let runs = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(runs.path(), "name", "id").unwrap();
        let own = runs.path().join("name").join(LATEST);
        fs::create_dir(&own).unwrap();
        folder.link_as_latest();
        assert!(fs::symlink_metadata(&own).unwrap().is_dir());
    }

    #[test]
    fn a_locked_folder_is_an_error_that_names_the_other_process() {
        let runs = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(runs.path(), "name", "id").unwrap();
        write_atomically(&folder.manifest(), b"{}").unwrap();
        let error = RunFolder::open(folder.root()).unwrap_err();
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        let root = folder.root().to_owned();
        assert!(RunFolder::is_locked(&root));
        drop(folder);
        assert!(!RunFolder::is_locked(&root));
        RunFolder::open(&root).unwrap();
    }

    #[test]
    fn a_folder_without_a_run_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(RunFolder::open(folder.path()), Err(RunError::Read { .. })));
    }

    #[test]
    fn a_file_is_replaced_atomically() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomically(&path, b"long old text").unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
