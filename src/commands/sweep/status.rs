//! `runner sweep status`: shows the status of every run of a sweep.

use std::path::PathBuf;

use clap::Args;

use super::{keys, show, values};
use crate::commands::Execute;
use crate::terminal::bar::duration;
use crate::terminal::table::table;
use crate::terminal::{CliError, Exit, run_error};
use report::comparison::varying_keys;
use run_folder::folder::RunError;
use sweep::folder::SweepFolder;
use sweep::points::PointRecord;
use sweep::run_state::{self, RunState, Score, SweepRun, counts};

/// Arguments of `runner sweep status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Folder of a sweep's runs, such as `runs/learning_rates`.
    folder: PathBuf,
}

impl Execute for StatusArgs {
    /// Prints a line for each run; the exit code is 1 if one has failed.
    fn execute(&self) -> Result<Exit, CliError> {
        let folder = SweepFolder::open(&self.folder).map_err(|error| match error {
            RunError::Read { ref path, .. } if !path.exists() => CliError::problem(
                format!("{} is not the folder of a sweep", self.folder.display()),
                "name the folder of a sweep's runs, such as runs/learning_rates",
            ),
            error => run_error(error),
        })?;
        let (points, num_sweeps) = run_state::all_runs(&folder).map_err(run_error)?;
        let ids: Vec<String> = points.iter().map(|point| point.id.clone()).collect();
        let runs = run_state::read(&folder, &ids).map_err(|error| CliError::failure(&error))?;
        let (keys, values) = if num_sweeps > 1 { differences(&points) } else { changes(&points) };
        let rows: Vec<_> = runs.iter().zip(values).map(|(run, values)| row(run, values)).collect();
        show_table(keys, &rows);
        outln!("{}", summary(&runs));
        let has_failed = runs.iter().any(|run| matches!(run.run_state, RunState::Failed(_)));
        Ok(if has_failed { Exit::No } else { Exit::Done })
    }
}

/// Returns the keys that a sweep varies, and their values for each run.
fn changes(points: &[PointRecord]) -> (Vec<String>, Vec<Vec<String>>) {
    let keys = keys(points.iter().map(|point| &point.changes));
    let values = points.iter().map(|point| values(&point.changes, &keys)).collect();
    (keys, values)
}

/// Returns all keys in which the runs of several sweeps differ, also those that no single sweep varies, and their values.
fn differences(points: &[PointRecord]) -> (Vec<String>, Vec<Vec<String>>) {
    let plan = |point: &PointRecord| {
        let tree = serde_yaml::from_str::<serde_yaml::Value>(&point.plan).unwrap_or_default();
        serde_json::to_value(tree).unwrap_or_default()
    };
    let plans: Vec<serde_json::Value> = points.iter().map(plan).collect();
    let keys = varying_keys(&plans.iter().collect::<Vec<_>>());
    let value = |run: usize| keys.iter().map(|key| key.values[run].clone().unwrap_or_default()).collect();
    let values = (0..points.len()).map(value).collect();
    (keys.into_iter().map(|key| key.path).collect(), values)
}

/// Prints the rows of some runs, under the keys in which they differ.
pub(super) fn show_table(keys: Vec<String>, rows: &[Vec<String>]) {
    let header = ["run", "status"].map(str::to_owned).into_iter().chain(keys);
    let header: Vec<String> = header.chain(["epochs", "last score", ""].map(str::to_owned)).collect();
    show(&table(&header, rows));
}

/// Returns a run as a row: id, status, values of the varied keys, epochs, last score and details.
pub(super) fn row(run: &SweepRun, values: Vec<String>) -> Vec<String> {
    let details = match &run.run_state {
        RunState::Running { host, progress } => {
            let steps = || match progress.steps {
                0 => "starting".to_owned(),
                steps => format!("step {}/{steps}", progress.step),
            };
            let task = progress.task.clone().unwrap_or_else(steps);
            let left = progress.seconds_left().map(|seconds| format!(", {} left", duration(seconds)));
            format!("{task}{} on {host}", left.unwrap_or_default())
        }
        RunState::Failed(reason) | RunState::Interrupted { reason: Some(reason) } => reason.clone(),
        RunState::Waiting | RunState::Interrupted { reason: None } | RunState::Done | RunState::Pruned => String::new(),
    };
    let score = run.score.as_ref().map(Score::to_string).unwrap_or_default();
    let start = [run.id.clone(), run.run_state.word().to_owned()].into_iter().chain(values);
    start.chain([run.epochs.to_string(), score, details]).collect()
}

/// Formats the number of runs in each state, as in `6 runs: 4 done, 1 failed, 1 running`.
pub(super) fn summary(runs: &[SweepRun]) -> String {
    let counts: Vec<String> = counts(runs).iter().map(|(word, count)| format!("{count} {word}")).collect();
    let noun = if runs.len() == 1 { "run" } else { "runs" };
    format!("{} {noun}: {}", runs.len(), counts.join(", "))
}
