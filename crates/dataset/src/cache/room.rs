//! Room for an entry: what leaves for it, and the unfinished files of processes that died.
//!
//! Whoever makes room, and whoever gives an entry its name, holds the folder's lock, so that two processes do not count on
//! the same bytes, and none counts an entry twice. An unfinished entry is locked as long as its process lives, and has its
//! whole length from the start.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use tempfile::NamedTempFile;

use volume::atomic_file;

/// How the name of an unfinished entry begins.
const UNFINISHED: &str = ".entry-";
/// How the names of other unfinished files begin; those are small and written in no time.
const OTHER: &str = atomic_file::TEMPORARY_PREFIX;
/// An unfinished file that is not locked is left alone for this long.
const STALE: Duration = Duration::from_secs(3600);

/// Waits for the folder's lock, which ends when the value is dropped or the process dies.
///
/// # Errors
/// When the lock's file cannot be made. Some disks know no locks; then there is none.
pub(super) fn lock(root: &Path) -> io::Result<File> {
    let lock = File::options().create(true).truncate(false).write(true).open(root.join(".lock"))?;
    match lock.lock() {
        Err(error) if error.kind() != io::ErrorKind::Unsupported => Err(error),
        _ => Ok(lock),
    }
}

/// Makes an empty file of so many bytes for an entry; the caller holds the folder's lock.
pub(super) fn begin(root: &Path, bytes: u64) -> io::Result<NamedTempFile> {
    let file = atomic_file::temporary_file_in(root, UNFINISHED)?;
    // On a disk without locks nobody takes an unlocked file for a dead process's.
    let _ = file.as_file().try_lock();
    refuse_too_much(file.as_file(), bytes)?;
    file.as_file().set_len(bytes)?;
    Ok(file)
}

/// Tells a full disk before anybody relies on what is written behind his back. To reserve the bytes would be surer, but
/// an entry took two times as long to come to the disk then.
fn refuse_too_much(file: &File, bytes: u64) -> io::Result<()> {
    #[cfg(unix)]
    {
        // Some disks do not tell their size.
        let disk = rustix::fs::fstatvfs(file).ok().filter(|disk| disk.f_blocks > 0);
        if disk.is_some_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < bytes) {
            return Err(rustix::io::Errno::NOSPC.into());
        }
    }
    Ok(())
}

/// Gives an entry that is written its name, once it is on the disk.
pub(super) fn give_name(root: &Path, file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    // Who makes room meanwhile counts it once, under either name.
    let lock = lock(root)?;
    file.persist(path).map_err(|error| error.error)?;
    drop(lock);
    // The new name is on the disk only when its folder is.
    #[cfg(unix)]
    File::open(root)?.sync_all()?;
    Ok(())
}

/// Removes what dead processes left unfinished, and counts the bytes of what living ones are writing.
///
/// The caller holds the folder's lock, so no file is between being made and being locked.
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
            // Its process may have finished it just now.
            let _ = fs::remove_file(&path);
        } else if begins(UNFINISHED) {
            bytes += fs::metadata(&path).map_or(0, |metadata| metadata.len());
        }
    }
    Ok(bytes)
}

fn is_unlocked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

fn is_old(path: &Path) -> bool {
    let changed = fs::metadata(path).and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > STALE))
}
