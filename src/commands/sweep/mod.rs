//! `runner sweep`: trains many variants of one experiment.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

mod launch;
mod overview;
mod preview;
mod status;
mod worker;

use super::numbers::at_least_one;
use super::{Execute, ExperimentOptions};
use crate::output_paths::check_folder;
use crate::terminal::{CliError, Exit, output};
use engine::experiment::check::Environment;
use engine::training::validate;
use nn::devices::DeviceName;
use sweep::document::{self, GridArgument, Sweep};
use sweep::folder::{Definition, SweepFolder};
use sweep::launch::{LAUNCHERS, Launcher};
use sweep::points::{self, Changes, Point, Points, short};
use volume::memory::memory_limit_bytes;

/// Train many variants of one experiment: a grid, a list or random samples of its keys.
///
/// Rerun the same command to resume an interrupted sweep; finished runs are kept.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "\
Examples:
  runner sweep experiments/learning_rates.yaml --dry-run
  runner sweep experiments/quickstart.yaml --grid 'optimizer.*.learning_rate=1e-4,1e-3' --jobs 2
  runner sweep status runs/learning_rates")]
pub struct SweepArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Sweep file, or an experiment file together with --grid (YAML).
    #[arg(required = true)]
    file: Option<PathBuf>,
    /// Values of one key, such as `--grid 'optimizer.*.learning_rate=1e-4,1e-3'`; repeatable.
    #[arg(long, value_name = "KEY=V1,V2,...")]
    grid: Vec<GridArgument>,
    /// Number of runs to train at the same time.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    jobs: Option<NonZeroUsize>,
    /// Devices to distribute the jobs over, such as `cuda:0,cuda:1`.
    #[arg(long, value_name = "D1,D2,...", value_delimiter = ',')]
    devices: Vec<DeviceName>,
    /// Where to run the jobs.
    #[arg(long, default_value = LAUNCHERS[0].name(), value_parser = launcher())]
    launcher: &'static dyn Launcher,
    /// Restart failed runs.
    #[arg(long)]
    retry_failed: bool,
    /// Check and list the runs, estimate time and disk space, and start nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    common: ExperimentOptions,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the status of every run of a sweep.
    Status(status::StatusArgs),
    /// Train one run of a sweep; launchers start this.
    #[command(hide = true)]
    Worker(worker::WorkerArgs),
}

/// Parses the name of a launcher.
fn launcher() -> impl TypedValueParser<Value = &'static dyn Launcher> {
    let values = LAUNCHERS.iter().map(|launcher| PossibleValue::new(launcher.name()).help(launcher.about()));
    PossibleValuesParser::new(values).map(|name| {
        let launcher = LAUNCHERS.iter().find(|launcher| launcher.name() == name);
        *launcher.expect("clap accepts the names of launchers only")
    })
}

/// A sweep that was checked, and its folder.
struct Checked {
    sweep: Sweep,
    points: Vec<Point>,
    definition: Definition,
    folder: SweepFolder,
}

impl Execute for SweepArgs {
    /// Trains the runs of a sweep, or shows their status.
    fn execute(&self) -> Result<Exit, CliError> {
        match &self.action {
            Some(Action::Status(arguments)) => return arguments.execute(),
            Some(Action::Worker(arguments)) => return arguments.execute(),
            None => {}
        }
        let path = self.file.as_deref().expect("clap requires a file");
        let checked = check(path, self)?;
        match self.dry_run {
            true => launch::dry_run(&checked, self),
            false => launch::launch(&checked, self),
        }
    }
}

/// Checks every run before the first one starts.
fn check(path: &Path, arguments: &SweepArgs) -> Result<Checked, CliError> {
    let common = &arguments.common;
    check_folder(&common.runs_dir)?;
    let sweep = document::load(path, &arguments.grid, &common.set)?;
    let cache_dir = common.cache.path();
    let (environment, device) = if arguments.launcher.is_local() {
        for device in arguments.devices(&sweep) {
            device.resolve().map_err(|error| {
                CliError::problem(error.to_string(), "`runner devices` lists what this binary and machine offer")
            })?;
        }
        let environment = Environment { cache_dir, memory_bytes: memory_limit_bytes() };
        (environment, arguments.devices(&sweep).first().copied())
    } else {
        // Device and memory are checked where the job runs; here any available device will do.
        let device = [DeviceName::FLEX, DeviceName::Auto].into_iter().find(|device| device.resolve().is_ok());
        (Environment { cache_dir, memory_bytes: None }, device)
    };
    let Points { points, warnings } = points::check(&sweep, &environment, device)?;
    for warning in &warnings {
        eprintln!("warning: {warning}");
    }
    if let Some(prune) = &sweep.spec.prune {
        let problem =
            points.iter().find_map(|point| prune.problem(&point.plan, &validate::columns(&point.plan).metrics));
        if let Some(problem) = problem {
            return Err(CliError::problem(
                format!("`prune` cannot be used: {problem}"),
                "fix `prune` in the sweep file",
            ));
        }
    }
    let ids = points.iter().map(|point| point.record.id.clone()).collect();
    let definition = Definition::new(ids, sweep.spec.prune.clone(), super::training::command());
    let folder = SweepFolder::new(common.runs_dir.join(&sweep.name));
    Ok(Checked { sweep, points, definition, folder })
}

impl SweepArgs {
    /// Returns the devices to distribute: those of the command line, else those of the sweep file.
    fn devices(&self, sweep: &Sweep) -> Vec<DeviceName> {
        match (self.devices.as_slice(), self.common.device) {
            ([], Some(device)) => vec![device],
            ([], None) => sweep.spec.devices.clone(),
            (devices, _) => devices.to_vec(),
        }
    }

    /// Returns the number of runs to train at the same time, if it was set.
    fn jobs(&self, sweep: &Sweep) -> Option<usize> {
        self.jobs.or(sweep.spec.jobs).map(|jobs| jobs.get())
    }
}

/// Returns the keys that a table of runs shows: those whose values differ, in order of first occurrence.
fn keys<'a>(changes: impl IntoIterator<Item = &'a Changes>) -> Vec<String> {
    let runs: Vec<&Changes> = changes.into_iter().collect();
    let value = |run: &'a [(String, serde_json::Value)], key: &str| {
        run.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    };
    let differs = |key: &String| runs.iter().any(|run| value(run, key) != value(runs[0], key));
    let mut seen = BTreeSet::new();
    let keys = runs.iter().flat_map(|run| run.iter()).map(|(key, _)| key);
    keys.filter(|key| seen.insert((*key).clone()) && differs(key)).cloned().collect()
}

/// Returns the values of a run for these keys.
fn values(changes: &[(String, serde_json::Value)], keys: &[String]) -> Vec<String> {
    let value = |key: &String| changes.iter().find(|(name, _)| name == key).map(|(_, value)| short(value));
    keys.iter().map(|key| value(key).unwrap_or_default()).collect()
}

/// Formats the changes of a run in a line, for the keys that differ.
fn changed(changes: &[(String, serde_json::Value)], keys: &[String]) -> String {
    let last = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
    let is_ambiguous = |key: &str| keys.iter().filter(|other| last(other) == last(key)).count() > 1;
    let name = |key: &str| if is_ambiguous(key) { key.to_owned() } else { last(key) };
    let changes = changes.iter().filter(|(key, _)| keys.contains(key));
    changes.map(|(key, value)| format!("{} {}", name(key), short(value))).collect::<Vec<_>>().join(", ")
}

fn show(text: &str) {
    output::text(text);
}
