//! The state of every run of a sweep, read from files only.

use std::collections::{BTreeMap, BTreeSet};
use std::{fmt, io};

use super::claim::{ClaimState, RunProgress, claims};
use super::folder::SweepFolder;
use super::points::PointRecord;
use run_folder::event::Columns;
use run_folder::folder::RunError;
use run_folder::manifest::{Manifest, Status};
use run_folder::table::Table;

/// The state of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState {
    /// It has not been started.
    Waiting,
    /// A live process trains it.
    Running {
        /// The host name.
        host: String,
        /// Its progress.
        progress: RunProgress,
    },
    /// It was started and no process trains it; it can be resumed.
    Interrupted {
        /// Why the sweep does not resume it for now.
        reason: Option<String>,
    },
    /// It has finished.
    Done,
    /// It was stopped early because it fell behind.
    Pruned,
    /// It ended with this error.
    Failed(String),
}

impl RunState {
    /// Returns the state in one word, for tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running { .. } => "running",
            Self::Interrupted { .. } => "interrupted",
            Self::Done => "done",
            Self::Pruned => "pruned",
            Self::Failed(_) => "failed",
        }
    }
}

/// A run of a sweep and its state.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepRun {
    /// The run's id.
    pub id: String,
    /// Its state.
    pub run_state: RunState,
    /// The number of finished epochs.
    pub epochs: usize,
    /// The latest score of whole validation volumes.
    pub score: Option<Score>,
}

/// The score that stands for a run in a line of text.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The name of the metric.
    pub name: String,
    /// The mean over the labels.
    pub value: f64,
}

impl fmt::Display for Score {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{} {:.3}", self.name, self.value)
    }
}

/// Reads the state of the given runs.
///
/// # Errors
/// If the claims cannot be read.
pub fn read(folder: &SweepFolder, ids: &[String]) -> io::Result<Vec<SweepRun>> {
    let mut claims = claims(&folder.claims())?;
    Ok(ids.iter().map(|id| read_run(folder, id, claims.remove(id).unwrap_or(ClaimState::Free))).collect())
}

fn read_run(folder: &SweepFolder, id: &str, claim: ClaimState) -> SweepRun {
    let root = folder.run(id);
    let run_state = match (Manifest::read(&root), claim) {
        (_, ClaimState::Held(record)) => RunState::Running { host: record.host, progress: record.progress },
        (Err(RunError::Read { .. }), _) => match root.exists() {
            true => RunState::Interrupted { reason: None },
            false => RunState::Waiting,
        },
        (Err(error), _) => RunState::Failed(error.to_string()),
        (Ok(manifest), _) => match manifest.status {
            Status::Done => RunState::Done,
            Status::Pruned => RunState::Pruned,
            Status::Failed => RunState::Failed(manifest.error.unwrap_or_else(|| "no reason was recorded".to_owned())),
            Status::Running | Status::Stopped => RunState::Interrupted { reason: None },
        },
    };
    let table = Table::read(&root.join("metrics.csv")).unwrap_or_default();
    let epochs = table.rows.len().checked_sub(1).and_then(|last| table.value(last, "epoch"));
    SweepRun { id: id.to_owned(), run_state, epochs: epochs.unwrap_or(0.0) as usize, score: last_score(&table) }
}

fn last_score(table: &Table) -> Option<Score> {
    let (column, name) = Columns::headline(&table.names)?;
    let (_, value) = *table.points("epoch", &table.names[column]).last()?;
    Some(Score { name, value })
}

/// Reads the distinct runs of all sweeps in a folder, oldest sweep first, and the number of sweeps.
///
/// # Errors
/// If a file cannot be read.
pub fn all_runs(folder: &SweepFolder) -> Result<(Vec<PointRecord>, usize), RunError> {
    let definitions = folder.definitions()?;
    let num_sweeps = definitions.len();
    let mut seen = BTreeSet::new();
    let ids = definitions.into_iter().flat_map(|definition| definition.ids);
    let points = ids.filter(|id| seen.insert(id.clone())).map(|id| folder.point(&id));
    Ok((points.collect::<Result<_, _>>()?, num_sweeps))
}

/// Counts the runs in each state, by [`RunState::word`].
pub fn counts(runs: &[SweepRun]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for run in runs {
        *counts.entry(run.run_state.word()).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use run_folder::folder::RunFolder;
    use run_folder::manifest::Build;

    #[test]
    fn the_state_is_read_from_the_run_folder() {
        let runs = tempfile::tempdir().unwrap();
        let folder = SweepFolder::new(runs.path().join("name"));
        for (id, status) in [("done", Status::Done), ("stopped", Status::Stopped), ("killed", Status::Running)] {
            let run = RunFolder::create(runs.path(), "name", id).unwrap();
            let mut manifest = Manifest::begin("flex".into(), 1, vec![], None, Build::default());
            manifest.status = status;
            manifest.write(&run).unwrap();
            std::fs::write(run.file("metrics.csv"), "epoch,val_dice_mean\n1,0.5\n2,\n").unwrap();
        }
        std::fs::create_dir(folder.run("half-made")).unwrap();
        let ids = ["done", "stopped", "killed", "half-made", "absent"].map(str::to_owned);
        let runs_read = read(&folder, &ids).unwrap();
        let words: Vec<&str> = runs_read.iter().map(|run| run.run_state.word()).collect();
        assert_eq!(words, ["done", "interrupted", "interrupted", "interrupted", "waiting"]);
        assert_eq!(
            (runs_read[0].epochs, runs_read[0].score.as_ref().unwrap().to_string()),
            (2, "Dice 0.500".to_owned())
        );
    }
}
