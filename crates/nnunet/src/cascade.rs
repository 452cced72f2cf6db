//! The first stage of a cascade: where its model is, and its folds.

use std::path::Path;

use crate::ImportError;
use crate::find::{self, PLANS};
use crate::import::{Import, Model};
use crate::model_files::ModelFiles;
use crate::write::Prepared;

/// The second stage of a cascade.
pub(crate) struct SecondStage<'a> {
    /// The folder of the model, relative to the folder or archive that is imported.
    pub folder: &'a str,
    /// The name of its configuration, with which the folder's name ends.
    pub configuration: &'a str,
    /// The name of the configuration of the first stage.
    pub previous: &'a str,
}

impl SecondStage<'_> {
    /// Translates all folds of the first stage, whose mean predicts new images.
    ///
    /// # Errors
    /// When its model is not beside that of the second stage nor where `--previous` says, or cannot be imported.
    pub fn first_stage(&self, import: &Import) -> Result<Vec<Prepared>, ImportError> {
        let (mut files, folder) = self.locate(import)?;
        let folds = find::folds(&files, &folder, &[], import.checkpoint)?;
        let model = Model::open(&mut files, &folder)?;
        let mut stage = Vec::with_capacity(folds.len());
        for fold in &folds {
            let prepared = model.prepare_fold(import, &mut files, &folder, fold)?;
            self.check(&prepared, &files.describe(&folder))?;
            stage.push(prepared);
        }
        Ok(stage)
    }

    /// Checks that a fold is one of the first stage.
    fn check(&self, fold: &Prepared, described: &str) -> Result<(), ImportError> {
        if fold.configuration != self.previous {
            return Err(ImportError::problem(
                format!("{described} is a model of {}, expected {}", fold.configuration, self.previous),
                format!("name the folder of {} with --previous", self.previous),
            ));
        }
        if let Some(earlier) = &fold.previous_stage {
            return Err(ImportError::problem(
                format!("{described} is the second stage of a cascade itself, after {earlier}"),
                "only cascades of two stages can be imported",
            ));
        }
        Ok(())
    }

    /// Returns the files of the first stage and the folder of its model in them.
    fn locate(&self, import: &Import) -> Result<(ModelFiles, String), ImportError> {
        if let Some(path) = &import.previous {
            let files = ModelFiles::open(path)?;
            let folder = find::model(&files, None).or_else(|_| find::model(&files, Some(self.previous)))?;
            return Ok((files, folder));
        }
        // nnU-Net's name of a folder: trainer, plans and configuration.
        let sibling = |name: &str| Some(format!("{}{}", name.strip_suffix(self.configuration)?, self.previous));
        let files = ModelFiles::open(&import.path)?;
        if let Some(folder) = sibling(self.folder).filter(|folder| files.has(&find::path(folder, &[PLANS]))) {
            return Ok((files, folder));
        }
        let root = std::fs::canonicalize(&import.path).ok().filter(|path| self.folder.is_empty() && path.is_dir());
        let beside = root.as_deref().and_then(|root| {
            let name = sibling(root.file_name()?.to_str()?)?;
            Some(root.with_file_name(name))
        });
        match beside {
            Some(path) if path.join(PLANS).is_file() => Ok((ModelFiles::open(&path)?, String::new())),
            beside => Err(self.missing(beside.as_deref())),
        }
    }

    fn missing(&self, expected: Option<&Path>) -> ImportError {
        let place = expected.map(|path| format!(": {} has no {PLANS}", path.display())).unwrap_or_default();
        ImportError::problem(
            format!(
                "{} is the second stage of a cascade, and the model of its first stage, {}, is not beside it{place}",
                self.configuration, self.previous
            ),
            format!("name the folder or ZIP file of the model of {} with --previous", self.previous),
        )
    }
}
