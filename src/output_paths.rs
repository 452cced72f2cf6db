//! Places for results: checked before any work, so that nothing is computed that cannot be written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::terminal::CliError;
use volume::atomic_file::{TEMPORARY_PREFIX, temporary_file_in};

/// Checks that a file can be written, without changing anything.
///
/// # Errors
/// A problem if the path is that of a folder, or lies below a file; a failure if its folder cannot be written.
pub fn check_file(path: &Path) -> Result<(), CliError> {
    let is_written_as_folder = path.as_os_str().to_string_lossy().ends_with(std::path::is_separator);
    if path.is_dir() || is_written_as_folder {
        let kind = if path.is_dir() { "is a folder" } else { "ends like a folder" };
        return Err(CliError::problem(format!("{} {kind}", path.display()), "name a file for the results"));
    }
    check_folder(parent(path))
}

/// Checks that a folder can be made and written, without changing anything.
///
/// # Errors
/// A problem if the path is that of a file, or lies below one; a failure if nothing can be written there.
pub fn check_folder(folder: &Path) -> Result<(), CliError> {
    let existing = nearest_existing(folder);
    if !existing.is_dir() {
        return Err(CliError::problem(format!("{} is a file", existing.display()), "name a folder for the results"));
    }
    // The whole error names the temporary file.
    let failure =
        |error: io::Error| CliError::Failure(format!("cannot write into {}: {}", existing.display(), error.kind()));
    temporary_file_in(&existing, TEMPORARY_PREFIX).map_err(failure).map(drop)
}

/// Makes a folder of results.
///
/// # Errors
/// Those of [`check_folder`], and when the folder cannot be made.
pub fn make_folder(folder: &Path) -> Result<(), CliError> {
    check_folder(folder)?;
    fs::create_dir_all(folder)
        .map_err(|error| CliError::Failure(format!("cannot create {}: {error}", folder.display())))
}

/// Makes the folder of a file that is to be written.
///
/// # Errors
/// Those of [`check_file`], and when the folder cannot be made.
pub fn make_folder_of(file: &Path) -> Result<(), CliError> {
    check_file(file)?;
    make_folder(parent(file))
}

/// Returns the folder of a path: the working folder for a mere name.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the nearest of a path and the folders around it that exists.
fn nearest_existing(path: &Path) -> PathBuf {
    let mut ancestors = path.ancestors().filter(|path| !path.as_os_str().is_empty());
    ancestors.find(|path| path.exists()).unwrap_or(Path::new(".")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_no_file_and_nothing_lies_below_a_file() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::write(path("file"), "").unwrap();
        let message = |checked: Result<(), CliError>| {
            checked.map_or_else(|error| (error.code(), error.message()), |()| (0, String::new()))
        };
        assert_eq!(message(check_file(root.path())), (2, format!("{} is a folder", root.path().display())));
        assert_eq!(message(check_file(&path("new/"))), (2, format!("{} ends like a folder", path("new/").display())));
        for checked in [check_folder(&path("file")), check_folder(&path("file/new")), check_file(&path("file/new.csv"))]
        {
            assert_eq!(message(checked), (2, format!("{} is a file", path("file").display())));
        }
        for checked in [check_file(&path("file")), check_file(&path("a/b.csv")), check_folder(&path("a/b"))] {
            assert_eq!(message(checked).0, 0);
        }
        let left: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["file"], "a check leaves nothing");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_place_where_nothing_can_be_written_is_a_failure() {
        for checked in [check_folder(Path::new("/proc/results")), check_file(Path::new("/proc/scores.csv"))] {
            assert!(checked.is_err_and(|error| error.code() == 3
                && error.message().starts_with("cannot write into /proc: ")
                && !error.message().contains(TEMPORARY_PREFIX)));
        }
    }
}
