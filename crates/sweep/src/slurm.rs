//! Trains the runs of a sweep as a job array of Slurm.
//!
//! Slurm decides when and where; what has become of a run is read from files, as everywhere.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::Command;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::folder::{Definition, SweepFolder, names_in};
use run_folder::folder::write_atomically;

/// What a job asks of Slurm; a key that is left out asks for nothing, so the cluster's default holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slurm {
    /// The partition.
    #[serde(default)]
    pub partition: Option<String>,
    /// GPUs of a run.
    #[serde(default)]
    pub gpus: Option<NonZeroUsize>,
    /// CPU cores of a run.
    #[serde(default)]
    pub cpus: Option<NonZeroUsize>,
    /// Memory of a run, as Slurm writes it: `32G`.
    #[serde(default)]
    pub memory: Option<String>,
    /// The time limit of a job, as Slurm writes it: `12:00:00`. A run that needs longer goes on in its next job.
    #[serde(default)]
    pub time: Option<String>,
    /// Seconds before the time limit at which a run writes its checkpoint and goes back into the queue.
    #[serde(default = "default_grace")]
    pub grace_secs: Grace,
    /// Further options of `sbatch`, such as `--account=radiology`.
    #[serde(default)]
    pub extra: Vec<String>,
}

/// Seconds; Slurm takes from 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Grace(pub std::num::NonZeroU16);

impl Default for Grace {
    fn default() -> Self {
        default_grace()
    }
}

fn default_grace() -> Grace {
    Grace(std::num::NonZeroU16::new(120).expect("120 is not 0"))
}

/// A sweep on a cluster.
#[derive(Clone, Debug)]
pub struct Array<'a> {
    /// Where its runs lie.
    pub folder: &'a SweepFolder,
    /// What is asked for.
    pub definition: &'a Definition,
    /// The sweep's name.
    pub name: &'a str,
    /// What a job asks for.
    pub slurm: &'a Slurm,
    /// The program and the arguments that train one run, but for its index.
    pub worker: Vec<String>,
    /// The program and the arguments that write the report.
    pub report: Vec<String>,
    /// How many runs are trained at once; `None` leaves it to Slurm.
    pub jobs: Option<usize>,
    /// The folder that data paths are relative to.
    pub working_folder: PathBuf,
}

/// Jobs that were handed to Slurm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The number of the job array.
    pub array: String,
    /// The number of the job that writes the report after it.
    pub report: String,
}

/// Why Slurm did not take a sweep.
#[derive(Debug, thiserror::Error)]
pub enum SlurmError {
    /// The program could not be started.
    #[error("{program} cannot be started: {source}; is this a machine that submits to Slurm?")]
    Start {
        /// `sbatch` or `squeue`.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Slurm refused.
    #[error("{program} refused: {message}")]
    Refused {
        /// `sbatch` or `squeue`.
        program: &'static str,
        /// What it said.
        message: String,
    },
    /// A script could not be written.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Array<'_> {
    /// The job script for the runs of these indices.
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

# The same number of threads each time: it decides the last bits.
if [ -n "${{SLURM_CPUS_PER_TASK:-}}" ]; then
    export RAYON_NUM_THREADS=$SLURM_CPUS_PER_TASK OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK MKL_NUM_THREADS=$SLURM_CPUS_PER_TASK
fi
{worker} --index "$SLURM_ARRAY_TASK_ID" --wait &
worker=$!
requeue=0
# USR1: the time limit is near. TERM: the job is pre-empted, which Slurm requeues itself, or cancelled.
trap 'requeue=1; kill -TERM "$worker" 2>/dev/null' USR1
trap 'kill -TERM "$worker" 2>/dev/null' TERM
wait "$worker"
code=$?
# A signal ends `wait` before the worker has written its checkpoint.
while kill -0 "$worker" 2>/dev/null; do
    wait "$worker"
    code=$?
done
# Done and failed runs stay; any other end is one that goes on.
case $requeue,$code in
0,* | 1,0 | 1,1 | 1,2 | 1,3 | 1,101) ;;
# Of the last task the number of the job would be that of the whole array.
*) scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}" ;;
esac
exit "$code"
"#,
            options = options.join("\n"),
            worker = quoted(&self.worker),
        )
    }

    fn resources(&self) -> Vec<String> {
        let Slurm { partition, gpus, cpus, memory, time, extra, .. } = self.slurm;
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

    /// The indices of runs that wait or run in jobs of earlier submissions.
    ///
    /// # Errors
    /// When `squeue` cannot be started or an earlier submission cannot be read.
    pub fn queued(&self) -> Result<Vec<usize>, SlurmError> {
        let folder = self.own_folder();
        let disk = |source| SlurmError::Disk { path: folder.clone(), source };
        let mut queued = Vec::new();
        for name in names_in(&folder).map_err(disk)? {
            let Some(job) = name.strip_suffix(".submission") else { continue };
            let definition = fs::read_to_string(folder.join(&name)).map_err(disk)?;
            if definition.trim() != self.definition.id() {
                continue;
            }
            let output = Command::new("squeue").args(["--noheader", "--array", "--format=%K", "--jobs", job]).output();
            let output = output.map_err(|source| SlurmError::Start { program: "squeue", source })?;
            // Slurm forgets jobs that ended a while ago, and says so with an error.
            let told = String::from_utf8_lossy(&output.stderr);
            if !output.status.success() && !told.contains("Invalid job id") {
                return Err(SlurmError::Refused { program: "squeue", message: told.trim().to_owned() });
            }
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            queued.extend(text.lines().filter_map(|line| line.trim().parse::<usize>().ok()));
        }
        Ok(queued)
    }

    /// Hands the runs of these indices to Slurm, and after them the report.
    ///
    /// # Errors
    /// When Slurm refuses or a script cannot be written.
    pub fn submit(&self, indices: &[usize]) -> Result<Submission, SlurmError> {
        let folder = self.own_folder();
        let disk = |source| SlurmError::Disk { path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(disk)?;
        let script = folder.join("array.sh");
        let written = write_atomically(&script, self.script(indices).as_bytes());
        written.map_err(|error| disk(io::Error::other(error)))?;
        let array = sbatch(&["--parsable", &script.display().to_string()])?;
        let submission = folder.join(format!("{array}.submission"));
        let written = write_atomically(&submission, self.definition.id().as_bytes());
        written.map_err(|error| disk(io::Error::other(error)))?;
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

/// Submits a job and gives its number.
fn sbatch(arguments: &[&str]) -> Result<String, SlurmError> {
    let output = Command::new("sbatch").args(arguments).output();
    let output = output.map_err(|source| SlurmError::Start { program: "sbatch", source })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // On a cluster of clusters the number is followed by `;name`.
    let number = text.trim().split(';').next().unwrap_or_default().to_owned();
    if output.status.success() && number.parse::<u64>().is_ok() {
        return Ok(number);
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(SlurmError::Refused { program: "sbatch", message })
}

/// Words as a shell reads them back.
fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect::<Vec<_>>().join(" ")
}

/// An option in a `#SBATCH` line; its value may hold spaces.
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
    fn the_script_asks_for_what_the_sweep_file_says() {
        let folder = SweepFolder::new("/runs/name".into());
        let definition = Definition::new(vec!["a".into(), "b".into()], None, vec![]);
        let slurm: Slurm = serde_json::from_str(
            r#"{"partition": "gpu", "gpus": 1, "cpus": 8, "memory": "32G", "time": "12:00:00", "extra": ["--account=us"]}"#,
        )
        .unwrap();
        let array = Array {
            folder: &folder,
            definition: &definition,
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
            r#"'/bin/runner' 'it'\''s' --index "$SLURM_ARRAY_TASK_ID" --wait &"#,
        ] {
            assert!(script.lines().any(|other| other == line), "{line} is missing in\n{script}");
        }
    }
}
