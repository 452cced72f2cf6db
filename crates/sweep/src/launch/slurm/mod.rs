//! Trains the runs of a sweep as a Slurm job array.
//!
//! Slurm schedules the tasks; the state of a run is read from its files.

mod array;

use std::num::{NonZeroU16, NonZeroUsize};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::array::Array;
use super::{Console, DryRun, Launch, LaunchError, LaunchOutcome, Launcher};
use crate::run_state::{self, RunState, SweepRun};

/// Slurm options of each job. All but `grace_secs` are unset by default, so the cluster's defaults apply.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Slurm")]
pub struct SlurmSpec {
    /// Partition to submit to (`sbatch --partition`), for example `gpu`.
    #[serde(default)]
    pub partition: Option<String>,
    /// GPUs per run (`--gpus`), for example 1.
    #[serde(default)]
    pub gpus: Option<NonZeroUsize>,
    /// CPU cores per run (`--cpus-per-task`), for example 8.
    #[serde(default)]
    pub cpus: Option<NonZeroUsize>,
    /// Memory per run (`--mem`) in Slurm's notation, for example `32G`.
    #[serde(default)]
    pub memory: Option<String>,
    /// Time limit of a job (`--time`) in Slurm's notation, for example `12:00:00`. A run that takes longer is requeued and resumes from its checkpoint.
    #[serde(default)]
    pub time: Option<String>,
    /// Grace period in seconds, 1 to 65535 (default 120): this long before the time limit, a run writes a checkpoint and is requeued.
    #[serde(default = "default_grace")]
    pub grace_secs: Grace,
    /// Further `sbatch` options, for example `["--account=radiology"]`.
    #[serde(default)]
    pub extra: Vec<String>,
}

/// A number of seconds from 1 to 65535, the range that Slurm accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Grace(pub NonZeroU16);

impl Default for Grace {
    fn default() -> Self {
        default_grace()
    }
}

fn default_grace() -> Grace {
    Grace(NonZeroU16::new(120).expect("120 is not 0"))
}

/// A Slurm job array.
#[derive(Debug)]
pub(super) struct Slurm;

impl Launcher for Slurm {
    fn name(&self) -> &'static str {
        "slurm"
    }

    fn about(&self) -> &'static str {
        "A Slurm job array"
    }

    fn dry_run(&self, launch: &Launch) -> Result<DryRun, LaunchError> {
        let array = Array::new(launch)?;
        let all: Vec<usize> = (0..launch.points.len()).collect();
        let text = format!(
            "\n{}\n# followed by a job that writes the report, even if some runs fail:\n# {}\n",
            array.script(&all),
            array.report.join(" ")
        );
        Ok(DryRun { has_estimates: true, text })
    }

    fn launch(&self, launch: &Launch, console: &mut dyn Console) -> Result<LaunchOutcome, LaunchError> {
        launch.write()?;
        let array = Array::new(launch)?;
        let runs = run_state::read(&array.folder, &launch.definition.ids)?;
        let queued = array.queued()?;
        let is_unfinished = |run: &SweepRun| match run.run_state {
            RunState::Done => false,
            RunState::Pruned => launch.definition.prune.is_none(),
            RunState::Failed(_) => launch.retry_failed,
            RunState::Waiting | RunState::Interrupted { .. } | RunState::Running { .. } => true,
        };
        let unfinished = (0..runs.len()).filter(|index| is_unfinished(&runs[*index]));
        let (queued, new): (Vec<usize>, Vec<usize>) = unfinished.partition(|index| queued.contains(index));
        console.runs(&runs);
        if !queued.is_empty() {
            console.line(&format!("{} of these are in Slurm's queue already", queued.len()));
        }
        if new.is_empty() {
            return Ok(LaunchOutcome::NothingToSubmit { runs, queued: queued.len() });
        }
        let (count, submission) = (new.len(), array.submit(&new)?);
        console.line(&format!(
            "submitted {count} runs as job array {}, and job {} for the report",
            submission.array, submission.report
        ));
        Ok(LaunchOutcome::Submitted)
    }
}
