//! The folder of entries: its lock, temporary files, and removal of files that dead processes left behind.
//!
//! Entries are evicted and renamed under the folder's lock, so that two processes do not claim the same bytes and no entry
//! is counted twice. A temporary entry is locked while its process lives, and has its full length from the start.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use tempfile::NamedTempFile;

use volume::atomic_file;

/// Prefix of the name of an unfinished entry.
const UNFINISHED: &str = ".entry-";
/// Prefix of the names of other temporary files, which are small and written quickly.
const OTHER: &str = atomic_file::TEMPORARY_PREFIX;
/// Name of the file whose lock is that of its folder.
const LOCK: &str = ".lock";
/// Age at which such a file is considered abandoned.
const STALE: Duration = Duration::from_secs(3600);

/// Waits for the folder's lock, which is released when the value is dropped or the process dies. On a file system that
/// does not support locks, returns at once without one.
///
/// # Errors
/// When the lock's file cannot be created.
pub(super) fn lock(root: &Path) -> io::Result<File> {
    let lock = File::options().create(true).truncate(false).write(true).open(root.join(LOCK))?;
    match lock.lock() {
        Err(error) if error.kind() != io::ErrorKind::Unsupported => Err(error),
        _ => Ok(lock),
    }
}

/// Creates a temporary file of `bytes` bytes for an entry; the caller holds the folder's lock.
pub(super) fn begin(root: &Path, bytes: u64) -> io::Result<NamedTempFile> {
    let file = atomic_file::temporary_file_in(root, UNFINISHED)?;
    // On a file system without locks, no process takes an unlocked file for that of a dead process.
    let _ = file.as_file().try_lock();
    check_free_space(file.as_file(), bytes)?;
    file.as_file().set_len(bytes)?;
    Ok(file)
}

/// Reports a full disk before the entry is written in the background. Reserving the bytes would be safer, but doubled the
/// time to write an entry.
fn check_free_space(file: &File, bytes: u64) -> io::Result<()> {
    #[cfg(unix)]
    {
        // Some file systems do not report their size.
        let disk = rustix::fs::fstatvfs(file).ok().filter(|disk| disk.f_blocks > 0);
        if disk.is_some_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < bytes) {
            return Err(rustix::io::Errno::NOSPC.into());
        }
    }
    Ok(())
}

/// Renames a finished entry to its final name, once it is on disk.
pub(super) fn publish(root: &Path, file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    // Under the lock, other processes count it once, under either name.
    let lock = lock(root)?;
    file.persist(path).map_err(|error| error.error)?;
    drop(lock);
    // The new name is on disk only once the folder is.
    #[cfg(unix)]
    File::open(root)?.sync_all()?;
    Ok(())
}

/// Removes temporary files of dead processes, and returns the bytes of entries that living processes are writing.
///
/// The caller holds the folder's lock, so every temporary entry of a living process is locked.
pub(super) fn clean(root: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for file in fs::read_dir(root)? {
        let path = file?.path();
        let begins = |prefix| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
        let is_dead = match (begins(UNFINISHED), begins(OTHER)) {
            (true, _) => is_unlocked(&path),
            (false, true) => is_old(&path),
            (false, false) => continue,
        };
        if is_dead {
            // Its process may just have finished it.
            let _ = fs::remove_file(&path);
        } else if begins(UNFINISHED) {
            bytes += fs::metadata(&path).map_or(0, |metadata| metadata.len());
        }
    }
    Ok(bytes)
}

/// Returns whether nobody holds the lock of a folder that [`lock`] created.
pub(super) fn is_abandoned(root: &Path) -> bool {
    is_unlocked(&root.join(LOCK))
}

fn is_unlocked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

fn is_old(path: &Path) -> bool {
    let changed = fs::metadata(path).and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > STALE))
}
