//! Writes the run folders of a model: complete, or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::ImportError;
use engine::previous::runs::FOLDER;
use nn::weights::{NamedTensor, to_safetensors};
use run_folder::folder::{RunFolder, write_atomically};
use run_folder::manifest::Manifest;

/// A model that was imported.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportedModel {
    /// Each fold.
    pub folds: Vec<ImportedFold>,
    /// What the model is, in words.
    pub description: String,
    /// What predictions do not show, as sentences.
    pub notes: Vec<String>,
}

/// A fold that was imported.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedFold {
    /// The run folder.
    pub root: PathBuf,
    /// Whether the same fold had been imported before, so that nothing was written.
    pub existed: bool,
}

/// A fold before it is written.
pub(crate) struct Prepared {
    /// The name of the folder of the folds.
    pub name: String,
    /// The name of the run folder.
    pub folder: String,
    /// The name of its configuration, and that of the first stage of a cascade.
    pub configuration: String,
    pub previous_stage: Option<String>,
    pub experiment: String,
    pub plan: String,
    pub weights: Vec<NamedTensor>,
    pub manifest: Manifest,
    pub description: String,
    pub notes: Vec<String>,
}

/// The start of the name of the folder in which run folders are prepared.
const TEMPORARY_PREFIX: &str = ".import-";

/// Writes run folders beside their place, and moves them there when all are complete.
pub(crate) struct Writer<'a> {
    runs_dir: &'a Path,
    model: ImportedModel,
    /// The folder in which run folders are prepared, and where they belong.
    temporary: Option<TempDir>,
    new: Vec<(PathBuf, PathBuf)>,
}

impl<'a> Writer<'a> {
    pub fn new(runs_dir: &'a Path) -> Self {
        Self { runs_dir, model: ImportedModel::default(), temporary: None, new: Vec::new() }
    }

    /// Writes a fold, with the folds of the first stage if it is the second of a cascade, unless it is there already.
    ///
    /// # Errors
    /// When another run is in its place, or it cannot be written.
    pub fn add(&mut self, fold: Prepared, first_stage: &[Prepared]) -> Result<(), ImportError> {
        let root = self.runs_dir.join(&fold.name).join(&fold.folder);
        let existed = fs::symlink_metadata(&root).is_ok();
        let place = |root: &Path, first: &Prepared| root.join(FOLDER).join(&first.folder);
        let is_same = || fold.is_in(&root) && first_stage.iter().all(|first| first.is_in(&place(&root, first)));
        if existed && !is_same() {
            return Err(ImportError::problem(
                format!("{} exists already and is another run", root.display()),
                "give another name with --name, or remove the folder",
            ));
        }
        if !existed {
            let index = self.new.len().to_string();
            let temporary = self.temporary_folder()?.join(index);
            let of_first = first_stage.iter().map(|first| (place(&temporary, first), first));
            for (folder, prepared) in [(temporary.clone(), &fold)].into_iter().chain(of_first) {
                fs::create_dir_all(&folder).map_err(write_error(&folder))?;
                prepared.write(folder)?;
            }
            self.new.push((temporary, root.clone()));
        }
        self.model.folds.push(ImportedFold { root, existed });
        self.model.description = fold.description;
        for note in fold.notes {
            if !self.model.notes.contains(&note) {
                self.model.notes.push(note);
            }
        }
        Ok(())
    }

    /// Moves the new folds to their place.
    ///
    /// # Errors
    /// When they cannot be moved.
    pub fn finish(self) -> Result<ImportedModel, ImportError> {
        for (temporary, root) in &self.new {
            let parent = root.parent().unwrap_or(self.runs_dir);
            fs::create_dir_all(parent).map_err(write_error(parent))?;
            fs::rename(temporary, root).map_err(write_error(root))?;
        }
        Ok(self.model)
    }

    fn temporary_folder(&mut self) -> Result<&Path, ImportError> {
        if self.temporary.is_none() {
            fs::create_dir_all(self.runs_dir).map_err(write_error(self.runs_dir))?;
            let folder = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempdir_in(self.runs_dir);
            self.temporary = Some(folder.map_err(write_error(self.runs_dir))?);
        }
        Ok(self.temporary.as_ref().expect("it was just made").path())
    }
}

impl Prepared {
    /// Returns whether a run folder is this fold, imported before.
    fn is_in(&self, root: &Path) -> bool {
        let has_same_weights =
            match (Manifest::read(root).ok().and_then(|manifest| manifest.imported), &self.manifest.imported) {
                (Some(one), Some(other)) => one.sha256 == other.sha256,
                _ => false,
            };
        let has_same_plan = fs::read_to_string(root.join("plan.yaml")).is_ok_and(|plan| plan == self.plan);
        has_same_weights && has_same_plan && root.join("checkpoints/best.safetensors").is_file()
    }

    fn write(&self, root: PathBuf) -> Result<(), ImportError> {
        let folder = RunFolder::lock(root)?;
        write_atomically(&folder.experiment(), self.experiment.as_bytes())?;
        write_atomically(&folder.plan(), self.plan.as_bytes())?;
        write_atomically(&folder.best_weights(), &to_safetensors(&self.weights))?;
        self.manifest.write(&folder)?;
        Ok(())
    }
}

fn write_error(path: &Path) -> impl FnOnce(std::io::Error) -> ImportError {
    let path = path.to_owned();
    move |source| ImportError::Write { path, source }
}
