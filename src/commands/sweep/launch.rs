//! Starting the runs of a sweep with the launcher that the user chose.

use std::sync::atomic::AtomicBool;

use super::overview::Display;
use super::{Checked, SweepArgs, keys, preview, show, status, values};
use crate::commands::report;
use crate::terminal::signals::{stop_flag, stop_on_signals};
use crate::terminal::{CliError, Exit};
use ::report::comparison::Compared;
use engine::run::shell_command;
use sweep::folder::runs_in;
use sweep::launch::{CacheArguments, Console, Launch, LaunchError, LaunchOutcome, Overview};
use sweep::run_state::{RunState, SweepRun};

/// Prints what a launch would do, without starting anything.
pub(super) fn dry_run(checked: &Checked, arguments: &SweepArgs) -> Result<Exit, CliError> {
    let dry_run = arguments.launcher.dry_run(&request(checked, arguments)).map_err(launch_error)?;
    if dry_run.has_estimates {
        preview::print(checked, arguments)?;
    }
    show(&dry_run.text);
    Ok(Exit::Done)
}

/// Starts every run that is not finished, and writes the report if the runs end here.
pub(super) fn launch(checked: &Checked, arguments: &SweepArgs) -> Result<Exit, CliError> {
    if arguments.launcher.is_local() {
        stop_on_signals()?;
    }
    let mut terminal = Terminal { checked, display: None, quiet: arguments.common.quiet };
    let outcome = arguments.launcher.launch(&request(checked, arguments), &mut terminal).map_err(launch_error)?;
    match outcome {
        LaunchOutcome::Stopped => {
            outln!("stopped; rerun the same command to resume");
            Ok(Exit::Stopped)
        }
        LaunchOutcome::Finished(runs) => {
            write_report(checked, &runs)?;
            let is_successful = |run: &SweepRun| matches!(run.run_state, RunState::Done | RunState::Pruned);
            Ok(if runs.iter().all(is_successful) { Exit::Done } else { Exit::No })
        }
        LaunchOutcome::Submitted => {
            let root = checked.folder.root().display().to_string();
            outln!("show progress: {}", shell_command(["runner", "sweep", "status", &root]));
            Ok(Exit::Done)
        }
        LaunchOutcome::NothingToSubmit { runs, queued } => {
            outln!("nothing to submit");
            // The job that writes the report may have been cancelled, or runs may have finished since.
            if queued == 0 {
                write_report(checked, &runs)?;
            }
            let has_failed = runs.iter().any(|run| matches!(run.run_state, RunState::Failed(_)));
            Ok(if has_failed { Exit::No } else { Exit::Done })
        }
    }
}

fn request<'a>(checked: &'a Checked, arguments: &SweepArgs) -> Launch<'a> {
    let cache = &arguments.common.cache;
    Launch {
        sweep: &checked.sweep,
        points: &checked.points,
        definition: &checked.definition,
        folder: &checked.folder,
        jobs: arguments.jobs(&checked.sweep),
        devices: arguments.devices(&checked.sweep),
        device: arguments.common.device,
        retry_failed: arguments.retry_failed,
        cache: CacheArguments { folder: cache.path(), given: cache.explicit_path(), arguments: cache.limit_argument() },
    }
}

fn launch_error(error: LaunchError) -> CliError {
    match error {
        LaunchError::Problem { message, help } => CliError::problem(message, help),
        LaunchError::Failure(message) => CliError::Failure(message),
    }
}

/// Writes the report of the folder and prints its verdict, if a run is done.
fn write_report(checked: &Checked, runs: &[SweepRun]) -> Result<(), CliError> {
    if !runs.iter().any(|run| run.run_state == RunState::Done) {
        return Ok(());
    }
    let root = checked.folder.root();
    let in_folder = runs_in(root).map_err(|error| CliError::failure(&error))?;
    let others = in_folder.iter().filter(|run| !checked.definition.ids.contains(run)).count();
    if others > 0 {
        outln!("\nthe report includes {others} other runs in {}", root.display());
    }
    report::write(root, &root.join("report"), Compared::default(), report::Detail::Verdict)
}

/// Shows a launch on this terminal.
struct Terminal<'a> {
    checked: &'a Checked,
    display: Option<Display>,
    quiet: bool,
}

impl Console for Terminal<'_> {
    fn stop(&self) -> &AtomicBool {
        stop_flag()
    }

    fn progress(&mut self, overview: &Overview) {
        let new = || Display::new(&self.checked.points, self.quiet);
        self.display.get_or_insert_with(new).show(overview);
    }

    fn runs(&mut self, runs: &[SweepRun]) {
        self.display = None;
        let checked = self.checked;
        let keys = keys(checked.points.iter().map(|point| &point.record.changes));
        let changes = |run: &SweepRun| {
            let point = checked.points.iter().find(|point| point.record.id == run.id);
            point.map(|point| values(&point.record.changes, &keys)).unwrap_or_default()
        };
        let rows: Vec<_> = runs.iter().map(|run| status::row(run, changes(run))).collect();
        status::show_table(keys, &rows);
        outln!("{}", status::summary(runs));
        if runs.iter().any(|run| matches!(run.run_state, RunState::Failed(_))) {
            let output = checked.folder.file("output");
            outln!("--retry-failed starts failed runs again; their output is in {}", output.display());
        }
        if runs.iter().any(|run| matches!(run.run_state, RunState::Interrupted { reason: Some(_) })) {
            outln!("rerun the same command to resume the interrupted runs");
        }
    }

    fn line(&mut self, line: &str) {
        outln!("{line}");
    }
}
