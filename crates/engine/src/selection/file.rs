//! `selection.yaml`: which runs predict together, and how.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::experiment::load::read_text;
use crate::experiment::problem::{Problem, Problems, SourceText};
use crate::experiment::tree::Node;
use crate::experiment::typed::read;
use crate::inference::postprocess::Postprocess;
use crate::prediction::{Ensemble, PredictError, Predictor, Weights};
use run_folder::folder::{RunError, write_atomically};

/// The format of the file that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;
/// The comment at the start of the file.
const HEADER: &str = "\
# Written by `runner select`; `runner predict --selection FILE IMAGES --out DIR` applies it.
# The probabilities of the runs of a setting are averaged as the runs declare (`inference.average`), then those of the
# settings by their weights. Folders of runs are relative to this file.
";

/// Which runs predict together, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// The format of the file.
    pub format: u32,
    /// The settings.
    pub settings: Vec<SelectedSetting>,
    /// The post-processing: it replaces that of the runs.
    pub postprocess: Vec<Postprocess>,
    /// What the selection is based on; `None` in a file that was written by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// The runs of a setting, which differ only in their fold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectedSetting {
    /// Its name.
    pub name: String,
    /// Its part of the mean over settings; all weights together are 1.
    pub weight: f64,
    /// Which weights of the runs: `best` or `last`.
    pub checkpoint: CheckpointName,
    /// The run folders.
    pub runs: Vec<PathBuf>,
    /// The SHA-256 of the weights of each run; empty in a file that was written by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights_sha256: Vec<String>,
}

/// Run folders, each with the SHA-256 of its weights.
pub type HashedRuns = Vec<(PathBuf, String)>;

/// Which weights of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointName {
    /// Those of the best epoch.
    Best,
    /// The latest.
    Last,
}

impl From<CheckpointName> for Weights {
    fn from(name: CheckpointName) -> Self {
        match name {
            CheckpointName::Best => Self::Best,
            CheckpointName::Last => Self::Last,
        }
    }
}

impl From<Weights> for CheckpointName {
    fn from(weights: Weights) -> Self {
        match weights {
            Weights::Best => Self::Best,
            Weights::Last => Self::Last,
        }
    }
}

/// What a selection is based on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The metric that decided.
    pub metric: String,
    /// The number of subjects, each predicted by a run that was not trained on it.
    pub subjects: usize,
    /// The mean over classes of every candidate, before post-processing: settings, then pairs of them.
    pub candidates: BTreeMap<String, Option<f64>>,
    /// That of the selected one before and after post-processing.
    pub selected: [Option<f64>; 2],
    /// The version of the program.
    pub version: String,
    /// When it was written, RFC 3339.
    pub time: String,
}

impl Selection {
    /// Creates a selection of settings, each with the same weight.
    pub fn new(
        settings: Vec<(String, CheckpointName, HashedRuns)>,
        postprocess: Vec<Postprocess>,
        evidence: Evidence,
    ) -> Self {
        let weight = 1.0 / settings.len() as f64;
        let setting = |(name, checkpoint, runs): (_, _, Vec<_>)| {
            let (runs, weights_sha256) = runs.into_iter().unzip();
            SelectedSetting { name, weight, checkpoint, runs, weights_sha256 }
        };
        let settings = settings.into_iter().map(setting).collect();
        Self { format: FORMAT, settings, postprocess, evidence: Some(evidence) }
    }

    /// Checks that the runs, which were opened in the order of the settings, have the weights that were selected.
    ///
    /// # Errors
    /// When a run has others; it is named.
    pub fn check_weights(&self, predictors: &[Predictor]) -> Result<(), PredictError> {
        let mut predictors = predictors.iter();
        for setting in &self.settings {
            for (index, predictor) in predictors.by_ref().take(setting.runs.len()).enumerate() {
                if setting.weights_sha256.get(index).is_some_and(|sha256| *sha256 != predictor.weights.sha256) {
                    return Err(PredictError::OtherWeights { path: predictor.weights.file.clone() });
                }
            }
        }
        Ok(())
    }

    /// Returns the ensemble of the runs, which were opened in the order of the settings.
    ///
    /// # Errors
    /// When two runs differ in what they predict; both are named.
    pub fn ensemble<'a>(&'a self, predictors: &'a [Predictor]) -> Result<Ensemble<'a>, PredictError> {
        let settings: Vec<(usize, f64)> =
            self.settings.iter().map(|setting| (setting.runs.len(), setting.weight)).collect();
        Ensemble::of_settings(predictors, &settings, &self.postprocess)
    }

    /// Writes the file; run folders are written relative to its folder where that is possible.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), RunError> {
        let folder = folder_of(path);
        let mut selection = self.clone();
        for run in selection.settings.iter_mut().flat_map(|setting| &mut setting.runs) {
            *run = relative(run, &folder);
        }
        let tree = serde_yaml::with::singleton_map_recursive::serialize(&selection, serde_yaml::value::Serializer)
            .expect("a selection has maps, lists, numbers and text only");
        let yaml = serde_yaml::to_string(&tree).expect("a tree of plain values can be written");
        write_atomically(path, format!("{HEADER}{yaml}").as_bytes())
    }

    /// Reads a file; returns it with the paths of its run folders from the working folder, and the SHA-256 of its text.
    ///
    /// # Errors
    /// Every problem of the file.
    pub fn read(path: &Path) -> Result<(Self, String), Problems> {
        let text = read_text(path, None)?;
        let node = Node::parse(&SourceText::new(path.display().to_string(), &text))?;
        let mut selection: Self = read(&node)?;
        let mut problems = Vec::new();
        let mut problem = |key: &str, message: String, help: &str| {
            let location = node.child(key).unwrap_or(&node).location();
            problems.push(Problem::at(Some(location), message).help(help.to_owned()));
        };
        if selection.format > FORMAT {
            let message = format!("format {} is newer than {FORMAT}", selection.format);
            problem("format", message, "update runner");
        }
        if selection.settings.iter().map(|setting| setting.runs.len()).min().unwrap_or(0) == 0 {
            let message = "expected at least one setting, each with at least one run".to_owned();
            problem("settings", message, "`runner select RUNS_DIR` writes such a file");
        }
        if selection.settings.iter().any(|setting| ![0, setting.runs.len()].contains(&setting.weights_sha256.len())) {
            let message = "expected a value of `weights_sha256` for each run, or none".to_owned();
            problem("settings", message, "leave `weights_sha256` out where you change the runs");
        }
        let weights: Vec<f64> = selection.settings.iter().map(|setting| setting.weight).collect();
        let sum: f64 = weights.iter().sum();
        if !weights.iter().all(|weight| *weight > 0.0) || (sum - 1.0).abs() > 1e-6 {
            let message = format!("expected positive weights that sum to 1, got {weights:?}");
            problem("settings", message, "a single setting has the weight 1");
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let folder = folder_of(path);
        for run in selection.settings.iter_mut().flat_map(|setting| &mut setting.runs) {
            *run = folder.join(&*run);
        }
        Ok((selection, hex::encode(Sha256::digest(&text))))
    }
}

/// Returns the folder of a file; `.` for a bare name.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Returns a folder's path relative to another folder that contains it, or else its absolute path.
fn relative(path: &Path, folder: &Path) -> PathBuf {
    let absolute = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let base = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    absolute.strip_prefix(&base).map(Path::to_owned).unwrap_or(absolute)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::postprocess::KeepLargestComponent;

    fn selection(root: &Path) -> Selection {
        let run = |name: &str| (root.join("runs").join(name), format!("hash of {name}"));
        let setting = |name: &str| (name.to_owned(), CheckpointName::Best, vec![run(name)]);
        let evidence = Evidence {
            metric: "dice".to_owned(),
            subjects: 3,
            candidates: [("a".to_owned(), Some(0.5)), ("b".to_owned(), None)].into(),
            selected: [Some(0.5), Some(0.6)],
            version: "0".to_owned(),
            time: "now".to_owned(),
        };
        let steps = vec![KeepLargestComponent::of_mask(vec![1, 2]).into()];
        Selection::new(vec![setting("a"), setting("b")], steps, evidence)
    }

    #[test]
    fn a_selection_is_read_as_it_was_written_with_paths_from_the_working_folder() {
        let root = tempfile::tempdir().unwrap();
        ["a", "b"].iter().for_each(|name| std::fs::create_dir_all(root.path().join("runs").join(name)).unwrap());
        let path = root.path().join("selection.yaml");
        let written = selection(root.path());
        written.write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("  runs:\n  - runs/a\n") && text.contains("- keep_largest:\n"), "{text}");
        let (read, hash) = Selection::read(&path).unwrap();
        assert_eq!((read, hash.len()), (written, 64));
    }

    #[test]
    fn a_file_that_was_written_by_hand_needs_no_evidence_and_no_hashes() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("selection.yaml");
        let setting = "{ name: a, weight: 1, checkpoint: best, runs: [a] }";
        std::fs::write(&path, format!("format: 1\nsettings: [{setting}]\npostprocess: []\n")).unwrap();
        let (read, _) = Selection::read(&path).unwrap();
        assert!(read.evidence.is_none() && read.settings[0].weights_sha256.is_empty());
    }

    fn problem(change: impl Fn(String) -> String) -> String {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("selection.yaml");
        selection(root.path()).write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, change(text)).unwrap();
        Selection::read(&path).unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_was_edited_wrongly_is_a_problem() {
        let weights = problem(|text| text.replacen("weight: 0.5", "weight: 0.7", 1));
        assert!(weights.contains("expected positive weights that sum to 1, got [0.7, 0.5]"), "{weights}");
        let newer = problem(|text| text.replace("format: 1", "format: 2"));
        assert!(newer.contains("format 2 is newer than 1"), "{newer}");
        let hashes = problem(|text| text.replacen("  weights_sha256:\n", "  weights_sha256:\n  - more\n", 1));
        assert!(hashes.contains("expected a value of `weights_sha256` for each run"), "{hashes}");
        let unknown = problem(|text| text.replace("postprocess:", "postprocessing:"));
        assert!(unknown.contains("postprocess"), "{unknown}");
    }
}
