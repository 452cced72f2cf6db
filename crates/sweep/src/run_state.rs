//! Where every run of a sweep stands, read from files alone.

use std::collections::BTreeMap;
use std::io;

use super::claim::{Holder, Progress, holders};
use super::folder::SweepFolder;
use super::points::PointRecord;
use run_folder::folder::RunError;
use run_folder::manifest::{Manifest, Status};
use run_folder::table::Table;

/// Where a run stands.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState {
    /// Nobody has begun it.
    Waiting,
    /// A living process is at it.
    Running {
        /// The machine.
        host: String,
        /// How far it has come.
        progress: Progress,
    },
    /// It has begun, and nobody is at it: it goes on from its checkpoint.
    Interrupted {
        /// Why a sweep leaves it alone for now.
        reason: Option<String>,
    },
    /// All is done.
    Done,
    /// It was ended because it fell behind.
    Pruned,
    /// It ended with an error.
    Failed(String),
}

impl RunState {
    /// A word for tables.
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

/// A run of a sweep and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepRun {
    /// The run's id.
    pub id: String,
    /// Where it stands.
    pub run_state: RunState,
    /// Epochs that have ended.
    pub epochs: usize,
    /// The newest mean Dice on whole validation volumes.
    pub dice: Option<f64>,
}

/// Where the given runs stand.
///
/// # Errors
/// When the disk refuses.
pub fn read(folder: &SweepFolder, ids: &[String]) -> io::Result<Vec<SweepRun>> {
    let mut holders = holders(folder)?;
    Ok(ids.iter().map(|id| standing_of(folder, id, holders.remove(id).unwrap_or(Holder::Nobody))).collect())
}

fn standing_of(folder: &SweepFolder, id: &str, holder: Holder) -> SweepRun {
    let root = folder.run(id);
    let run_state = match (Manifest::read(&root), holder) {
        (_, Holder::Alive(claimed)) => RunState::Running { host: claimed.host, progress: claimed.progress },
        (Err(RunError::Read { .. }), _) => match root.exists() {
            true => RunState::Interrupted { reason: None },
            false => RunState::Waiting,
        },
        (Err(error), _) => RunState::Failed(error.to_string()),
        (Ok(manifest), _) => match manifest.status {
            Status::Done => RunState::Done,
            Status::Pruned => RunState::Pruned,
            Status::Failed => RunState::Failed(manifest.error.unwrap_or_else(|| "it names no reason".to_owned())),
            Status::Running | Status::Stopped => RunState::Interrupted { reason: None },
        },
    };
    let table = Table::read(&root.join("metrics.csv")).unwrap_or_default();
    let epochs = table.rows.len().checked_sub(1).and_then(|last| table.value(last, "epoch"));
    SweepRun {
        id: id.to_owned(),
        run_state,
        epochs: epochs.unwrap_or(0.0) as usize,
        dice: table.points("epoch", "val_dice_mean").last().map(|(_, dice)| *dice),
    }
}

/// The runs of all sweeps in a folder, each once, the oldest first; and how many sweeps there are.
///
/// # Errors
/// When a file cannot be read.
pub fn all_runs(folder: &SweepFolder) -> Result<(Vec<PointRecord>, usize), RunError> {
    let definitions = folder.definitions()?;
    let num_sweeps = definitions.len();
    let mut seen = std::collections::BTreeSet::new();
    let ids = definitions.into_iter().flat_map(|definition| definition.ids);
    let points = ids.filter(|id| seen.insert(id.clone())).map(|id| folder.point(&id));
    Ok((points.collect::<Result<_, _>>()?, num_sweeps))
}

/// How many runs stand how.
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
    fn a_run_stands_where_its_files_say() {
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
        let standings = read(&folder, &ids).unwrap();
        let words: Vec<&str> = standings.iter().map(|run| run.run_state.word()).collect();
        assert_eq!(words, ["done", "interrupted", "interrupted", "interrupted", "waiting"]);
        assert_eq!((standings[0].epochs, standings[0].dice), (2, Some(0.5)));
    }
}
