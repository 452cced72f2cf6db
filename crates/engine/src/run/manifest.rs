//! Writing `manifest.json`, `plan.yaml` and the other files that describe a run.

use std::path::{Path, PathBuf};

use super::git::GitState;
use super::moved_data::MovedDataError;
use crate::experiment::plan::Plan;
use crate::experiment::problem::Problems;
use crate::previous::copy::copy;
use crate::training::checkpoint::CheckpointError;
use dataset::cache::hash_content;
use dataset::split::Parts;
use run_folder::folder::{RunError, RunFolder, write_atomically};
use run_folder::manifest::{Build, ImportedFrom, Manifest};

/// A run that cannot be resumed or compared.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// The run folder cannot be read or written.
    #[error(transparent)]
    Folder(#[from] RunError),
    /// A key was to be changed that would make it another run.
    #[error("a resumed run cannot change `{key}`")]
    KeyCannotChange {
        /// The key.
        key: String,
    },
    /// More epochs have been trained than the run is to have.
    #[error("`train.epochs` is {epochs}, but {trained} epochs have been trained already")]
    TooFewEpochs {
        /// The number of epochs that was set.
        epochs: usize,
        /// The number of epochs that have been trained.
        trained: usize,
    },
    /// The plan is not valid on this machine or with its present data.
    #[error(transparent)]
    Plan(#[from] Problems),
    /// The data is not that of the run.
    #[error(transparent)]
    Data(#[from] MovedDataError),
    /// No checkpoint can be read, or one cannot be renamed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The subjects have changed since the run started.
    #[error("the subjects have changed since the run started: they differ from {}", split.display())]
    SplitChanged {
        /// The `split.json` of the run.
        split: PathBuf,
    },
    /// Another program trained the run, so that there is no state of its training.
    #[error("{} was imported from {program}, so its training cannot be continued or repeated", root.display())]
    Imported {
        /// The run folder.
        root: PathBuf,
        /// The program.
        program: String,
    },
}

/// Writes the files of a new run folder before any slow work starts; `experiment` is the text of the experiment file,
/// `command` are the arguments of the program. The previous runs of the plan become their copies in the folder.
///
/// # Errors
/// When a file cannot be written.
pub fn create(
    folder: &RunFolder,
    plan: &mut Plan,
    experiment: &str,
    git: GitState,
    command: Vec<String>,
) -> Result<Manifest, RunError> {
    let yaml = plan.to_yaml();
    let manifest = Manifest { git_dirty: git.dirty, ..describe(plan, &yaml, git.commit, command) };
    write_atomically(&folder.experiment(), experiment.as_bytes())?;
    write_atomically(&folder.plan(), yaml.as_bytes())?;
    folder.write_split(&plan.parts)?;
    plan.previous.as_ref().map_or(Ok(()), |previous| copy(previous, folder.root()))?;
    plan.use_previous_copies(folder.root());
    // Last, so that a folder with a manifest has all other files.
    manifest.write(folder)?;
    Ok(manifest)
}

/// Updates the files of a run folder for a resumed run, and warns in the plan of changes that may alter bits. What
/// the manifest records about the start of the run stays.
///
/// # Errors
/// When the subjects have changed, or a file cannot be written.
pub fn resume(
    folder: &RunFolder,
    plan: &mut Plan,
    before: Manifest,
    command: Vec<String>,
) -> Result<Manifest, ResumeError> {
    check_same_split(folder.root(), plan)?;
    let yaml = plan.to_yaml();
    let now = describe(plan, &yaml, before.git_commit.clone(), command);
    plan.warnings.extend(changes_since(&before, &now));
    // The plan that the run was started with, which may have had fewer epochs.
    let plan_at_start = if before.plan.is_null() { now.plan.clone() } else { before.plan };
    let manifest = Manifest {
        start: before.start,
        git_dirty: before.git_dirty,
        inputs: before.inputs,
        epochs_changed: before.epochs_changed,
        plan: plan_at_start,
        ..now
    };
    manifest.write(folder)?;
    write_atomically(&folder.plan(), yaml.as_bytes())?;
    Ok(manifest)
}

/// Checks that this program trained a run.
///
/// # Errors
/// When the run was imported.
pub fn check_trained_here(root: &Path, manifest: &Manifest) -> Result<(), ResumeError> {
    let imported = |from: &ImportedFrom| ResumeError::Imported { root: root.to_owned(), program: from.program.clone() };
    manifest.imported.as_ref().map_or(Ok(()), |from| Err(imported(from)))
}

/// Checks that the subjects of a plan are in the same parts as those of a run. Of a run that another program trained, these
/// may be unknown.
///
/// # Errors
/// When they are not, or `split.json` cannot be read.
pub fn check_same_split(root: &Path, plan: &Plan) -> Result<(), ResumeError> {
    let split = root.join("split.json");
    if !split.exists() && Manifest::read(root)?.imported.is_some() {
        return Ok(());
    }
    let text = std::fs::read_to_string(&split).map_err(|source| RunError::Read { path: split.clone(), source })?;
    if serde_json::from_str(&text).is_ok_and(|parts: Parts| parts == plan.parts) {
        return Ok(());
    }
    Err(ResumeError::SplitChanged { split })
}

/// Returns the backends and the version of burn that this program was built with.
pub fn build() -> Build {
    let features = nn::devices::features().into_iter().map(str::to_owned).collect();
    Build { features, burn: nn::BURN_VERSION.to_owned() }
}

/// Returns the content of a `plan.yaml` as the manifest stores it, or null if it is not valid.
pub fn plan_as_json(yaml: &str) -> serde_json::Value {
    serde_yaml::from_str(yaml).unwrap_or_default()
}

fn describe(plan: &Plan, yaml: &str, git_commit: Option<String>, command: Vec<String>) -> Manifest {
    let manifest = Manifest::begin(plan.device.to_string(), plan.experiment.seed, command, git_commit, build());
    Manifest {
        data_fingerprint: Some(plan.fingerprint()),
        program_sha256: std::env::current_exe().ok().and_then(|program| hash_content(&program).ok()),
        workers: plan.experiment.queue.workers,
        split: plan.parts.clone(),
        plan: plan_as_json(yaml),
        ..manifest
    }
}

/// Returns a warning for each difference from the start of a run that may alter bits.
fn changes_since(before: &Manifest, now: &Manifest) -> Vec<String> {
    let values = [
        ("version of the program", &before.version, &now.version),
        ("version of burn", &before.burn, &now.burn),
        ("device", &before.device, &now.device),
    ];
    let mut changes: Vec<String> = values
        .iter()
        .filter(|(_, before, now)| before != now)
        .map(|(name, before, now)| {
            format!("the {name} is {now} and was {before} when the run started; results may not be bit-identical")
        })
        .collect();
    let is_other_program = before.program_sha256.is_some() && before.program_sha256 != now.program_sha256;
    if changes.is_empty() && is_other_program {
        changes.push(
            "the program is another build than when the run started; results may not be bit-identical".to_owned(),
        );
    }
    changes
}
