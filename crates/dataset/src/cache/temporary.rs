//! Caches that are deleted after use.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::TempDir;

use super::{Cache, CacheError, room};

/// Prefix of the names of their folders.
const PREFIX: &str = "temporary_";

/// The folder of a temporary cache, which is deleted when the value is dropped. A folder whose process was killed is
/// deleted when the next one is created.
#[derive(Debug)]
pub struct TemporaryFolder {
    /// Marks the folder as used.
    _lock: File,
    _folder: TempDir,
}

impl Cache {
    /// Returns an empty cache of unlimited size inside a folder, with the guard that deletes it.
    ///
    /// # Errors
    /// When its folder cannot be created.
    pub fn temporary(parent: &Path) -> Result<(Self, TemporaryFolder), CacheError> {
        let create = || {
            fs::create_dir_all(parent)?;
            // Nobody creates a folder between finding one that is not locked and deleting it.
            let _lock_of_all = room::lock(parent)?;
            remove_abandoned(parent)?;
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            let lock = room::lock(folder.path())?;
            Ok((Self::new(folder.path()), TemporaryFolder { _lock: lock, _folder: folder }))
        };
        create().map_err(|source| CacheError::Io { path: parent.to_owned(), source })
    }
}

/// Deletes the folders of dead processes.
fn remove_abandoned(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let is_temporary = entry.file_name().to_string_lossy().starts_with(PREFIX) && entry.file_type()?.is_dir();
        if is_temporary && room::is_abandoned(&entry.path()) {
            // Leftovers do no harm, so failing to delete them is no error.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        entries.filter(|name| name.starts_with(PREFIX)).collect()
    }

    #[test]
    fn folders_of_dead_processes_are_deleted_and_those_of_living_ones_are_kept() {
        let parent = tempfile::tempdir().unwrap();
        let dead = parent.path().join("temporary_dead");
        fs::create_dir_all(dead.join("volumes")).unwrap();
        File::create(dead.join(".lock")).unwrap();
        let (first, guard) = Cache::temporary(parent.path()).unwrap();
        let (_, second_guard) = Cache::temporary(parent.path()).unwrap();
        assert!(!dead.exists());
        assert_eq!(names(parent.path()).len(), 2);
        drop((first, guard, second_guard));
        assert_eq!(names(parent.path()), [""; 0]);
    }
}
