//! The runs of the first stage, as their folders describe them, and which of them predicts a subject.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::PreviousError;
use crate::experiment::load;
use crate::experiment::plan::ClassLabel;
use crate::experiment::spec::Experiment;
use crate::experiment::targets::Targets;
use crate::prediction::different_settings;
use crate::preprocessing::FittedPreprocessing;
use crate::selection::folds::{FoldRun, FoldsError, out_of_fold};
use dataset::split::Parts;
use run_folder::folder::linked_folder;
use run_folder::manifest::{Inputs, Manifest, Status};
use volume::Label;

/// The folder of the copies of previous runs, in the folder of a run.
pub const FOLDER: &str = "previous";

/// A trained run whose predictions are input of another run.
#[derive(Clone, Debug)]
pub struct PreviousRun {
    /// Its name among the previous runs, which is that of its copy's folder.
    pub name: String,
    /// The run folder.
    pub root: PathBuf,
    /// Its status.
    pub status: Status,
    /// Its experiment with all defaults filled in.
    pub experiment: Experiment,
    /// What it predicts.
    pub targets: Targets,
    /// Its split; `None` if the folder does not have it.
    pub parts: Option<Parts>,
    /// The number of its image channels.
    pub channels: usize,
    /// The files of its subjects, as it recorded them.
    pub inputs: Inputs,
    /// The previous runs that it has itself.
    pub previous: Option<PreviousRuns>,
    /// Its preprocess chain with the statistics that it was fitted to.
    preprocessing: FittedPreprocessing,
}

/// The previous runs of a run, sorted by name.
#[derive(Clone, Debug)]
pub struct PreviousRuns {
    /// The runs; at least one.
    pub runs: Vec<PreviousRun>,
    /// The index of the run that predicts a subject out of fold.
    by_subject: BTreeMap<String, usize>,
}

impl PreviousRun {
    /// Returns the file of the weights that it predicts with.
    pub fn weights(&self) -> PathBuf {
        self.root.join("checkpoints/best.safetensors")
    }

    fn read(name: String, root: PathBuf) -> Result<Self, PreviousError> {
        let invalid = |file: &str, reason: String| PreviousError::Invalid { path: root.join(file), reason };
        let manifest = Manifest::read(&root).map_err(|error| invalid("manifest.json", error.to_string()))?;
        let document = load::load(&root.join("plan.yaml"), &[]);
        let experiment = document.map_err(|error| invalid("plan.yaml", error.to_string()))?.experiment;
        let targets = Targets::of_plan(&experiment.data).filter(|targets| !targets.labels.is_empty());
        let targets = targets.ok_or_else(|| invalid("plan.yaml", "it declares no labels".to_owned()))?;
        let split = root.join("split.json");
        let parts = match fs::read_to_string(&split) {
            Ok(text) => Some(serde_json::from_str(&text).map_err(|error| invalid("split.json", error.to_string()))?),
            Err(_) => None,
        };
        let preprocessing = FittedPreprocessing::read(&root, experiment.preprocess_chain())
            .map_err(|reason| invalid("preprocess.json", reason))?;
        let previous = match &experiment.data.previous {
            Some(_) => Some(PreviousRuns::of_run(&root)?),
            None => None,
        };
        let weights = root.join("checkpoints/best.safetensors");
        if !weights.exists() {
            return Err(PreviousError::NoWeights { path: weights });
        }
        let channels = experiment
            .model
            .num_channels_of(&weights)
            .map_err(|error| PreviousError::Invalid { path: weights, reason: error.to_string() })?;
        let masks = previous.as_ref().map_or(0, |previous: &PreviousRuns| previous.labels().len());
        Ok(Self {
            name,
            status: manifest.status,
            experiment,
            targets,
            parts,
            channels: channels.saturating_sub(masks),
            inputs: manifest.inputs,
            previous,
            preprocessing,
            root,
        })
    }

    /// Returns what its predictions can be averaged with.
    fn predicts(&self) -> (&Experiment, &Targets) {
        (&self.experiment, &self.targets)
    }

    /// Returns what determines its predictions besides its weights, the image and its own previous runs.
    pub(super) fn settings(&self) -> serde_json::Value {
        let Experiment { inference, postprocess, loss, data, .. } = &self.experiment;
        let activation = format!("{:?}", loss.component().output_activation());
        serde_json::json!({
            "chain": self.preprocessing.chain,
            "fitted": self.preprocessing.fitted,
            "orientation": data.orientation,
            "labels": data.labels,
            "regions": data.regions,
            "window": self.experiment.window(),
            "inference": inference,
            "postprocess": postprocess,
            "activation": activation,
        })
    }
}

impl PreviousRuns {
    /// Reads the runs of some folders: run folders, or folders of run folders.
    ///
    /// # Errors
    /// When there are none, one cannot predict, or their predictions cannot be averaged.
    pub fn read(folders: &[PathBuf]) -> Result<Self, PreviousError> {
        let mut roots: Vec<PathBuf> = Vec::new();
        for folder in folders {
            for root in run_folders(folder)? {
                if !roots.contains(&root) {
                    roots.push(root);
                }
            }
        }
        let mut named: BTreeMap<String, PathBuf> = BTreeMap::new();
        for root in roots {
            let name = root.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned());
            let numbered = (2..).map(|number| format!("{name}-{number}"));
            let free = std::iter::once(name.clone()).chain(numbered).find(|name| !named.contains_key(name));
            named.insert(free.unwrap_or(name), root);
        }
        let runs: Vec<PreviousRun> =
            named.into_iter().map(|(name, root)| PreviousRun::read(name, root)).collect::<Result<_, _>>()?;
        let first = runs.first().ok_or_else(|| PreviousError::NoRuns { path: PathBuf::new() })?;
        for other in &runs[1..] {
            if let Some(what) = different_settings(first.predicts(), other.predicts()) {
                return Err(PreviousError::Differ { first: first.root.clone(), other: other.root.clone(), what });
            }
        }
        let by_subject = folds(&runs).unwrap_or_default();
        Ok(Self { runs, by_subject })
    }

    /// Reads the copies in the folder of a run.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn of_run(root: &Path) -> Result<Self, PreviousError> {
        Self::read(&[root.join(FOLDER)])
    }

    /// Returns the labels that the runs predict, each of which is an input channel.
    pub fn labels(&self) -> Vec<Label> {
        ClassLabel::values(&self.runs[0].targets.labels)
    }

    /// Returns the runs that predict a subject of the run's own data: the one that validates it and was not trained on it, or
    /// all of them if none was trained on it; `None` if some were trained on it and none validates it.
    pub fn predicting(&self, subject: &str) -> Option<Range<usize>> {
        if let Some(index) = self.by_subject.get(subject) {
            return Some(*index..index + 1);
        }
        let is_trained_on =
            |run: &PreviousRun| run.parts.iter().any(|parts| parts.train.iter().any(|name| name == subject));
        (!self.runs.iter().any(is_trained_on)).then_some(0..self.runs.len())
    }

    /// Checks that each run has a split, and that no subject is validated twice.
    ///
    /// # Errors
    /// The runs without a split, or what is wrong with the splits of two.
    pub(crate) fn check_folds(&self) -> Result<(), FoldsProblem> {
        let unknown: Vec<PathBuf> =
            self.runs.iter().filter(|run| run.parts.is_none()).map(|run| run.root.clone()).collect();
        if !unknown.is_empty() {
            return Err(FoldsProblem::Unknown(unknown));
        }
        folds(&self.runs).map(drop).map_err(FoldsProblem::Folds)
    }

    /// Makes the runs those of the copies in the folder of a run.
    pub(crate) fn use_copies(&mut self, root: &Path) {
        for run in &mut self.runs {
            run.root = root.join(FOLDER).join(&run.name);
            let root = run.root.clone();
            run.previous.iter_mut().for_each(|previous| previous.use_copies(&root));
        }
    }
}

/// Why it is unclear which run predicts a subject.
pub(crate) enum FoldsProblem {
    /// Runs without a split.
    Unknown(Vec<PathBuf>),
    /// Splits that are not those of folds.
    Folds(FoldsError),
}

/// Returns the index of the run that predicts each subject out of fold.
fn folds(runs: &[PreviousRun]) -> Result<BTreeMap<String, usize>, FoldsError> {
    let known = runs.iter().enumerate().filter_map(|(index, run)| Some((index, run, run.parts.as_ref()?)));
    let known: Vec<_> = known.collect();
    let folds: Vec<FoldRun> = known.iter().map(|(_, run, parts)| FoldRun { name: &run.name, parts }).collect();
    Ok(out_of_fold(&folds)?.into_iter().map(|(name, fold)| (name, known[fold].0)).collect())
}

/// Returns a run folder, or the run folders in a folder; links such as `latest` are left out.
fn run_folders(folder: &Path) -> Result<BTreeSet<PathBuf>, PreviousError> {
    let folder = linked_folder(folder);
    let is_run = |folder: &Path| folder.join("manifest.json").exists();
    if is_run(&folder) {
        return Ok([folder].into());
    }
    let entries = fs::read_dir(&folder).map_err(|_| PreviousError::Missing { path: folder.clone() })?;
    let folders = entries.flatten().map(|entry| entry.path());
    let runs: BTreeSet<PathBuf> = folders.filter(|path| !path.is_symlink() && is_run(path)).collect();
    if runs.is_empty() { Err(PreviousError::NoRuns { path: folder }) } else { Ok(runs) }
}
