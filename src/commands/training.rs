//! Training in a run folder with progress on the terminal; shared by `run` and the workers of a sweep.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::moved_data_error;
use super::patches;
use super::plots::Plots;
use crate::terminal::bar::Bar;
use crate::terminal::signals::stop_flag;
use crate::terminal::{CliError, Exit, run_error};
use dataset::cache::{Cache, CacheError};
use dataset::patch::Patch;
use dataset::queue::QueueError;
use engine::experiment::plan::Plan;
use engine::preprocessing::{self, PreprocessError};
use engine::run::manifest::ResumeError;
use engine::run::resume::changeable_keys;
use engine::run::{self, FailedRun, RunOutcome, RunSession, RunSessionError, error_chain, shell_command};
use engine::training::checkpoint::{LatestCheckpoint, State};
use engine::training::{TrainError, validate};
use metrics::Metric;
use report::format;
use run_folder::event::{Event, Listener};
use run_folder::folder::RunFolder;
use run_folder::manifest::Manifest;
use run_folder::table::Table;

/// A training run with progress on the terminal.
pub(super) struct Training<'a> {
    /// The run folder, which this process has locked.
    pub folder: &'a RunFolder,
    /// The plan to train.
    pub plan: &'a Plan,
    /// The cache folder, for phantoms.
    pub cache_dir: PathBuf,
    /// The cache of preprocessed volumes.
    pub cache: Cache,
    /// Whether only results, warnings and errors are printed.
    pub quiet: bool,
    /// Further listeners.
    pub listeners: Vec<Box<dyn Listener + Send + 'a>>,
    /// Why a sweep pruned the run.
    pub pruned: Arc<OnceLock<String>>,
}

impl Training<'_> {
    /// Trains from a state or from the start, and prints the results.
    pub fn run(self, state: Option<State>, manifest: &mut Manifest) -> Result<Exit, CliError> {
        let Self { folder, plan, cache_dir, cache, quiet, pruned, .. } = self;
        let bar = Bar::new(validate::columns(plan), plan.experiment.train.epochs.get(), plan.steps_per_epoch, quiet);
        let mut listeners: Vec<Box<dyn Listener + Send + '_>> =
            vec![Box::new(Plots::new(folder, &plan.name, &plan.experiment.metrics)), Box::new(bar)];
        listeners.extend(self.listeners);
        let save_patches =
            |path: &Path, batch: &[Patch]| patches::save(path, plan, batch).map_err(|error| error.message());
        let session = RunSession {
            folder,
            plan,
            cache_dir,
            cache,
            listeners,
            stop: stop_flag(),
            pruned,
            save_patches: &save_patches,
        };
        let outcome = session.run(state, manifest).map_err(|FailedRun { error, manifest_error }| {
            if let Some(error) = manifest_error {
                eprintln!("warning: {error}");
            }
            run_session_error(*error)
        })?;
        let root = folder.root().display().to_string();
        let resume = shell_command(["runner", "run", "--resume", &root]);
        Ok(match outcome {
            RunOutcome::Pruned(reason) => {
                outln!("pruned: {reason}; to train it nevertheless: {resume}");
                Exit::Done
            }
            RunOutcome::Stopped => {
                outln!("stopped; resume with: {resume}");
                Exit::Stopped
            }
            RunOutcome::EarlyStopped => {
                let patience = plan.experiment.checkpoint.patience_epochs.map_or(0, |epochs| epochs.get());
                let monitor = &plan.experiment.checkpoint.monitor;
                outln!("early stopping: {monitor} has not improved for {patience} epochs");
                print_results(folder, plan, manifest);
                Exit::Done
            }
            RunOutcome::Done => {
                print_results(folder, plan, manifest);
                Exit::Done
            }
        })
    }
}

/// Reads the latest checkpoint of a run that can be read.
pub(super) fn latest_checkpoint(folder: &RunFolder) -> Result<LatestCheckpoint, CliError> {
    run::latest_checkpoint(folder).map_err(|error| CliError::failure(&error))
}

/// Returns the arguments of this process, as text.
pub(super) fn command() -> Vec<String> {
    std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect()
}

/// Writes the phantoms of a plan, with progress on the terminal.
pub(super) fn make_phantoms(plan: &Plan, cache_dir: &Path, bar: &mut Bar) -> Result<(), CliError> {
    let mut report = |done, total| {
        // An error of the terminal must not fail the command.
        let _ = bar.record(&Event::Preparing { task: "phantoms", done, total });
    };
    preprocessing::make_phantoms(&plan.experiment.data.source, cache_dir, &mut report)
        .map_err(|error| CliError::failure(error.as_ref()))
}

/// Prints the scores of the last validation, and the run folder.
fn print_results(folder: &RunFolder, plan: &Plan, manifest: &Manifest) {
    let declared = &plan.experiment.metrics;
    if let Ok(table) = Table::read(&folder.file("metrics.csv")) {
        let scores = table.names.iter().filter(|name| name.starts_with("val_") && *name != "val_loss");
        for name in scores {
            if let Some((epoch, score)) = table.points("epoch", name).last() {
                outln!("{}  (epoch {epoch})", result_line("", name, *score, declared));
            }
        }
    }
    if let (Some(epoch), Some(value)) = (manifest.best_epoch, manifest.best_value) {
        let line = result_line("best ", &plan.experiment.checkpoint.monitor, value, declared);
        outln!("{line}  (epoch {epoch}: checkpoints/best.safetensors)");
    }
    outln!("{}", folder.root().display());
}

/// Returns a line with the name and value of a column of `metrics.csv`.
fn result_line(prefix: &str, column: &str, value: f64, declared: &[Metric]) -> String {
    let name = format!("{prefix}{}", column.trim_start_matches("val_").replace('_', " "));
    format!("{name:<28}{}", format::column_value(column, value, declared))
}

/// Converts an error of a run.
fn run_session_error(error: RunSessionError) -> CliError {
    match error {
        RunSessionError::Train(error) => training_error(&error),
        RunSessionError::Manifest(error) => run_error(error),
        RunSessionError::Panic(_) => CliError::Bug(error.to_string()),
        RunSessionError::Phantoms(_) | RunSessionError::Records(_) | RunSessionError::NotFinite { .. } => {
            CliError::failure(&error)
        }
    }
}

/// Converts an error of training: errors of the experiment, its label maps or an option are problems that the user can
/// fix; the rest are failures of the environment.
pub(super) fn training_error(error: &TrainError) -> CliError {
    match error {
        TrainError::Batch(_) | TrainError::InputsChanged(_) => {
            CliError::Problem { message: error.to_string(), help: None }
        }
        TrainError::Queue(QueueError::Panic { .. }) => CliError::Bug(error.to_string()),
        TrainError::Preprocess(PreprocessError::Cache(error @ CacheError::Limit { .. }))
        | TrainError::Cache(error @ CacheError::Limit { .. }) => CliError::problem(
            error.to_string(),
            "raise --cache-limit or RUNNER_CACHE_LIMIT, or make the volumes smaller in `preprocess`",
        ),
        error => CliError::Failure(error_chain(error)),
    }
}

/// Converts an error of a resumed or compared run.
pub(super) fn resume_error(error: ResumeError) -> CliError {
    match error {
        ResumeError::Folder(error) => run_error(error),
        ResumeError::Plan(problems) => CliError::Problems(problems),
        ResumeError::Data(error) => moved_data_error(error),
        ResumeError::Checkpoint(error) => CliError::failure(&error),
        ResumeError::KeyCannotChange { .. } => CliError::problem(
            error.to_string(),
            format!(
                "only {} and the place of the data, `data.source`, can be set with --resume; start a new run for the rest",
                changeable_keys().join(", ")
            ),
        ),
        ResumeError::TooFewEpochs { trained, .. } => {
            CliError::problem(error.to_string(), format!("set {trained} or more, or start a new run"))
        }
        ResumeError::SplitChanged { .. } => {
            CliError::problem(error.to_string(), "restore the data, or start a new run")
        }
        ResumeError::Imported { ref root, .. } => {
            let weights = format!("train.initial_weights: {}", root.display());
            CliError::problem(error.to_string(), format!("to fine-tune it, start a new run with `{weights}`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_worker_is_a_bug_and_a_patch_that_cannot_be_made_a_failure_of_the_environment() {
        let (subject, index) = ("liver_001".to_owned(), 3);
        let panic = QueueError::Panic { subject: subject.clone(), index, message: "overflow".to_owned() };
        let error = training_error(&TrainError::Queue(panic));
        assert_eq!(error.code(), 101);
        assert!(error.message().contains("patch 3 of subject liver_001 panicked: overflow"), "{error:?}");
        let error = training_error(&TrainError::Queue(QueueError::Make { subject, index, source: "torn".into() }));
        assert_eq!((error.code(), error.message().contains("torn")), (3, true));
    }

    #[test]
    fn a_panic_of_training_keeps_its_message() {
        let error = run_session_error(RunSessionError::Panic("shape 7 does not fit".to_owned()));
        assert_eq!((error.code(), error.message().contains("shape 7 does not fit")), (101, true));
    }
}
