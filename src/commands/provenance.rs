//! What a run folder says about where its numbers come from.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use crate::terminal::{CliError, run_error};
use dataset::cache::hash_content;
use engine::experiment::plan::Plan;
use run_folder::event::{Event, Listener};
use run_folder::folder::{RunFolder, write_atomically};
use run_folder::manifest::{Build, Inputs, Manifest};
use volume::atomic_file::parent_folder;

/// The state of the git working tree that holds a file.
#[derive(Clone, Debug, Default)]
pub(super) struct GitState {
    commit: Option<String>,
    dirty: Option<bool>,
}

impl GitState {
    /// Asks git, where there is one.
    pub(super) fn around(file: &Path) -> Self {
        let folder = parent_folder(file);
        let git = |arguments: &[&str]| {
            let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let commit = git(&["rev-parse", "HEAD"]).filter(|commit| !commit.is_empty());
        let dirty = commit.as_ref().and_then(|_| git(&["status", "--porcelain", "--untracked-files=no"]));
        Self { commit, dirty: dirty.map(|changes| !changes.is_empty()) }
    }
}

/// Writes what a new run folder holds before any slow work.
pub(super) fn begin(folder: &RunFolder, plan: &Plan, experiment: &str, git: GitState) -> Result<Manifest, CliError> {
    let manifest = Manifest { git_dirty: git.dirty, ..manifest(plan, git.commit) };
    let write = || {
        write_atomically(&folder.experiment(), experiment.as_bytes())?;
        write_atomically(&folder.plan(), plan.to_yaml().as_bytes())?;
        folder.write_split(&plan.parts)?;
        // Last, so that a folder with a manifest has all the rest.
        manifest.write(folder)
    };
    write().map_err(run_error)?;
    Ok(manifest)
}

/// Writes that a run goes on, and adds what may change its bits to the plan's warnings. It stays the run that it was:
/// what it knows of its beginning remains.
pub(super) fn resume_manifest(folder: &RunFolder, plan: &mut Plan, before: Manifest) -> Result<Manifest, CliError> {
    super::training::refuse_other_split(folder.root(), plan)?;
    let begun = manifest(plan, before.git_commit.clone());
    plan.warnings.extend(changes_since(&before, &begun));
    // The plan that it began with, which may have been shorter.
    let plan_then = if before.plan.is_null() { begun.plan.clone() } else { before.plan };
    let kept = Manifest { start: before.start, git_dirty: before.git_dirty, inputs: before.inputs, ..begun };
    let manifest = Manifest { plan: plan_then, ..kept };
    let write = || {
        manifest.write(folder)?;
        write_atomically(&folder.plan(), plan.to_yaml().as_bytes())
    };
    write().map_err(run_error)?;
    Ok(manifest)
}

/// What this program was built with.
pub fn build() -> Build {
    let features = nn::devices::features().into_iter().map(str::to_owned).collect();
    Build { features, burn: nn::BURN_VERSION.to_owned() }
}

fn manifest(plan: &Plan, git_commit: Option<String>) -> Manifest {
    let begun = Manifest::begin(plan.device.to_string(), plan.experiment.seed, command(), git_commit, build());
    Manifest {
        data_fingerprint: Some(plan.fingerprint()),
        program_sha256: std::env::current_exe().ok().and_then(|program| hash_content(&program).ok()),
        workers: plan.experiment.queue.workers,
        split: plan.parts.clone(),
        plan: plan_tree(&plan.to_yaml()),
        ..begun
    }
}

/// What a plan.yaml says, as the manifest keeps it; nothing where it is garbled.
pub(super) fn plan_tree(text: &str) -> serde_json::Value {
    serde_yaml::from_str(text).unwrap_or_default()
}

/// The arguments of this process.
pub(super) fn command() -> Vec<String> {
    std::env::args().collect()
}

/// What is different from when a run began and may change its bits, in words.
fn changes_since(before: &Manifest, now: &Manifest) -> Vec<String> {
    let differ = [
        ("version of the program", &before.version, &now.version),
        ("version of burn", &before.burn, &now.burn),
        ("device", &before.device, &now.device),
    ];
    let mut changes: Vec<String> = differ
        .iter()
        .filter(|(_, before, now)| before != now)
        .map(|(what, before, now)| format!("the {what} is {now} and was {before} when the run began; bits may differ"))
        .collect();
    let is_other_program = before.program_sha256.is_some() && before.program_sha256 != now.program_sha256;
    if changes.is_empty() && is_other_program {
        changes.push("the program is another build than when the run began; bits may differ".to_owned());
    }
    changes
}

/// Writes the inputs of a run into its manifest as soon as they are known.
pub(super) struct InputsRecorder<'a> {
    folder: &'a RunFolder,
    manifest: Manifest,
    /// Where they are found afterwards.
    inputs: Arc<OnceLock<Inputs>>,
}

impl<'a> InputsRecorder<'a> {
    pub(super) fn new(folder: &'a RunFolder, manifest: Manifest, inputs: Arc<OnceLock<Inputs>>) -> Self {
        Self { folder, manifest, inputs }
    }
}

impl Listener for InputsRecorder<'_> {
    fn record(&mut self, event: &Event) -> io::Result<()> {
        let Event::Inputs(inputs) = event else { return Ok(()) };
        self.manifest.inputs = inputs.clone();
        self.manifest.write(self.folder).map_err(io::Error::other)?;
        self.inputs.get_or_init(|| inputs.clone());
        Ok(())
    }
}
