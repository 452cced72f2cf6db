//! Runs as trained models of nnU-Net.
//!
//! [`export()`] writes the folder of a trained model, which nnU-Net runs with its standard trainer and whose label maps
//! are those of the runs. It is the inverse of [`import()`](crate::import()), with the same tables of names and rules:
//! `parameters`, `axes`, `classes`, `normalization` and `preprocessing`.
//!
//! `network`, `preprocessing`, `prediction` and `dataset` translate parts of an experiment, or refuse them by name;
//! `plans` joins them; `checkpoint` writes the weights of a fold, with `history`; `names` says what nnU-Net calls the
//! model.

mod checkpoint;
mod dataset;
mod error;
mod history;
mod names;
mod network;
pub(crate) mod plans;
mod prediction;
mod preprocessing;
mod refusals;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::find::{CheckpointChoice, DATASET, PLANS};
use checkpoint::Checkpoint;
use dataset::Description;
use engine::prediction::Predictor;
use names::Names;
use nn::weights::pytorch_file::Saved;
use plans::Translation;
use run_folder::manifest::Manifest;

pub use error::ExportError;

/// How runs are exported.
#[derive(Clone, Debug)]
pub struct Export {
    /// The folder of the model, which is empty or does not exist.
    pub out: PathBuf,
    /// The ending of the image files that nnU-Net will read, such as `.nii.gz`.
    pub file_ending: String,
    /// If true, post-processing is left out instead of being a reason to refuse a run.
    pub without_postprocess: bool,
}

/// A model that was exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedModel {
    /// The files, dataset.json and plans.json first.
    pub files: Vec<PathBuf>,
    /// The names of the folds, such as `0`, in the order of the runs.
    pub folds: Vec<String>,
    /// What nnU-Net does differently without an effect on label maps, in sentences.
    pub notes: Vec<String>,
}

/// Exports runs of one setting as the folds of a model. The folder appears complete, or not at all.
///
/// # Errors
/// When a run has what nnU-Net lacks, the runs are not of one setting, there is something in the folder already, or it
/// cannot be written.
///
/// # Panics
/// When there is no run.
pub fn export(predictors: &[Predictor], export: &Export) -> Result<ExportedModel, ExportError> {
    check_distinct(predictors)?;
    let translations: Vec<Translation> = predictors
        .iter()
        .map(|predictor| Translation::new(predictor, export.without_postprocess))
        .collect::<Result<_, _>>()?;
    let first = &translations[0];
    let names = Names::new(&export.out, &predictors[0], first.axes.dimensions() == 2)?;
    let reader = first.reader(&export.file_ending);
    let plans = first.json(&names, reader);
    for (translation, predictor) in translations.iter().zip(predictors).skip(1) {
        let other = translation.json(&names, translation.reader(&export.file_ending));
        let what = difference(&plans, &other).or_else(|| {
            let differs = (&translation.labels, &translation.mirror) != (&first.labels, &first.mirror);
            differs.then(|| "labels, regions or mirrored axes".to_owned())
        });
        if let Some(what) = what {
            return Err(different(&predictors[0], predictor, &what));
        }
    }
    let description = Description {
        labels: &first.labels,
        schemes: &first.schemes,
        fingerprint: predictors[0].fingerprint.as_ref(),
        file_ending: &export.file_ending,
        reader: first.reorients.then_some(reader),
        subjects: num_subjects(&predictors[0]),
    };
    let model = Model { plans: plans.into(), dataset: description.json(), names, translation: first };
    let folds = model.write(predictors, &export.out)?;
    let model_files = [DATASET, PLANS].map(|file| export.out.join(file));
    let checkpoints = folds.iter().map(|(folder, _)| checkpoint_in(&export.out.join(folder)));
    Ok(ExportedModel {
        files: model_files.into_iter().chain(checkpoints).collect(),
        folds: folds.iter().map(|(_, fold)| fold.clone()).collect(),
        notes: first.notes.clone(),
    })
}

/// Checks that no run is given twice, for example as `latest`.
fn check_distinct(predictors: &[Predictor]) -> Result<(), ExportError> {
    let earlier = |index: usize| {
        let weights = &predictors[index].weights.sha256;
        predictors[..index].iter().find(|other| other.weights.sha256 == *weights)
    };
    match (0..predictors.len()).find_map(|index| Some((earlier(index)?, &predictors[index]))) {
        Some((first, again)) => Err(ExportError::problem(
            format!("{} and {} have the same weights", first.root.display(), again.root.display()),
            "give each run once",
        )),
        None => Ok(()),
    }
}

/// What all folds share.
struct Model<'a> {
    plans: Saved,
    dataset: Saved,
    names: Names,
    translation: &'a Translation,
}

impl Model<'_> {
    /// Writes the folder; returns the name of the folder of each fold, and the fold.
    fn write(&self, predictors: &[Predictor], out: &Path) -> Result<Vec<(String, String)>, ExportError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| ExportError::Write { path, source }
        };
        if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(ExportError::problem(
                format!("{} is not empty", out.display()),
                "name another folder with --out, or remove this one; an export never replaces a model",
            ));
        }
        let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(failed(parent))?;
        let temporary = tempfile::Builder::new().prefix(".export-").tempdir_in(parent).map_err(failed(parent))?;
        // Temporary folders can be read by their owner only, and what is in them by everybody who may.
        let folder = temporary.path().join("model");
        fs::create_dir(&folder).map_err(failed(&folder))?;
        for (file, json) in [(DATASET, &self.dataset), (PLANS, &self.plans)] {
            let path = folder.join(file);
            let text = serde_json::to_string_pretty(json).expect("plans and labels are plain data") + "\n";
            fs::write(&path, text).map_err(failed(&path))?;
        }
        let mut folds = Vec::new();
        for (predictor, fold) in predictors.iter().zip(names::folds(predictors)) {
            let fold_folder = folder.join(fold.folder());
            fs::create_dir(&fold_folder).map_err(failed(&fold_folder))?;
            let checkpoint = Checkpoint {
                predictor,
                fold: &fold,
                names: &self.names,
                axes: &self.translation.axes,
                mirror: &self.translation.mirror,
                plans: &self.plans,
                dataset: &self.dataset,
            };
            checkpoint.write(&checkpoint_in(&fold_folder))?;
            folds.push((fold.folder(), fold.to_string()));
        }
        // An empty folder cannot be replaced everywhere.
        if out.is_dir() {
            fs::remove_dir(out).map_err(failed(out))?;
        }
        fs::rename(&folder, out).map_err(failed(out))?;
        Ok(folds)
    }
}

fn checkpoint_in(fold: &Path) -> PathBuf {
    fold.join(CheckpointChoice::Final.file())
}

/// Returns the number of subjects of training and validation of a run; 0 if the run folder does not say.
fn num_subjects(predictor: &Predictor) -> usize {
    let split = Manifest::read(&predictor.root).map(|manifest| manifest.split).unwrap_or_default();
    split.train.len() + split.val.len()
}

/// Returns the dotted path and the values of the first difference between two documents.
fn difference(one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) if one.keys().eq(other.keys()) => {
            one.iter().find_map(|(key, value)| Some((key, difference(value, &other[key])?))).map(|(key, rest)| {
                let separator = if rest.starts_with(' ') { "" } else { "." };
                format!("{key}{separator}{rest}")
            })
        }
        (one, other) => (one != other).then(|| format!(" {one} and {other}")),
    }
}

/// Makes the problem of runs that differ.
fn different(first: &Predictor, other: &Predictor, what: &str) -> ExportError {
    let is_fitted = what.starts_with("foreground_intensity_properties_per_channel");
    let help = if is_fitted {
        "nnU-Net's folds share the statistics of CTNormalization: train with `foreground_normalize.statistics`, as \
         `runner plan` writes them, or export each run by itself"
    } else {
        "export runs of one setting together, or each run by itself"
    };
    let [first, other] = [first, other].map(|predictor| predictor.root.display());
    ExportError::problem(format!("{first} and {other} differ in {what}"), help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_difference_is_named_with_its_values() {
        let plans =
            |spacing: f64, mean: f64| json!({ "a": { "spacing": [1.0, spacing] }, "b": { "0": { "mean": mean } } });
        assert_eq!(difference(&plans(1.0, 2.0), &plans(1.0, 2.0)), None);
        assert_eq!(difference(&plans(1.0, 2.0), &plans(1.5, 3.0)).unwrap(), "a.spacing [1.0,1.0] and [1.0,1.5]");
        assert_eq!(difference(&plans(1.0, 2.0), &plans(1.0, 3.0)).unwrap(), "b.0.mean 2.0 and 3.0");
    }
}
