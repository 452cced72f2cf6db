//! Copies of previous runs in the folder of a run, so that it predicts without theirs.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::PreviousRuns;
use super::runs::FOLDER;
use run_folder::folder::RunError;
use volume::atomic_file;

/// The files of a run folder that prediction needs, and those that say which subjects the run knows.
const FILES: [&str; 5] =
    ["plan.yaml", "split.json", "preprocess.json", "fingerprint.json", "checkpoints/best.safetensors"];

/// Copies what prediction needs of previous runs, and of their own previous runs, into the folder of a run.
///
/// # Errors
/// When a file cannot be read or written.
pub fn copy(previous: &PreviousRuns, root: &Path) -> Result<(), RunError> {
    for run in &previous.runs {
        let to = root.join(FOLDER).join(&run.name);
        let checkpoints = to.join("checkpoints");
        fs::create_dir_all(&checkpoints).map_err(|source| RunError::Write { path: checkpoints, source })?;
        if let Some(previous) = &run.previous {
            copy(previous, &to)?;
        }
        // The manifest is the last, so that a folder with a manifest has all other files.
        for file in FILES.into_iter().chain(["manifest.json"]) {
            copy_file(&run.root.join(file), &to.join(file))?;
        }
    }
    Ok(())
}

/// Copies a file if it exists.
fn copy_file(from: &Path, to: &Path) -> Result<(), RunError> {
    let mut source = match File::open(from) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(RunError::Read { path: from.to_owned(), source }),
    };
    let copied = atomic_file::write(to, |file| io::copy(&mut source, file).map(drop));
    copied.map_err(|source| RunError::Write { path: to.to_owned(), source })
}
