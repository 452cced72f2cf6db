//! `runner sweep status`: where every run of a sweep stands.

use std::path::PathBuf;

use clap::Args;

use super::{keys, show, values};
use crate::cli::table::table;
use crate::cli::training::run_error;
use crate::cli::{CliError, Exit};
use crate::run::folder::RunError;
use crate::sweep::folder::SweepFolder;
use crate::sweep::standing::{self, RunStanding, Standing, counts};

/// Arguments of `runner sweep status`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The folder of a sweep's runs, such as `runs/learning_rates`.
    folder: PathBuf,
}

/// Prints a line for each run; the answer is no when one has failed.
pub fn execute(arguments: &Arguments) -> Result<Exit, CliError> {
    let folder = SweepFolder::open(&arguments.folder).map_err(|error| match error {
        RunError::Read { ref path, .. } if !path.exists() => CliError::problem(
            format!("{} is not the folder of a sweep", arguments.folder.display()),
            "name the folder of a sweep's runs, such as runs/learning_rates",
        ),
        error => run_error(error),
    })?;
    let runs = standing::all_runs(&folder).map_err(run_error)?;
    let ids: Vec<String> = runs.iter().map(|(id, _)| id.clone()).collect();
    let standings = standing::read(&folder, &ids).map_err(|error| CliError::failure(&error))?;
    let keys = keys(runs.iter().map(|(_, changes)| changes));
    let rows: Vec<_> =
        standings.iter().zip(&runs).map(|(run, (_, changes))| row(run, values(changes, &keys))).collect();
    let header = ["run", "stands"].map(str::to_owned).into_iter().chain(keys);
    let header: Vec<String> = header.chain(["epochs", "Dice", ""].map(str::to_owned)).collect();
    show(&table(&header, &rows));
    say!("{}", summary(&standings));
    let has_failed = standings.iter().any(|run| matches!(run.standing, Standing::Failed(_)));
    Ok(if has_failed { Exit::No } else { Exit::Done })
}

/// A run as a row: its id, where it stands, what it changes, how far it is and how good.
pub(super) fn row(run: &RunStanding, values: Vec<String>) -> Vec<String> {
    let told = match &run.standing {
        Standing::Running { host, progress } => {
            let task = progress.task.clone().unwrap_or_else(|| format!("step {}/{}", progress.step, progress.steps));
            format!("{task} on {host}")
        }
        Standing::Failed(reason) => reason.clone(),
        Standing::Waiting | Standing::Interrupted | Standing::Done | Standing::Pruned => String::new(),
    };
    let dice = run.dice.map(|dice| format!("{dice:.4}")).unwrap_or_default();
    let start = [run.id.clone(), run.standing.word().to_owned()].into_iter().chain(values);
    start.chain([run.epochs.to_string(), dice, told]).collect()
}

/// `6 runs: 4 done, 1 failed, 1 running`.
pub(super) fn summary(runs: &[RunStanding]) -> String {
    let counts: Vec<String> = counts(runs).iter().map(|(word, count)| format!("{count} {word}")).collect();
    let noun = if runs.len() == 1 { "run" } else { "runs" };
    format!("{} {noun}: {}", runs.len(), counts.join(", "))
}
