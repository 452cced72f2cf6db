//! The label maps that previous runs predict for the subjects of a run: predicted once, and kept in the cache.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use super::runs::{PreviousRun, PreviousRuns};
use crate::experiment::plan::{Case, Plan};
use crate::prediction::{OpenPrevious, PredictError};
use crate::preprocessing::keys::{Keys, MapKind};
use crate::preprocessing::{FittedPreprocessing, PreprocessError, input_files};
use dataset::cache::{Cache, FileHashes, Key, KeyBuilder, Lookup, Stored};
use dataset::queue::MakeError;
use dataset::subject::Subject;
use run_folder::event::Event;
use run_folder::manifest::InputFile;
use transforms::lazy::LabelView;
use transforms::{Transform, TransformParams};
use volume::{Grid, Volume, Voxels};

/// The version of the prediction, part of the cache key.
const VERSION: &str = "previous 1";

/// The hashes of the weights of previous runs, by their names; those of earlier stages are named after the run that they are
/// input of, as in `fold_0/fold_1`.
pub(crate) type WeightsHashes = BTreeMap<String, InputFile>;

/// What the previous runs predict for a subject, on the grid of its image file.
#[derive(Debug)]
pub(crate) struct PredictedLabels {
    /// The key of the label map.
    pub(crate) key: Key,
    /// The label map, a volume without an image; `None` if the preprocessed one is in the cache.
    map: Option<Stored>,
}

impl PredictedLabels {
    /// Returns the label map after a preprocess chain, with the parameters of the subject's volume.
    ///
    /// # Errors
    /// When the preprocessed one was in the cache, and was removed or damaged meanwhile.
    pub(crate) fn preprocessed(
        &self,
        grid: &Grid,
        chain: &[Transform],
        params: &[TransformParams],
    ) -> Result<Volume, MakeError> {
        let map = self.map.as_ref().and_then(|map| map.volume().label);
        let map = map.ok_or("the prediction of the previous runs was removed from the cache; start again")?;
        let label = LabelView::new(map, *grid, chain, params).whole();
        let grid = Grid { shape: label.shape, ..transforms::lazy::output_grid(chain, params, grid) };
        Ok(Volume { grid, image: Voxels::new(0, grid.shape, Vec::new()), label: Some(label) })
    }
}

/// Hashes the weights of previous runs.
///
/// # Errors
/// When a file cannot be read.
fn hash_weights(previous: &PreviousRuns, hashes: &FileHashes) -> Result<WeightsHashes, PreprocessError> {
    let mut all = WeightsHashes::new();
    for run in &previous.runs {
        let file = input_files::hash_file(&run.weights(), hashes).map_err(PreprocessError::PreviousWeights)?;
        all.insert(run.name.clone(), file);
        if let Some(earlier) = &run.previous {
            let earlier = hash_weights(earlier, hashes)?;
            all.extend(earlier.into_iter().map(|(name, file)| (format!("{}/{name}", run.name), file)));
        }
    }
    Ok(all)
}

/// What the previous runs of a plan predict for its subjects.
#[derive(Debug, Default)]
pub(crate) struct Predictions {
    /// The hashes of the weights.
    pub(crate) weights: WeightsHashes,
    /// The label maps by subject; empty without previous runs.
    pub(crate) by_subject: BTreeMap<String, PredictedLabels>,
}

/// Predicts subjects with the previous runs of a plan, if it has some, unless the label maps are in the cache; returns `None`
/// when `stop` was set before the last one.
///
/// # Errors
/// When a file cannot be read, a run cannot predict a subject, or the cache cannot be written.
pub(crate) fn predict_subjects(
    plan: &Plan,
    (names, preprocessing): (&[&String], &FittedPreprocessing),
    (cache, hashes): (&Cache, &FileHashes),
    stop: &AtomicBool,
    emit: &mut (dyn FnMut(Event) + Send),
) -> Result<Option<Predictions>, PreprocessError> {
    let Some(previous) = &plan.previous else { return Ok(Some(Predictions::default())) };
    let weights = hash_weights(previous, hashes)?;
    let Some(files) = input_files::hash_subjects(plan, names, hashes, stop, emit)? else { return Ok(None) };
    hashes.save()?;
    let mut runs = Runs { previous, open: None, plan };
    let mut by_subject = BTreeMap::new();
    let mut report = |done| {
        emit(Event::Preparing { task: "predicting with the previous runs", done, total: names.len() });
    };
    for (done, name) in names.iter().enumerate() {
        report(done);
        let (case, files) = (&plan.cases[*name], &files[*name]);
        check_same_images(previous, case, files)?;
        let key = key(plan, (previous, &weights), case, files);
        let own = Keys::new(case, preprocessing, files, Some(&key), plan.experiment.masks_background());
        let own = own.maps.get(&MapKind::Previous);
        let is_preprocessed = own.is_some_and(|own| matches!(cache.get(own), Ok(Lookup::Found(_))));
        let map = match is_preprocessed {
            true => None,
            false => match cache.get(&key)? {
                Lookup::Found(volume) => Some(Stored::from(volume)),
                Lookup::Absent | Lookup::Damaged { .. } => match runs.predict(case, stop)? {
                    Some(volume) => Some(cache.put(&key, volume)?),
                    None => return Ok(None),
                },
            },
        };
        by_subject.insert((*name).clone(), PredictedLabels { key, map });
    }
    report(names.len());
    Ok(Some(Predictions { weights, by_subject }))
}

/// The previous runs, opened when the first subject is predicted.
struct Runs<'a> {
    previous: &'a PreviousRuns,
    open: Option<OpenPrevious>,
    plan: &'a Plan,
}

impl Runs<'_> {
    /// Predicts a subject; returns `None` when `stop` was set.
    fn predict(&mut self, case: &Case, stop: &AtomicBool) -> Result<Option<Volume>, PreprocessError> {
        let name = &case.subject.name;
        let of_subject = |source| PreprocessError::Previous { subject: name.clone(), source: Box::new(source) };
        let open = match self.open.take() {
            Some(open) => open,
            None => OpenPrevious::open(self.previous.clone(), self.plan.device)
                .map_err(|error| PreprocessError::PreviousRun(Box::new(error)))?,
        };
        let open = self.open.insert(open);
        // The true labels are not input of a prediction.
        let subject = Subject { label: None, ..case.subject.clone() };
        let volume = subject.load().map_err(|error| of_subject(PredictError::Image(error.into())))?;
        let grid = volume.grid;
        match open.label_map(volume, Some(name), stop, &mut |_, _| {}) {
            Ok(label) => Ok(Some(Volume { grid, image: Voxels::new(0, grid.shape, Vec::new()), label: Some(label) })),
            Err(PredictError::Stopped) => Ok(None),
            Err(error) => Err(of_subject(error)),
        }
    }
}

/// Returns the hash of everything that determines the prediction of a subject on one device: the images, and the weights and
/// settings of the runs that predict it.
fn key(plan: &Plan, (previous, weights): (&PreviousRuns, &WeightsHashes), case: &Case, files: &[InputFile]) -> Key {
    let begin = KeyBuilder::new().add_text(VERSION).add_text(&plan.device.to_string());
    let key = add_runs(begin, previous, ("", weights), &case.subject.name);
    files[..case.subject.images.len()].iter().fold(key, |key, file| key.add_file(&file.sha256)).build()
}

fn add_runs(
    mut key: KeyBuilder,
    previous: &PreviousRuns,
    (prefix, weights): (&str, &WeightsHashes),
    subject: &str,
) -> KeyBuilder {
    let members = previous.predicting(subject).unwrap_or(0..previous.runs.len());
    for run in &previous.runs[members] {
        let name = format!("{prefix}{}", run.name);
        key = key.add_text(&run.settings().to_string()).add_file(&weights[&name].sha256);
        if let Some(earlier) = &run.previous {
            key = add_runs(key, earlier, (&format!("{name}/"), weights), subject);
        }
    }
    key
}

/// Checks that a subject has the images that the previous runs recorded for the subject of the same name.
fn check_same_images(previous: &PreviousRuns, case: &Case, files: &[InputFile]) -> Result<(), PreprocessError> {
    let name = &case.subject.name;
    let images = &files[..case.subject.images.len()];
    let is_other = |run: &&PreviousRun| {
        run.inputs.subjects.get(name).is_some_and(|known| {
            images
                .iter()
                .enumerate()
                .any(|(index, file)| known.get(index).is_none_or(|known| known.sha256 != file.sha256))
        })
    };
    match previous.runs.iter().find(is_other) {
        Some(run) => Err(PreprocessError::OtherImages { subject: name.clone(), run: run.root.clone() }),
        None => Ok(()),
    }
}
