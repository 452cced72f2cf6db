//! The job array of a sweep's runs, and the programs of Slurm that submit it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::SlurmSpec;
use crate::folder::{SweepFolder, names_in};
use crate::launch::{self, Launch, LaunchError};
use engine::run::shell_command;
use run_folder::folder::write_atomically;

/// A job array that trains runs, and the job after it that writes the report.
#[derive(Clone, Debug)]
pub(super) struct Array<'a> {
    /// The folder of the sweep's runs, an absolute path.
    pub folder: SweepFolder,
    /// The id of the definition.
    definition: String,
    /// The sweep's name.
    name: &'a str,
    slurm: &'a SlurmSpec,
    /// The command that trains one run, without its index.
    worker: Vec<String>,
    /// The command that writes the report.
    pub report: Vec<String>,
    /// The number of tasks to run at a time; `None` leaves it to Slurm.
    jobs: Option<usize>,
    /// The folder that data paths are relative to.
    working_folder: PathBuf,
}

/// The numbers of submitted jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Submission {
    pub array: String,
    pub report: String,
}

impl<'a> Array<'a> {
    /// Describes the jobs of a sweep. Paths are absolute, since a job starts in another folder.
    pub fn new(launch: &'a Launch) -> Result<Self, LaunchError> {
        let folder = SweepFolder::new(std::path::absolute(launch.folder.root())?);
        let cache_dir = std::path::absolute(&launch.cache.folder)?;
        let program = launch::program()?;
        let mut worker = launch.worker(&program, folder.root(), &cache_dir);
        worker.extend(launch.device_option());
        Ok(Self {
            definition: launch.definition.id(),
            name: &launch.sweep.name,
            slurm: &launch.sweep.spec.slurm,
            worker,
            report: vec![program, "report".to_owned(), folder.root().display().to_string()],
            jobs: launch.jobs,
            working_folder: std::env::current_dir()?,
            folder,
        })
    }

    /// Returns the job script for the runs of these indices.
    pub fn script(&self, indices: &[usize]) -> String {
        let list: Vec<String> = indices.iter().map(usize::to_string).collect();
        let limit = self.jobs.map(|jobs| format!("%{jobs}")).unwrap_or_default();
        let mut options = vec![
            format!("--job-name={}", self.name),
            format!("--array={}{limit}", list.join(",")),
            format!("--output={}/%A_%a.txt", self.own_folder().display()),
            "--open-mode=append".to_owned(),
            "--requeue".to_owned(),
            format!("--chdir={}", self.working_folder.display()),
            format!("--signal=B:USR1@{}", self.slurm.grace_secs.0),
        ];
        options.extend(self.resources());
        let options: Vec<String> = options.iter().map(|option| format!("#SBATCH {}", quoted_option(option))).collect();
        format!(
            r#"#!/bin/bash
# Written by `runner sweep`. One task of the array trains one run.
{options}

# The number of threads decides the last bits of sums, so it is the same each time.
if [ -n "${{SLURM_CPUS_PER_TASK:-}}" ]; then
    export RAYON_NUM_THREADS=$SLURM_CPUS_PER_TASK OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK MKL_NUM_THREADS=$SLURM_CPUS_PER_TASK
fi
{worker} --index "$SLURM_ARRAY_TASK_ID" --wait &
worker=$!
requeue=0
# USR1: the time limit is near. TERM: the job is preempted, in which case Slurm requeues it, or cancelled.
trap 'requeue=1; kill -TERM "$worker" 2>/dev/null' USR1
trap 'kill -TERM "$worker" 2>/dev/null' TERM
wait "$worker"
code=$?
# A signal interrupts `wait` before the worker has written its checkpoint.
while kill -0 "$worker" 2>/dev/null; do
    wait "$worker"
    code=$?
done
# Requeue the run unless it is done or has failed.
case $requeue,$code in
0,* | 1,0 | 1,1 | 1,2 | 1,3 | 1,101) ;;
# SLURM_JOB_ID of the last task is that of the whole array.
*) scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}" ;;
esac
exit "$code"
"#,
            options = options.join("\n"),
            worker = quoted(&self.worker),
        )
    }

    fn resources(&self) -> Vec<String> {
        let SlurmSpec { partition, gpus, cpus, memory, time, extra, .. } = self.slurm;
        let named = [
            ("--partition", partition.clone()),
            ("--gpus", gpus.map(|count| count.to_string())),
            ("--cpus-per-task", cpus.map(|count| count.to_string())),
            ("--mem", memory.clone()),
            ("--time", time.clone()),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        named.chain(extra.iter().cloned()).collect()
    }

    fn own_folder(&self) -> PathBuf {
        self.folder.file("slurm")
    }

    /// Returns the indices of runs that wait or run in jobs of earlier submissions.
    pub fn queued(&self) -> Result<Vec<usize>, LaunchError> {
        let folder = self.own_folder();
        let mut queued = Vec::new();
        for name in names_in(&folder).map_err(|error| disk(&folder, &error))? {
            let Some(job) = name.strip_suffix(".submission") else { continue };
            let definition = fs::read_to_string(folder.join(&name)).map_err(|error| disk(&folder, &error))?;
            if definition.trim() != self.definition {
                continue;
            }
            let output = call("squeue", &["--noheader", "--array", "--format=%K", "--jobs", job])?;
            // Slurm forgets jobs some time after they end, and then reports an error.
            let error = String::from_utf8_lossy(&output.stderr);
            if !output.status.success() && !error.contains("Invalid job id") {
                return Err(LaunchError::Failure(format!("squeue failed: {}", error.trim())));
            }
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            queued.extend(text.lines().filter_map(|line| line.trim().parse::<usize>().ok()));
        }
        Ok(queued)
    }

    /// Submits the runs of these indices, and after them the report.
    pub fn submit(&self, indices: &[usize]) -> Result<Submission, LaunchError> {
        let folder = self.own_folder();
        fs::create_dir_all(&folder).map_err(|error| disk(&folder, &error))?;
        let write = |path: &Path, text: &str| {
            write_atomically(path, text.as_bytes()).map_err(|error| disk(&folder, &io::Error::other(error)))
        };
        let script = folder.join("array.sh");
        write(&script, &self.script(indices))?;
        let array = sbatch(&["--parsable", &script.display().to_string()])?;
        write(&folder.join(format!("{array}.submission")), &self.definition)?;
        let mut options = vec![
            "--parsable".to_owned(),
            format!("--dependency=afterany:{array}"),
            format!("--job-name={}-report", self.name),
            format!("--output={}/%j_report.txt", folder.display()),
            format!("--chdir={}", self.working_folder.display()),
        ];
        options.extend(self.slurm.partition.iter().map(|partition| format!("--partition={partition}")));
        options.extend(self.slurm.extra.iter().cloned());
        options.push(format!("--wrap={}", quoted(&self.report)));
        let report = sbatch(&options.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(Submission { array, report })
    }
}

fn disk(folder: &Path, error: &io::Error) -> LaunchError {
    LaunchError::Failure(format!("{}: {error}", folder.display()))
}

/// Runs one of Slurm's programs.
fn call(program: &'static str, arguments: &[&str]) -> Result<Output, LaunchError> {
    Command::new(program).args(arguments).output().map_err(|error| {
        LaunchError::problem(
            format!("cannot start {program}: {error}; is this a machine that submits to Slurm?"),
            "without Slurm, `--launcher local` trains on this machine",
        )
    })
}

/// Submits a job and returns its number.
fn sbatch(arguments: &[&str]) -> Result<String, LaunchError> {
    let output = call("sbatch", arguments)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // In a federation of clusters, `;name` follows the number.
    let number = text.trim().split(';').next().unwrap_or_default().to_owned();
    if output.status.success() && number.parse::<u64>().is_ok() {
        return Ok(number);
    }
    let error = String::from_utf8_lossy(&output.stderr);
    let message = format!("sbatch rejected the job: {}", error.trim());
    // A cluster that does not respond is not a mistake in the sweep file.
    if error.contains("nable to") || error.contains("DNS") {
        return Err(LaunchError::Failure(message));
    }
    Err(LaunchError::problem(message, "fix `slurm` in the sweep file"))
}

/// Quotes words for a POSIX shell.
fn quoted(words: &[String]) -> String {
    shell_command(words.iter().map(String::as_str))
}

/// Quotes an option of an `#SBATCH` line whose value has spaces.
fn quoted_option(option: &str) -> String {
    if option.contains(' ') && option.starts_with("--") && option.contains('=') {
        return format!("\"{option}\"");
    }
    option.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_sets_the_options_of_the_sweep_file() {
        let slurm: SlurmSpec = serde_json::from_str(
            r#"{"partition": "gpu", "gpus": 1, "cpus": 8, "memory": "32G", "time": "12:00:00", "extra": ["--account=us"]}"#,
        )
        .unwrap();
        let array = Array {
            folder: SweepFolder::new("/runs/name".into()),
            definition: "0123456789ab".into(),
            name: "name",
            slurm: &slurm,
            worker: vec!["/bin/runner".into(), "it's".into()],
            report: vec!["/bin/runner".into()],
            jobs: Some(4),
            working_folder: "/project".into(),
        };
        let script = array.script(&[0, 1, 7]);
        for line in [
            "#SBATCH --array=0,1,7%4",
            "#SBATCH --partition=gpu",
            "#SBATCH --gpus=1",
            "#SBATCH --cpus-per-task=8",
            "#SBATCH --mem=32G",
            "#SBATCH --time=12:00:00",
            "#SBATCH --signal=B:USR1@120",
            "#SBATCH --account=us",
            r#"/bin/runner "it's" --index "$SLURM_ARRAY_TASK_ID" --wait &"#,
        ] {
            assert!(script.lines().any(|other| other == line), "{line} is missing in\n{script}");
        }
    }
}
