//! The git commit of an experiment.

use std::path::Path;
use std::process::Command;

use volume::atomic_file::parent_folder;

/// The state of the git working tree that contains a file; empty without git or outside a working tree.
#[derive(Clone, Debug, Default)]
pub struct GitState {
    /// The commit that is checked out.
    pub commit: Option<String>,
    /// Whether tracked files differ from it.
    pub dirty: Option<bool>,
}

impl GitState {
    /// Queries git for the state of the working tree that contains a file.
    pub fn around(file: &Path) -> Self {
        let folder = parent_folder(file);
        let git = |arguments: &[&str]| {
            let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let commit = git(&["rev-parse", "HEAD"]).filter(|commit| !commit.is_empty());
        let dirty = commit.as_ref().and_then(|_| git(&["status", "--porcelain", "--untracked-files=no"]));
        Self { commit, dirty: dirty.map(|changes| !changes.is_empty()) }
    }
}
