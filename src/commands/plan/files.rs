//! The folder of the planned experiments.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::output_paths::check_folder;
use crate::terminal::CliError;
use planner::writer::ExperimentFile;
use volume::atomic_file;

/// Every file that a plan may consist of.
const FILES: [&str; 5] =
    ["fingerprint.json", "3d_fullres.yaml", "2d.yaml", "3d_lowres.yaml", "3d_cascade_fullres.yaml"];

/// The folder of the planned experiments.
pub(super) struct OutputFolder(PathBuf);

impl OutputFolder {
    /// Returns the folder that was given, or the one of a dataset.
    pub fn new(given: Option<PathBuf>, name: &str) -> Self {
        Self(given.unwrap_or_else(|| Path::new("experiments").join(name)))
    }

    /// Checks that files can be written.
    ///
    /// # Errors
    /// When the path is that of a file, or nothing can be written there.
    pub fn check(&self) -> Result<(), CliError> {
        check_folder(&self.0)
    }

    /// Checks that no file would be replaced.
    ///
    /// # Errors
    /// When one exists.
    pub fn check_empty(&self) -> Result<(), CliError> {
        let existing: Vec<String> = self.existing(&FILES).map(|path| path.display().to_string()).collect();
        match &existing[..] {
            [] => Ok(()),
            [first, others @ ..] => {
                let others = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
                Err(CliError::problem(
                    format!("{first}{others} would be replaced"),
                    "replace them with `--overwrite`, write elsewhere with `--out DIR`, or add `--explain` to leave them",
                ))
            }
        }
    }

    /// Returns the path of a file.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn existing<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = PathBuf> + 'a {
        names.iter().map(|name| self.0.join(name)).filter(|path| path.exists())
    }

    /// Writes files; those that exist are left unless `overwrite`. Returns a line for each.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, files: &[ExperimentFile], overwrite: bool) -> Result<Vec<String>, CliError> {
        let failure = |path: &Path, error| CliError::Failure(format!("{}: {error}", path.display()));
        fs::create_dir_all(&self.0).map_err(|error| failure(&self.0, error))?;
        let mut lines = Vec::new();
        for file in files {
            let path = self.0.join(&file.name);
            if path.exists() && !overwrite {
                lines.push(format!("left as it is: {}", path.display()));
                continue;
            }
            atomic_file::write(&path, |out| out.write_all(file.text.as_bytes()))
                .map_err(|error| failure(&path, error))?;
            lines.push(path.display().to_string());
        }
        let stale = self.existing(&FILES).filter(|path| !files.iter().any(|file| path.ends_with(&file.name)));
        for path in stale {
            eprintln!("warning: {} is of an earlier plan; this one has no such experiment", path.display());
        }
        Ok(lines)
    }
}
