//! Pruning: stopping runs that fall behind, by asynchronous successive halving.
//!
//! At each rung (epochs `min_epochs`, `min_epochs · reduction`, `min_epochs · reduction²` …) a run is compared with all
//! runs of the sweep that have reached the rung so far, and continues if it is among the best `1 / reduction` of them
//! (Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020). Runs do not wait for each other: the
//! first runs to reach a rung always continue.
//!
//! A decision is a function of the rows of the `metrics.csv` files up to the rung. It is recorded with these values in the
//! run's `prune.json`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::folder::SweepFolder;
use engine::experiment::plan::Plan;
use engine::training::pseudo_dice;
use run_folder::event::{Event, Listener};
use run_folder::folder::write_atomically;
use run_folder::table::{Table, is_better};

/// Pruning: stop runs early that fall behind, by asynchronous successive halving (Li et al., MLSys 2020).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prune {
    /// Column of `metrics.csv` that runs are compared by (default `val_dice_mean`). Lower is better for losses, distances and errors, higher for other metrics.
    #[serde(default = "default_metric")]
    pub metric: String,
    /// Epoch of the first comparison, for example 10.
    pub min_epochs: NonZeroUsize,
    /// Reduction factor, at least 2 (default 3): at each comparison the best 1 / `reduction` of the runs continue, and the next comparison is `reduction` times as many epochs in.
    #[serde(default = "default_reduction")]
    pub reduction: NonZeroUsize,
}

fn default_metric() -> String {
    "val_dice_mean".to_owned()
}

fn default_reduction() -> NonZeroUsize {
    NonZeroUsize::new(3).expect("3 is not 0")
}

/// A decision at a rung, with the values that it depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The rung: the run was compared after this epoch.
    pub epoch: usize,
    /// The compared column.
    pub metric: String,
    /// The values of all runs that had reached the rung, by id, including the run itself.
    pub values: BTreeMap<String, f64>,
    /// The run's rank: 1 plus the number of better values.
    pub rank: usize,
    /// The lowest rank that continues.
    pub last_rank: usize,
    /// Whether the run was stopped.
    pub pruned: bool,
}

impl Prune {
    /// Returns why a run cannot be pruned with these settings, if so.
    pub fn problem(&self, plan: &Plan, columns: &[String]) -> Option<String> {
        let Self { metric, min_epochs, reduction } = self;
        let spec = &plan.experiment;
        if reduction.get() < 2 {
            return Some("expected a reduction of at least 2, got 1".to_owned());
        }
        let losses = ["train_loss", "val_loss"].map(str::to_owned);
        let allowed: Vec<&String> = losses.iter().chain(columns).collect();
        if !allowed.contains(&metric) {
            let names: Vec<&str> = allowed.iter().map(|name| name.as_str()).collect();
            return Some(format!("metrics.csv has no column `{metric}`, only {}", names.join(", ")));
        }
        let every = match metric.as_str() {
            "train_loss" => 1,
            "val_loss" => spec.validate.every_epochs.get(),
            name if pseudo_dice::is_column(name) => spec.validate.every_epochs.get(),
            _ => spec.volume_interval(),
        };
        (min_epochs.get() < every).then(|| {
            format!("`{metric}` is computed every {every} epochs, so there is no value after epoch {min_epochs}")
        })
    }

    /// Returns the rungs of a run with the given number of epochs, without the last epoch.
    fn rungs(&self, epochs: usize) -> impl Iterator<Item = usize> {
        let reduction = self.reduction.get().max(2);
        std::iter::successors(Some(self.min_epochs.get()), move |rung| rung.checked_mul(reduction))
            .take_while(move |rung| *rung < epochs)
    }

    /// Decides about a run at a rung; `None` if it has no value.
    pub fn decide(&self, id: &str, epoch: usize, values: BTreeMap<String, f64>) -> Option<Decision> {
        let own = *values.get(id)?;
        let rank = 1 + values.values().filter(|other| is_better(&self.metric, **other, own)).count();
        let last_rank = values.len().div_ceil(self.reduction.get().max(2));
        let pruned = values.len() >= self.reduction.get() && rank > last_rank;
        Some(Decision { epoch, metric: self.metric.clone(), values, rank, last_rank, pruned })
    }

    /// Returns the values of all runs that have reached a rung.
    fn values(&self, folder: &SweepFolder, ids: &[String], epoch: usize) -> BTreeMap<String, f64> {
        ids.iter().filter_map(|id| Some((id.clone(), value_at(&folder.run(id), &self.metric, epoch)?))).collect()
    }
}

/// Returns the latest value of a column at or before an epoch, if the run has finished that epoch.
fn value_at(run: &Path, metric: &str, epoch: usize) -> Option<f64> {
    let table = Table::read(&run.join("metrics.csv")).ok()?;
    let last = table.value(table.rows.len().checked_sub(1)?, "epoch")?;
    let points = table.points("epoch", metric);
    let newest = points.into_iter().rev().find(|(at, _)| *at <= epoch as f64)?;
    (last >= epoch as f64).then_some(newest.1)
}

impl Decision {
    /// Returns the decision in words.
    pub fn sentence(&self, id: &str) -> String {
        let Self { epoch, metric, values, rank, last_rank, .. } = self;
        let own = values.get(id).copied().unwrap_or(f64::NAN);
        format!(
            "{metric} {own:.4} after epoch {epoch} is rank {rank} of {}; the first {last_rank} continue",
            values.len()
        )
    }
}

/// Reads the decisions about a run so far.
///
/// # Errors
/// If they cannot be read.
pub fn decisions(run: &Path) -> io::Result<Vec<Decision>> {
    match fs::read(run.join("prune.json")) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Decides at each rung of one run, and stops its training if it falls behind.
pub struct Pruner {
    prune: Prune,
    folder: SweepFolder,
    ids: Vec<String>,
    id: String,
    epochs: usize,
    /// The epoch that has ended and whose checkpoint is not written yet.
    ended: Option<usize>,
    stop: &'static AtomicBool,
    verdict: Arc<OnceLock<String>>,
}

impl Pruner {
    /// Creates a pruner for the run `id` of the sweep's `ids`; setting `stop` stops training.
    pub fn new(
        prune: Prune,
        folder: SweepFolder,
        ids: Vec<String>,
        id: String,
        epochs: usize,
        stop: &'static AtomicBool,
    ) -> Self {
        Self { prune, folder, ids, id, epochs, ended: None, stop, verdict: Arc::default() }
    }

    /// Returns the cell that gets the reason if the run is stopped.
    pub fn verdict(&self) -> Arc<OnceLock<String>> {
        Arc::clone(&self.verdict)
    }

    /// Makes the decision at the latest rung that the run has passed, if its process died before it could.
    ///
    /// # Errors
    /// If decisions cannot be read or written.
    pub fn catch_up(&self, completed: usize) -> io::Result<()> {
        match self.prune.rungs(self.epochs).take_while(|rung| *rung <= completed).last() {
            Some(rung) => self.decide(rung),
            None => Ok(()),
        }
    }

    fn decide(&self, epoch: usize) -> io::Result<()> {
        let run = self.folder.run(&self.id);
        let mut decisions = decisions(&run)?;
        let known = decisions.iter().find(|decision| decision.epoch == epoch && decision.metric == self.prune.metric);
        let decision = match known {
            Some(decision) => decision.clone(),
            None => {
                let values = self.prune.values(&self.folder, &self.ids, epoch);
                let Some(decision) = self.prune.decide(&self.id, epoch, values) else { return Ok(()) };
                decisions.push(decision.clone());
                write(&run.join("prune.json"), &decisions)?;
                decision
            }
        };
        if decision.pruned {
            self.verdict.get_or_init(|| decision.sentence(&self.id));
            self.stop.store(true, Ordering::SeqCst);
        }
        Ok(())
    }
}

fn write(path: &Path, decisions: &[Decision]) -> io::Result<()> {
    let text = serde_json::to_string_pretty(decisions).expect("a decision has text, numbers and booleans only") + "\n";
    write_atomically(path, text.as_bytes()).map_err(io::Error::other)
}

impl Listener for Pruner {
    fn record(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Epoch(record) => self.ended = Some(record.epoch),
            // The run can be resumed from this checkpoint.
            Event::Checkpoint { .. } => {
                if let Some(epoch) = self.ended.take()
                    && self.prune.rungs(self.epochs).any(|rung| rung == epoch)
                {
                    self.decide(epoch)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prune(metric: &str, min_epochs: usize, reduction: usize) -> Prune {
        let number = |value| NonZeroUsize::new(value).unwrap();
        Prune { metric: metric.into(), min_epochs: number(min_epochs), reduction: number(reduction) }
    }

    fn pruned(metric: &str, reduction: usize, values: &[f64]) -> Vec<bool> {
        let ids: Vec<String> = (0..values.len()).map(|index| format!("run{index}")).collect();
        let all: BTreeMap<String, f64> = ids.iter().cloned().zip(values.iter().copied()).collect();
        let prune = prune(metric, 1, reduction);
        ids.iter().map(|id| prune.decide(id, 1, all.clone()).unwrap().pruned).collect()
    }

    #[test]
    fn rungs_grow_by_the_reduction_and_end_before_the_run_does() {
        assert_eq!(prune("val_loss", 2, 3).rungs(55).collect::<Vec<_>>(), [2, 6, 18, 54]);
        assert_eq!(prune("val_loss", 2, 3).rungs(54).collect::<Vec<_>>(), [2, 6, 18]);
        assert_eq!(prune("val_loss", 9, 3).rungs(9).count(), 0);
    }

    #[test]
    fn the_best_third_continues() {
        assert_eq!(pruned("val_dice_mean", 3, &[0.1, 0.6, 0.3, 0.5, 0.2, 0.4]), [true, false, true, false, true, true]);
        assert_eq!(pruned("val_loss", 3, &[0.1, 0.6, 0.3]), [false, true, true]);
    }

    #[test]
    fn the_first_runs_at_a_rung_continue_and_so_do_ties() {
        assert_eq!(pruned("val_dice_mean", 3, &[0.1, 0.6]), [false, false]);
        assert_eq!(pruned("val_dice_mean", 2, &[0.5, 0.5, 0.5]), [false, false, false]);
    }

    fn sweep_with(rows: &[(&str, &str)]) -> (tempfile::TempDir, SweepFolder) {
        let runs = tempfile::tempdir().unwrap();
        let folder = SweepFolder::new(runs.path().to_owned());
        for (id, rows) in rows {
            fs::create_dir_all(folder.run(id)).unwrap();
            fs::write(folder.run(id).join("metrics.csv"), format!("epoch,val_dice_mean\n{rows}")).unwrap();
        }
        (runs, folder)
    }

    #[test]
    fn only_rows_up_to_the_rung_count_and_only_runs_that_reached_it() {
        let (_runs, folder) = sweep_with(&[("a", "1,0.1\n2,0.3\n3,0.9\n"), ("b", "1,0.2\n2,\n"), ("c", "1,0.5\n")]);
        let ids = ["a", "b", "c", "absent"].map(str::to_owned);
        let values = prune("val_dice_mean", 2, 2).values(&folder, &ids, 2);
        assert_eq!(values, BTreeMap::from([("a".to_owned(), 0.3), ("b".to_owned(), 0.2)]));
    }

    #[test]
    fn a_decision_is_made_once_and_can_be_repeated_from_its_values() {
        static STOP: AtomicBool = AtomicBool::new(false);
        let (_runs, folder) = sweep_with(&[("a", "1,0.1\n"), ("b", "1,0.2\n"), ("c", "1,0.3\n")]);
        let ids = ["a", "b", "c"].map(str::to_owned).to_vec();
        let pruner =
            |id: &str| Pruner::new(prune("val_dice_mean", 1, 3), folder.clone(), ids.clone(), id.to_owned(), 5, &STOP);
        let first = pruner("a");
        first.catch_up(2).unwrap();
        assert!(STOP.load(Ordering::SeqCst));
        assert!(first.verdict().get().unwrap().contains("rank 3 of 3"));
        let written = decisions(&folder.run("a")).unwrap();
        assert_eq!((written.len(), written[0].epoch), (1, 1));
        // Later changes of other runs do not affect it.
        fs::write(folder.run("c").join("metrics.csv"), "epoch,val_dice_mean\n1,0.0\n").unwrap();
        fs::write(folder.run("b").join("metrics.csv"), "epoch,val_dice_mean\n1,0.0\n").unwrap();
        pruner("a").catch_up(1).unwrap();
        assert_eq!(decisions(&folder.run("a")).unwrap(), written);
        let replayed = prune("val_dice_mean", 1, 3).decide("a", 1, written[0].values.clone()).unwrap();
        assert_eq!(replayed, written[0]);
    }
}
