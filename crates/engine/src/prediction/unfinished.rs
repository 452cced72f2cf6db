//! Runs whose training is not finished, which can predict nevertheless.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::training::checkpoint::TrainingProgress;
use run_folder::folder::RunFolder;
use run_folder::manifest::{Manifest, Status};

/// How far the training of a run got that is not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// `running`, `interrupted`, `stopped`, `failed` or `pruned`.
    pub status: String,
    /// The epoch of its latest checkpoint, counted from 1; `null` if that cannot be read.
    pub epoch: Option<usize>,
    /// The number of epochs that it was to be trained for.
    pub planned_epochs: usize,
}

impl Unfinished {
    /// Returns how far the training of a run folder got; `None` if it is finished.
    pub(super) fn of_run(
        root: &Path,
        manifest: &Manifest,
        progress: Option<&TrainingProgress>,
        planned_epochs: usize,
    ) -> Option<Self> {
        let status = match manifest.status {
            Status::Done => return None,
            Status::Running if RunFolder::is_locked(root) => "running",
            Status::Running => "interrupted",
            Status::Stopped => "stopped",
            Status::Failed => "failed",
            Status::Pruned => "pruned",
        };
        Some(Self { status: status.to_owned(), epoch: progress.map(TrainingProgress::latest_epoch), planned_epochs })
    }
}

impl fmt::Display for Unfinished {
    /// Writes it in words, as in `stopped in epoch 12 of 100`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.epoch {
            Some(epoch) => write!(f, "{} in epoch {epoch} of {}", self.status, self.planned_epochs),
            None => write!(f, "{} before the end of {} epochs", self.status, self.planned_epochs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use run_folder::manifest::Build;

    #[test]
    fn a_run_is_unfinished_unless_its_status_is_done() {
        let runs = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(runs.path(), "name", "id").unwrap();
        let mut manifest = Manifest::begin("flex".into(), 42, vec!["run".into()], None, Build::default());
        let progress = TrainingProgress { epoch: 4, ..TrainingProgress::start() };
        let text = |manifest: &Manifest, root: &Path| {
            Unfinished::of_run(root, manifest, Some(&progress), 10).map(|unfinished| unfinished.to_string())
        };
        assert_eq!(text(&manifest, folder.root()).as_deref(), Some("running in epoch 3 of 10"));
        let root = folder.root().to_owned();
        drop(folder);
        assert_eq!(text(&manifest, &root).as_deref(), Some("interrupted in epoch 3 of 10"));
        for (status, expected) in [
            (Status::Stopped, Some("stopped in epoch 3 of 10")),
            (Status::Failed, Some("failed in epoch 3 of 10")),
            (Status::Pruned, Some("pruned in epoch 3 of 10")),
            (Status::Done, None),
        ] {
            manifest.end(status, None);
            assert_eq!(text(&manifest, &root).as_deref(), expected);
        }
    }
}
