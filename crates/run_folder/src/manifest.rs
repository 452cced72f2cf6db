//! `manifest.json`: the description of a run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::folder::{RunError, RunFolder, write_atomically};
use super::machine::Machine;
use dataset::split::Parts;

/// The format of run folders that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// The status of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// A process trains it, or was killed.
    Running,
    /// Training is complete.
    Done,
    /// It ended with an error.
    Failed,
    /// It was stopped and can be resumed.
    Stopped,
    /// A sweep ended it early.
    Pruned,
}

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format version of the folder.
    pub format: u32,
    /// The status of the run.
    pub status: Status,
    /// The program's version.
    pub version: String,
    /// The backends that the program was built with.
    pub features: Vec<String>,
    /// The version of burn.
    pub burn: String,
    /// The git commit of the experiment's folder, if there is one.
    pub git_commit: Option<String>,
    /// Whether tracked files differed from that commit.
    #[serde(default)]
    pub git_dirty: Option<bool>,
    /// The SHA-256 of the program file.
    #[serde(default)]
    pub program_sha256: Option<String>,
    /// The arguments of the command.
    pub command: Vec<String>,
    /// The device of the network.
    pub device: String,
    /// The number of threads that compute.
    pub threads: usize,
    /// The number of workers that make patches.
    #[serde(default)]
    pub workers: usize,
    /// The machine.
    #[serde(default)]
    pub machine: Machine,
    /// The machine's name.
    pub host: String,
    /// The process id.
    pub process: u32,
    /// The experiment's seed.
    pub seed: u64,
    /// A hash over every input file's name and size.
    pub data_fingerprint: Option<String>,
    /// The subjects of each part.
    #[serde(default)]
    pub split: Parts,
    /// The resolved plan.
    #[serde(default)]
    pub plan: serde_json::Value,
    /// The input files by subject: images, then the label map, then a weight map. Empty until they are hashed.
    #[serde(default)]
    pub inputs: Inputs,
    /// When the run started, RFC 3339.
    pub start: String,
    /// When it ended, RFC 3339.
    pub end: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Why a sweep pruned it.
    #[serde(default)]
    pub pruned: Option<String>,
    /// The best epoch, counted from 1.
    pub best_epoch: Option<usize>,
    /// The value of the monitored column in that epoch.
    pub best_value: Option<f64>,
    /// What the run was imported from, if another program trained it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportedFrom>,
    /// Changes of `train.epochs` when the run was resumed, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub epochs_changed: Vec<EpochsChange>,
}

/// A change of the number of epochs, on which the learning rates of later steps may depend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochsChange {
    /// The number of steps that were done before.
    pub after_step: usize,
    /// The new number of epochs.
    pub epochs: usize,
}

/// The model of another program that a run was imported from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedFrom {
    /// The program, such as `nnU-Net`.
    pub program: String,
    /// The file of the weights.
    pub file: String,
    /// The SHA-256 of its content.
    pub sha256: String,
    /// The name of the dataset.
    pub dataset: String,
    /// The class that trained it.
    pub trainer: String,
    /// The name of the plans.
    pub plans: String,
    /// The configuration of the plans.
    pub configuration: String,
    /// The fold of the cross-validation, or `all`.
    pub fold: String,
}

/// How the program was built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// Cargo features.
    pub features: Vec<String>,
    /// The version of burn.
    pub burn: String,
}

/// The input files of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// The files of each subject.
    pub subjects: BTreeMap<String, Vec<InputFile>>,
    /// The weights that training started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_weights: Option<InputFile>,
    /// The weights of the runs whose predictions are input, by their names below `previous`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub previous: BTreeMap<String, InputFile>,
}

/// A file, identified by its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// Its path when it was read.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// The SHA-256 of its content.
    pub sha256: String,
}

impl Inputs {
    /// Returns the paths of the files whose content differs from that of others: by subject, then those of previous runs, then
    /// the initial weights.
    pub fn differences(&self, others: &Self) -> Vec<PathBuf> {
        let of_subject = |(name, files): (&String, &Vec<InputFile>)| {
            let others = others.subjects.get(name).map_or(&[][..], Vec::as_slice);
            let differs = |(index, file): (usize, &InputFile)| {
                others.get(index).is_none_or(|other| other.sha256 != file.sha256).then(|| file.path.clone())
            };
            files.iter().enumerate().filter_map(differs).collect::<Vec<_>>()
        };
        let subjects = self.subjects.iter().flat_map(of_subject);
        // The file of the initial weights may be missing later.
        let weights = self
            .initial_weights
            .iter()
            .filter(|file| others.initial_weights.as_ref().is_some_and(|other| other.sha256 != file.sha256));
        let previous = self
            .previous
            .iter()
            .filter(|(name, file)| others.previous.get(*name).is_none_or(|other| other.sha256 != file.sha256));
        let previous = previous.map(|(_, file)| file.path.clone());
        subjects.chain(previous).chain(weights.map(|file| file.path.clone())).collect()
    }
}

impl Manifest {
    /// Describes a run that starts now.
    pub fn begin(device: String, seed: u64, command: Vec<String>, git_commit: Option<String>, build: Build) -> Self {
        Self {
            format: FORMAT,
            status: Status::Running,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            features: build.features,
            burn: build.burn,
            git_commit,
            git_dirty: None,
            program_sha256: None,
            command,
            device,
            threads: rayon::current_num_threads(),
            workers: 0,
            machine: Machine::here(),
            host: host(),
            process: std::process::id(),
            seed,
            data_fingerprint: None,
            split: Parts::default(),
            plan: serde_json::Value::Null,
            inputs: Inputs::default(),
            start: now(),
            end: None,
            error: None,
            pruned: None,
            best_epoch: None,
            best_value: None,
            imported: None,
            epochs_changed: Vec::new(),
        }
    }

    /// Writes the manifest into a run folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &RunFolder) -> Result<(), RunError> {
        let text = serde_json::to_string_pretty(self).expect("a manifest is plain data") + "\n";
        write_atomically(&folder.manifest(), text.as_bytes())
    }

    /// Reads the manifest of a run folder.
    ///
    /// # Errors
    /// When it cannot be read, or a newer program wrote it.
    pub fn read(root: &std::path::Path) -> Result<Self, RunError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let path = root.join("manifest.json");
        let text = std::fs::read_to_string(&path).map_err(|source| RunError::Read { path: path.clone(), source })?;
        let invalid = |reason: String| RunError::Invalid { path: path.clone(), reason };
        let version: Version = serde_json::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        if version.format > FORMAT {
            let reason = format!("its format is {}, newer than {FORMAT}; update the program", version.format);
            return Err(invalid(reason));
        }
        serde_json::from_str(&text).map_err(|error| invalid(error.to_string()))
    }

    /// Sets status, error and time of the end of the run.
    pub fn end(&mut self, status: Status, error: Option<String>) {
        self.status = status;
        self.error = error;
        self.end = Some(now());
    }
}

/// Returns the time, RFC 3339 in UTC, to the second.
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Returns the machine's name.
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_survives_a_round_trip() {
        let runs = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(runs.path(), "name", "id").unwrap();
        let mut manifest = Manifest::begin("flex".into(), 42, vec!["run".into()], None, Build::default());
        manifest.end(Status::Done, None);
        manifest.write(&folder).unwrap();
        assert_eq!(Manifest::read(folder.root()).unwrap(), manifest);
    }

    #[test]
    fn a_file_differs_by_its_content_and_not_by_its_path() {
        let file = |path: &str, sha256: &str| InputFile { path: path.into(), bytes: 1, sha256: sha256.to_owned() };
        let inputs = |files: Vec<InputFile>| Inputs { subjects: [("a".to_owned(), files)].into(), ..Inputs::default() };
        let before = inputs(vec![file("old/image", "1"), file("old/label", "2")]);
        assert_eq!(
            before.differences(&inputs(vec![file("new/image", "1"), file("new/label", "2")])),
            [""; 0].map(PathBuf::from)
        );
        let label = [PathBuf::from("old/label")];
        assert_eq!(before.differences(&inputs(vec![file("image", "1"), file("label", "3")])), label);
        assert_eq!(before.differences(&inputs(vec![file("image", "1")])), label);
        assert_eq!(before.differences(&Inputs::default()).len(), 2);
    }

    #[test]
    fn the_weights_of_previous_runs_are_compared_by_their_names() {
        let file = |sha256: &str| InputFile { path: sha256.into(), bytes: 1, sha256: sha256.to_owned() };
        let inputs = |files: &[(&str, &str)]| Inputs {
            previous: files.iter().map(|(name, sha256)| ((*name).to_owned(), file(sha256))).collect(),
            ..Inputs::default()
        };
        let before = inputs(&[("a", "1"), ("b", "2")]);
        assert_eq!(before.differences(&before.clone()), [""; 0].map(PathBuf::from));
        assert_eq!(before.differences(&inputs(&[("a", "1"), ("b", "3")])), [PathBuf::from("2")]);
        assert_eq!(before.differences(&inputs(&[("b", "2")])), [PathBuf::from("1")]);
    }

    #[test]
    fn a_newer_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("manifest.json"), r#"{"format": 2, "status": "melted"}"#).unwrap();
        let error = Manifest::read(folder.path()).unwrap_err();
        assert!(error.to_string().contains("update the program"), "{error}");
    }
}
