//! Files that are written completely or not at all.

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

/// The prefix of the names of temporary files.
pub const TEMPORARY_PREFIX: &str = ".partial-";

/// Writes a file under a temporary name in the same folder, flushes it to disk and renames it.
///
/// Readers, and other processes that write the same file, see the old or the new file, never an incomplete one.
///
/// # Errors
/// When `write` or the disk fails; no temporary file remains then.
pub fn write(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut file = temporary_file_in(parent_folder(path), TEMPORARY_PREFIX)?;
    write(file.as_file_mut())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(path)
}

/// Creates a temporary file with the permissions of an ordinary new file, which the umask restricts.
///
/// # Errors
/// When the file cannot be created.
pub fn temporary_file_in(folder: &Path, prefix: &str) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    #[cfg(unix)]
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    #[cfg(unix)]
    builder.permissions(permissions);
    builder.tempfile_in(folder)
}

/// Flushes the folder of a file to disk, without which a new or renamed file may be lost in a power failure.
///
/// # Errors
/// When the folder cannot be opened or flushed.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(parent_folder(path))?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Removes temporary files of processes that were killed. No other process may be writing into the folder.
///
/// # Errors
/// When the folder cannot be read or a file cannot be removed.
pub fn remove_temporary_files(folder: &Path) -> io::Result<()> {
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        if file.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            std::fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

/// Returns the folder of a file, `.` for a bare file name.
pub fn parent_folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_failed_write_keeps_the_old_file_and_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write(&path, |file| file.write_all(b"old")).unwrap();
        let failed = write(&path, |file| file.write_all(b"new").and(Err(io::Error::other("full"))));
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_symlink_is_replaced_and_its_target_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let [path, other] = ["a.txt", "other.txt"].map(|name| folder.path().join(name));
        std::fs::write(&other, "mine").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        write(&path, |file| file.write_all(b"new")).unwrap();
        assert_eq!(
            (std::fs::read(&path).unwrap(), std::fs::read(&other).unwrap()),
            (b"new".to_vec(), b"mine".to_vec())
        );
    }
}
