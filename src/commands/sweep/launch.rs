//! Starting the runs of a sweep: here, through Slurm, or through Kubernetes.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::overview::Display;
use super::{Checked, SweepArgs, keys, show, status, values};
use crate::commands::report;
use crate::commands::training::{STOP, stop_on_ctrl_c};
use crate::terminal::{CliError, Exit, run_error};
use ::report::comparison::ComparedEpoch;
use sweep::folder::{SweepFolder, runs_in};
use sweep::kubernetes::IndexedJob;
use sweep::local::Local;
use sweep::run_state::{self, RunState, SweepRun};
use sweep::slurm::{Array, SlurmError};

/// Trains the runs in processes on this machine.
pub(super) fn local(checked: &Checked, arguments: &SweepArgs) -> Result<Exit, CliError> {
    stop_on_ctrl_c()?;
    write(checked)?;
    let devices = arguments.devices(&checked.sweep);
    let jobs = arguments.jobs(&checked.sweep).unwrap_or(devices.len().max(1));
    let local = Local {
        folder: &checked.folder,
        definition: &checked.definition,
        worker: worker(checked, arguments, checked.folder.root())?,
        jobs,
        devices,
        threads: threads(jobs),
        retry_failed: arguments.retry_failed,
    };
    let mut display = Display::new(&checked.points, arguments.common.quiet);
    let runs = local.run(&STOP, &mut |overview| display.show(overview)).map_err(|error| CliError::failure(&error))?;
    drop(display);
    print_standings(checked, &runs);
    // What failed, and what was left alone, is not done.
    let is_open = |run: &SweepRun| !matches!(run.run_state, RunState::Done | RunState::Pruned);
    let has_failed = runs.iter().any(is_open);
    if STOP.load(Ordering::SeqCst) {
        outln!("stopped; the same command goes on");
        return Ok(Exit::Stopped);
    }
    write_report(checked, &runs)?;
    Ok(if has_failed { Exit::No } else { Exit::Done })
}

/// Writes the report of the folder and prints its verdict, where some run is done.
fn write_report(checked: &Checked, runs: &[SweepRun]) -> Result<(), CliError> {
    if !runs.iter().any(|run| run.run_state == RunState::Done) {
        return Ok(());
    }
    let root = checked.folder.root();
    let in_folder = runs_in(root).map_err(|error| CliError::failure(&error))?;
    let others = in_folder.iter().filter(|run| !checked.definition.ids.contains(run)).count();
    if others > 0 {
        outln!("\nthe report compares {others} other runs of {} too", root.display());
    }
    report::write(root, &root.join("report"), ComparedEpoch::Best, report::Detail::Verdict)
}

/// The cores are shared out among jobs; a single one takes what it likes. A person who sets the number is obeyed.
fn threads(jobs: usize) -> Option<usize> {
    if jobs == 1 || std::env::var_os("RAYON_NUM_THREADS").is_some() {
        return None;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Some((cores / jobs).max(1))
}

fn print_standings(checked: &Checked, runs: &[SweepRun]) {
    let keys = keys(checked.points.iter().map(|point| &point.written.changes));
    let changes = |run: &SweepRun| {
        let point = checked.points.iter().find(|point| point.written.id == run.id);
        point.map(|point| values(&point.written.changes, &keys)).unwrap_or_default()
    };
    let rows: Vec<_> = runs.iter().map(|run| status::row(run, changes(run))).collect();
    status::show_table(keys, &rows);
    outln!("{}", status::summary(runs));
    if runs.iter().any(|run| matches!(run.run_state, RunState::Failed(_))) {
        outln!("--retry-failed begins failed runs again; {} tells more", checked.folder.file("output").display());
    }
    if runs.iter().any(|run| matches!(run.run_state, RunState::Interrupted { reason: Some(_) })) {
        outln!("the same command goes on with the runs that were left alone");
    }
}

/// Writes down what is asked for, so that workers find it.
fn write(checked: &Checked) -> Result<(), CliError> {
    let points = checked.points.iter().map(|point| &point.written);
    checked.folder.write(&checked.definition, points).map_err(run_error)
}

/// The command that trains one run, but for which one.
fn worker(checked: &Checked, arguments: &SweepArgs, folder: &Path) -> Result<Vec<String>, CliError> {
    let mut command = vec![program()?];
    command.extend(["sweep", "worker"].map(str::to_owned));
    command.push(folder.display().to_string());
    command.extend(["--sweep".to_owned(), checked.definition.id()]);
    command.extend(worker_options(arguments)?);
    Ok(command)
}

fn worker_options(arguments: &SweepArgs) -> Result<Vec<String>, CliError> {
    let mut options = vec!["--cache-dir".to_owned(), absolute(&arguments.common.cache.path())?.display().to_string()];
    options.extend(arguments.common.cache.limit_argument());
    if arguments.retry_failed {
        options.push("--retry-failed".to_owned());
    }
    Ok(options)
}

fn program() -> Result<String, CliError> {
    let program = std::env::current_exe().map_err(|error| CliError::failure(&error))?;
    Ok(program.display().to_string())
}

fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(|error| CliError::failure(&error))
}

/// The sweep as a job array; a job knows no working folder but the one that it is given.
fn array<'a>(checked: &'a Checked, arguments: &SweepArgs, folder: &'a SweepFolder) -> Result<Array<'a>, CliError> {
    let mut worker = worker(checked, arguments, folder.root())?;
    worker.extend(arguments.common.device.iter().flat_map(|device| ["--device".to_owned(), device.to_string()]));
    Ok(Array {
        folder,
        definition: &checked.definition,
        name: &checked.sweep.name,
        slurm: &checked.sweep.spec.slurm,
        worker,
        report: vec![program()?, "report".to_owned(), folder.root().display().to_string()],
        jobs: arguments.jobs(&checked.sweep),
        working_folder: std::env::current_dir().map_err(|error| CliError::failure(&error))?,
    })
}

/// Prints the job script of all runs.
pub(super) fn slurm_script(checked: &Checked, arguments: &SweepArgs) -> Result<(), CliError> {
    let folder = SweepFolder::new(absolute(checked.folder.root())?);
    let all: Vec<usize> = (0..checked.points.len()).collect();
    let array = array(checked, arguments, &folder)?;
    show(&format!("\n{}", array.script(&all)));
    outln!("\n# and after it, whatever became of its tasks:\n# {}", array.report.join(" "));
    Ok(())
}

/// Hands the runs that are not done to Slurm.
pub(super) fn slurm(checked: &Checked, arguments: &SweepArgs) -> Result<Exit, CliError> {
    write(checked)?;
    let folder = SweepFolder::new(absolute(checked.folder.root())?);
    let array = array(checked, arguments, &folder)?;
    let runs = run_state::read(&folder, &checked.definition.ids).map_err(|error| CliError::failure(&error))?;
    let queued = array.queued().map_err(|error| slurm_error(&error))?;
    let is_open = |run: &SweepRun| match run.run_state {
        RunState::Done => false,
        RunState::Pruned => checked.definition.prune.is_none(),
        RunState::Failed(_) => arguments.retry_failed,
        RunState::Waiting | RunState::Interrupted { .. } | RunState::Running { .. } => true,
    };
    let open = (0..runs.len()).filter(|index| is_open(&runs[*index]));
    let (queued, new): (Vec<usize>, Vec<usize>) = open.partition(|index| queued.contains(index));
    print_standings(checked, &runs);
    if !queued.is_empty() {
        outln!("{} of these are in Slurm's queue already", queued.len());
    }
    if new.is_empty() {
        outln!("nothing to submit");
        // The job that writes the report may have been cancelled, or the runs done since.
        if queued.is_empty() {
            write_report(checked, &runs)?;
        }
        let has_failed = runs.iter().any(|run| matches!(run.run_state, RunState::Failed(_)));
        return Ok(if has_failed { Exit::No } else { Exit::Done });
    }
    let submission = array.submit(&new).map_err(|error| slurm_error(&error))?;
    outln!(
        "submitted {} runs as job array {}, and job {} for the report",
        new.len(),
        submission.array,
        submission.report
    );
    outln!("they stand: runner sweep status {}", checked.folder.root().display());
    Ok(Exit::Done)
}

/// What Slurm refuses is the user's to mend: a partition, a limit.
fn slurm_error(error: &SlurmError) -> CliError {
    match error {
        // The cluster does not answer: nothing of the sweep file is wrong.
        SlurmError::Refused { program: "squeue", .. } => CliError::failure(error),
        SlurmError::Refused { message, .. } if message.contains("nable to") || message.contains("DNS") => {
            CliError::failure(error)
        }
        SlurmError::Refused { .. } => CliError::problem(error.to_string(), "mend `slurm` in the sweep file"),
        SlurmError::Start { .. } => {
            CliError::problem(error.to_string(), "without Slurm, `--launcher local` trains on this machine")
        }
        SlurmError::Disk { .. } => CliError::failure(error),
    }
}

/// Prints the manifest of an Indexed Job, or hands it to `kubectl`.
pub(super) fn kubernetes(checked: &Checked, arguments: &SweepArgs, dry_run: bool) -> Result<Exit, CliError> {
    let mut options = match &arguments.common.cache.explicit_path() {
        Some(cache) if cache.is_relative() || cache.starts_with(&checked.sweep.spec.kubernetes.mount.0) => {
            vec!["--cache-dir".to_owned(), cache.display().to_string()]
        }
        // The home of a container, and what lies outside the claim, is gone with it; the claim stays.
        _ => vec!["--cache-dir".to_owned(), "cache".to_owned()],
    };
    options.extend(arguments.common.cache.limit_argument());
    if arguments.retry_failed {
        options.push("--retry-failed".to_owned());
    }
    options.extend(arguments.common.device.iter().flat_map(|device| ["--device".to_owned(), device.to_string()]));
    let definition = checked.definition.id();
    let job = IndexedJob {
        name: &checked.sweep.name,
        definition: &definition,
        runs: checked.points.len(),
        jobs: arguments.jobs(&checked.sweep),
        kubernetes: &checked.sweep.spec.kubernetes,
        folder: checked.folder.root(),
        arguments: options,
    };
    if !job.sees_folder() {
        let (folder, mount) = (checked.folder.root().display(), &checked.sweep.spec.kubernetes.mount.0);
        let help = "give --runs-dir relative to the working folder, where the claim is mounted";
        return Err(CliError::problem(format!("{folder} is not below {mount}, where pods see the claim"), help));
    }
    let manifest = job.manifest().ok_or_else(|| {
        CliError::problem(
            "the sweep file names no image or no claim for Kubernetes",
            "add `kubernetes: { image: IMAGE, claim: PERSISTENT_VOLUME_CLAIM }`",
        )
    })?;
    if dry_run {
        show(&manifest);
        return Ok(Exit::Done);
    }
    write(checked)?;
    let path = checked.folder.file("kubernetes.yaml");
    run_folder::folder::write_atomically(&path, manifest.as_bytes()).map_err(run_error)?;
    let applied = std::process::Command::new("kubectl").args(["create", "--filename"]).arg(&path).status();
    match applied {
        Ok(status) if status.success() => {
            outln!("they stand: runner sweep status {}", checked.folder.root().display());
            Ok(Exit::Done)
        }
        Ok(status) => {
            Err(CliError::Failure(format!("kubectl create --filename {} ended with {status}", path.display())))
        }
        Err(error) => Err(CliError::problem(
            format!("kubectl cannot be started: {error}"),
            format!("hand {} to the cluster from a machine that has it", path.display()),
        )),
    }
}
