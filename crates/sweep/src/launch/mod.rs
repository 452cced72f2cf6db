//! Launchers: local processes, a Slurm job array, a Kubernetes job.
//!
//! A launcher starts workers, processes that each train one run (`runner sweep worker`). The state of a run is read from
//! files, whichever launcher started it, so one sweep may be continued with another launcher.
//!
//! To add a launcher: one file with an implementation of [`Launcher`], its `mod` line and one line in [`LAUNCHERS`];
//! settings that a sweep file may give are a field of [`SweepSpec`](crate::document::SweepSpec).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::document::Sweep;
use super::folder::{Definition, SweepFolder};
use super::points::Point;
use super::run_state::SweepRun;
use nn::devices::DeviceName;
use run_folder::folder::RunError;

mod kubernetes;
mod local;
mod slurm;

pub use kubernetes::KubernetesSpec;
pub use slurm::SlurmSpec;

/// All launchers; the first is the default.
pub const LAUNCHERS: &[&dyn Launcher] = &[&local::Local, &slurm::Slurm, &kubernetes::Kubernetes];

/// A way to start the runs of a sweep.
pub trait Launcher: fmt::Debug + Sync {
    /// Returns the name that `--launcher` takes.
    fn name(&self) -> &'static str;

    /// Returns one line for `--help`.
    fn about(&self) -> &'static str;

    /// Returns whether runs are trained on this machine, so that its devices and memory are checked.
    fn is_local(&self) -> bool {
        false
    }

    /// Returns what `--dry-run` prints, such as a job script.
    ///
    /// # Errors
    /// If settings are missing or the launcher cannot be used here.
    fn dry_run(&self, launch: &Launch) -> Result<DryRun, LaunchError>;

    /// Starts every run that is not finished.
    ///
    /// # Errors
    /// If settings are missing, a file cannot be written or the jobs cannot be started.
    fn launch(&self, launch: &Launch, console: &mut dyn Console) -> Result<LaunchOutcome, LaunchError>;
}

/// What `--dry-run` prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DryRun {
    /// Whether to print the table of runs with estimates of time and disk space.
    pub has_estimates: bool,
    /// Text after that table, such as a job script.
    pub text: String,
}

/// How a launch ended.
#[derive(Clone, Debug, PartialEq)]
pub enum LaunchOutcome {
    /// All runs ended.
    Finished(Vec<SweepRun>),
    /// The user stopped the sweep; its runs wrote a checkpoint.
    Stopped,
    /// Jobs were submitted to a cluster.
    Submitted,
    /// There was nothing to submit: every run is finished or in the cluster's queue.
    NothingToSubmit {
        /// Every run of the sweep.
        runs: Vec<SweepRun>,
        /// The number of runs in the queue.
        queued: usize,
    },
}

/// The terminal of the user who launches a sweep.
pub trait Console {
    /// Returns the flag that is set when the user asks to stop.
    fn stop(&self) -> &AtomicBool;

    /// Shows the progress of runs that are trained here.
    fn progress(&mut self, overview: &Overview);

    /// Prints the table of all runs.
    fn runs(&mut self, runs: &[SweepRun]);

    /// Prints a line.
    fn line(&mut self, line: &str);
}

/// A snapshot of a sweep's progress.
#[derive(Debug)]
pub struct Overview<'a> {
    /// Every run, in the order of the sweep.
    pub runs: &'a [SweepRun],
    /// The ids of the runs that this process trains.
    pub own: Vec<&'a str>,
}

/// Why runs could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The user can fix it.
    #[error("{message}")]
    Problem {
        /// What is wrong.
        message: String,
        /// What to do about it.
        help: String,
    },
    /// A disk, the cluster or another program failed.
    #[error("{0}")]
    Failure(String),
}

impl LaunchError {
    fn problem(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Problem { message: message.into(), help: help.into() }
    }
}

impl From<std::io::Error> for LaunchError {
    fn from(error: std::io::Error) -> Self {
        Self::Failure(error.to_string())
    }
}

impl From<RunError> for LaunchError {
    fn from(error: RunError) -> Self {
        Self::Failure(error.to_string())
    }
}

/// A checked sweep and how to launch it.
#[derive(Clone, Debug)]
pub struct Launch<'a> {
    /// The sweep file.
    pub sweep: &'a Sweep,
    /// Its runs.
    pub points: &'a [Point],
    /// The definition that workers read.
    pub definition: &'a Definition,
    /// The folder of its runs.
    pub folder: &'a SweepFolder,
    /// The number of runs to train at a time; `None` leaves it to the launcher.
    pub jobs: Option<usize>,
    /// The devices to distribute runs over on this machine; if empty, the experiment's own.
    pub devices: Vec<DeviceName>,
    /// The device that every run is to use.
    pub device: Option<DeviceName>,
    /// Whether to start failed runs again.
    pub retry_failed: bool,
    /// The cache folder and how it was given.
    pub cache: CacheArguments,
}

/// Cache options that a worker is given.
#[derive(Clone, Debug)]
pub struct CacheArguments {
    /// The cache folder on this machine.
    pub folder: PathBuf,
    /// The cache folder as the user wrote it, if at all.
    pub given: Option<PathBuf>,
    /// Further options, such as a size limit.
    pub arguments: Vec<String>,
}

impl Launch<'_> {
    /// Writes the definition and the runs into the sweep's folder, where workers find them.
    fn write(&self) -> Result<(), LaunchError> {
        let records = self.points.iter().map(|point| &point.record);
        Ok(self.folder.write(self.definition, records)?)
    }

    /// Returns the command that trains one run, without the option that selects the run.
    fn worker(&self, program: &str, folder: &Path, cache_dir: &Path) -> Vec<String> {
        let mut command: Vec<String> = [program, "sweep", "worker"].map(str::to_owned).to_vec();
        command.push(folder.display().to_string());
        command.extend(["--sweep".to_owned(), self.definition.id()]);
        command.extend(["--cache-dir".to_owned(), cache_dir.display().to_string()]);
        command.extend(self.cache.arguments.iter().cloned());
        if self.retry_failed {
            command.push("--retry-failed".to_owned());
        }
        command
    }

    /// Returns the option that sets the device of every run, if there is one.
    fn device_option(&self) -> Vec<String> {
        self.device.iter().flat_map(|device| ["--device".to_owned(), device.to_string()]).collect()
    }
}

/// Returns the path of this program.
fn program() -> Result<String, LaunchError> {
    Ok(std::env::current_exe()?.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_launcher_has_a_name_of_its_own_and_a_description() {
        let names: std::collections::BTreeSet<_> = LAUNCHERS.iter().map(|launcher| launcher.name()).collect();
        assert_eq!(names.len(), LAUNCHERS.len());
        assert!(LAUNCHERS.iter().all(|launcher| !launcher.about().is_empty()));
        assert!(LAUNCHERS[0].is_local());
    }
}
