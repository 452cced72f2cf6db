//! Out-of-fold predictions: the label maps and probabilities of each setting, read from the run folders or computed.

use std::path::{Path, PathBuf};

use super::SelectArgs;
use super::settings::Setting;
use crate::commands::check_moved_data;
use crate::commands::evaluate::run::plan;
use crate::commands::predict::{CaseSettings, PredictionFiles, Windows, is_done, predict_case, predict_error};
use crate::commands::training::{command, make_phantoms};
use crate::output_paths::make_folder;
use crate::terminal::bar::Bar;
use crate::terminal::{CliError, run_error};
use engine::experiment::plan::Plan;
use engine::prediction::{Ensemble, PredictError, Predictor, Provenance};
use run_folder::manifest::Manifest;
use volume::{Grid, Label, Volume, Voxels, io};

/// A run that is open for prediction.
pub(super) struct OpenRun {
    /// The index of the run in its setting.
    index: usize,
    /// The run with its weights.
    pub predictor: Predictor,
    /// Its plan, with the files of its subjects.
    pub plan: Plan,
    made_by: Provenance,
    /// The folder of its out-of-fold predictions.
    folder: PathBuf,
}

/// What a setting predicts for a subject.
pub(super) struct Predicted {
    /// The label map on the grid of the image.
    pub label_map: Voxels<Label>,
    /// The probability of each class, if they are needed.
    pub probabilities: Option<Voxels<f32>>,
}

impl OpenRun {
    /// Opens a run of a setting, whose data must still be at its place.
    pub fn open(setting: &Setting, index: usize, arguments: &SelectArgs) -> Result<Self, CliError> {
        let root = &setting.runs[index];
        let predictor = arguments.weights.open(root)?;
        let plan = plan(root, &arguments.moved, &arguments.cache, &arguments.weights)?;
        let manifest = Manifest::read(root).map_err(run_error)?;
        check_moved_data(&arguments.moved.set, &plan, &manifest, &plan.parts.val, &arguments.cache)?;
        let folder = root.join("predictions").join(arguments.weights.folder("val"));
        make_folder(&folder)?;
        let mut bar = Bar::new(engine::training::validate::columns(&plan), 1, 1, arguments.quiet);
        make_phantoms(&plan, &arguments.cache.path(), &mut bar)?;
        let made_by = Provenance::new(std::slice::from_ref(&predictor), command());
        Ok(Self { index, predictor, plan, made_by, folder })
    }

    /// Returns whether this is the run with that index in its setting.
    pub fn is(&self, index: usize) -> bool {
        self.index == index
    }

    /// Reads the files of a subject.
    pub fn load(&self, subject: &str) -> Result<Volume, CliError> {
        let image_error = |error: dataset::load::LoadError| predict_error(PredictError::Image(error.into()));
        self.plan.cases[subject].subject.load().map_err(image_error)
    }

    /// Returns whether the label map of a subject has been predicted with these weights.
    pub fn is_predicted(&self, subject: &str, arguments: &SelectArgs) -> Result<bool, CliError> {
        let files = PredictionFiles::new(&self.folder, subject, false);
        Ok(is_done(&self.plan.cases[subject].subject, &files, &self.settings(arguments, false)?))
    }

    /// Returns the file of the label map of a subject.
    pub fn label_map(&self, subject: &str) -> PathBuf {
        PredictionFiles::new(&self.folder, subject, false).label_map
    }

    /// Returns the prediction of a subject from its files: read from the run folder, or computed.
    pub fn predict(
        &self,
        subject: &str,
        volume: &Volume,
        needs_probabilities: bool,
        arguments: &SelectArgs,
        bar: &Windows,
    ) -> Result<Predicted, PredictOrCliError> {
        let files = PredictionFiles::new(&self.folder, subject, needs_probabilities && arguments.keep_probabilities);
        if self.is_predicted(subject, arguments)? {
            let stored = PredictionFiles::new(&self.folder, subject, true).probabilities;
            let label_map = read_label(&files.label_map)?;
            if !needs_probabilities {
                return Ok(Predicted { label_map, probabilities: None });
            }
            let stored = stored.filter(|path| path.exists()).and_then(|path| io::read_image(&path).ok());
            // Probabilities have no record of their own, and other weights may have written them.
            if let Some((_, probabilities)) = stored.filter(|(grid, stored)| self.gives(grid, stored, &label_map)) {
                return Ok(Predicted { label_map, probabilities: Some(probabilities) });
            }
        }
        let case = &self.plan.cases[subject].subject;
        let settings = self.settings(arguments, needs_probabilities)?;
        let predicted = predict_case(&settings, case, volume.clone(), &files, bar)?;
        Ok(Predicted { label_map: predicted.label_map, probabilities: predicted.probabilities })
    }

    /// Returns whether stored probabilities give a label map.
    fn gives(&self, grid: &Grid, probabilities: &Voxels<f32>, label_map: &Voxels<Label>) -> bool {
        let fits = probabilities.channels == self.predictor.targets.num_classes()
            && probabilities.shape == label_map.shape
            && grid.shape == label_map.shape;
        let ensemble = Ensemble::of_runs(std::slice::from_ref(&self.predictor));
        fits && ensemble.is_ok_and(|ensemble| ensemble.output(grid).label_map(probabilities)[..] == label_map[..])
    }

    fn settings(&self, arguments: &SelectArgs, keep_probabilities: bool) -> Result<CaseSettings<'_>, CliError> {
        let ensemble = Ensemble::of_runs(std::slice::from_ref(&self.predictor)).map_err(predict_error)?;
        let (made_by, resample) = (self.made_by.clone(), arguments.weights.resample);
        Ok(CaseSettings { ensemble, made_by, keep_probabilities, resample, of_own_data: true, selection: None })
    }
}

/// Reads a label map that this program wrote.
pub(super) fn read_label(path: &Path) -> Result<Voxels<Label>, CliError> {
    io::read_label(path).map(|(_, label)| label).map_err(|error| CliError::failure(&error))
}

/// Why a subject is not predicted.
pub(super) enum PredictOrCliError {
    /// The user stopped it.
    Stopped,
    /// Something is wrong.
    Error(CliError),
}

impl From<CliError> for PredictOrCliError {
    fn from(error: CliError) -> Self {
        Self::Error(error)
    }
}

impl From<PredictError> for PredictOrCliError {
    fn from(error: PredictError) -> Self {
        match error {
            PredictError::Stopped => Self::Stopped,
            error => Self::Error(predict_error(error)),
        }
    }
}
