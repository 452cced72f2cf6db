//! One subject: from its files to the preprocessed volume, through the cache.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::fitted::FittedPreprocessing;
use super::keys::{Keys, MapKind};
use super::measured::MeasuredIntensities;
use super::stored::{get_or_compute, get_or_compute_both};
use super::{PreprocessError, input_files, weight_map};
use crate::experiment::plan::{Case, Plan};
use crate::fingerprint::Intensities;
use crate::previous::label_maps::PredictedLabels;
use dataset::cache::{Cache, FileHashes, Stored};
use dataset::queue::MakeError;
use dataset::samplers::{CumulativeRowSums, LabelRuns, WeightIndex, cumulative_row_sums};
use dataset::weight_maps::WeightUse;
use run_folder::manifest::InputFile;
use transforms::lazy::{self, BorderValueCache, View};
use transforms::{Incoming, TransformParams};
use volume::{Label, Volume, Voxels};

/// A subject after the preprocess chain.
#[derive(Debug)]
pub struct PreprocessedSubject {
    volume: Stored,
    maps: BTreeMap<MapKind, Stored>,
    /// The parameters of the preprocess chain on it.
    pub params: Vec<TransformParams>,
    label_runs: OnceLock<Arc<LabelRuns>>,
    cumulative_row_sums: OnceLock<CumulativeRowSums>,
    pub(crate) border_values: BorderValueCache,
}

impl PreprocessedSubject {
    fn new(volume: Stored, maps: BTreeMap<MapKind, Stored>, params: Vec<TransformParams>) -> Self {
        let (label_runs, cumulative_row_sums, border_values) =
            (OnceLock::new(), OnceLock::new(), BorderValueCache::default());
        Self { volume, maps, params, label_runs, cumulative_row_sums, border_values }
    }

    /// Returns its voxels.
    pub fn volume(&self) -> Volume {
        self.volume.volume()
    }

    fn map(&self, kind: MapKind) -> Option<Volume> {
        Some(self.maps.get(&kind)?.volume())
    }

    /// Returns the label map that the previous runs predict, `[x, y, z]`, if there are some.
    pub(crate) fn previous(&self) -> Option<Voxels<Label>> {
        self.map(MapKind::Previous)?.label
    }

    /// Returns the sampling weights; they are summed on the first call.
    pub(crate) fn sampling_weights(&self) -> Option<WeightIndex> {
        let weights = self.map(MapKind::Weights(WeightUse::Sampling))?.image;
        let sums = self.cumulative_row_sums.get_or_init(|| cumulative_row_sums(&weights)).clone();
        Some(WeightIndex::with_sums(weights, sums))
    }

    /// Returns the weights of its voxels in the loss, `[x, y, z]`, if they have some.
    pub(crate) fn loss_weights(&self) -> Option<Voxels<f32>> {
        Some(self.map(MapKind::Weights(WeightUse::Loss))?.image)
    }

    /// Returns the map `[x, y, z]` that is 0 in its background and 1 elsewhere, if a step of `patch_augment` masks it.
    pub(crate) fn background(&self) -> Option<Voxels<f32>> {
        Some(self.map(MapKind::Background)?.image)
    }

    /// Returns the runs of each label's voxels; they are computed on the first call.
    pub(crate) fn label_runs(&self, labels: &Voxels<Label>) -> &Arc<LabelRuns> {
        self.label_runs.get_or_init(|| Arc::new(LabelRuns::new(labels)))
    }
}

/// The result of preprocessing a subject.
pub(crate) struct Preprocessed {
    pub(crate) subject: PreprocessedSubject,
    /// Its files, identified by their content.
    pub(crate) files: Vec<InputFile>,
    /// The intensities of its image's channels as in its files; `None` if the volume was in the cache and the version that
    /// put it there did not measure them.
    pub(crate) intensities: Option<Vec<Intensities>>,
    /// Warnings about damaged cache entries, which are computed again.
    pub(crate) warnings: Vec<String>,
}

/// Preprocesses a subject, or reads it from the cache.
///
/// A volume whose files were not hashed before is probably not in the cache: it is read while they are hashed.
///
/// # Errors
/// When a file cannot be read or used, or the cache cannot be written; the subject is named.
pub(crate) fn preprocess(
    plan: &Plan,
    name: &str,
    hashes: &FileHashes,
    (preprocessing, previous): (&FittedPreprocessing, Option<&PredictedLabels>),
    cache: &Cache,
) -> Result<Preprocessed, PreprocessError> {
    let (case, masks_background) = (&plan.cases[name], plan.experiment.masks_background());
    let mut warnings = Vec::new();
    let mut preprocess = || -> Result<_, MakeError> {
        let (files, mut loaded) = match input_files::known(case, hashes) {
            Some(files) => (files, None),
            None => hash(case, hashes, preprocessing)?,
        };
        let keys = Keys::new(case, preprocessing, &files, previous.map(|previous| &previous.key), masks_background);
        keys.pin(cache);
        let params = params(case, &keys, preprocessing, plan.channels, cache, loaded.as_ref())?;
        let mut measured = MeasuredIntensities::read(case, &files, cache);
        if let Some(volume) = &loaded {
            measured.measure(volume, cache);
        }
        let mut source = || -> Result<_, MakeError> {
            let source = loaded.take().map_or_else(|| preprocessing.load(&case.subject), Ok)?;
            measured.measure(&source, cache);
            Ok(source)
        };
        let mut maps = BTreeMap::new();
        let volume = match keys.maps.get(&MapKind::Background) {
            None => {
                let compute = || Ok(View::new(source()?, &preprocessing.chain, &params)?.volume()?);
                get_or_compute(cache, &keys.volume, &mut warnings, compute)?
            }
            Some(background) => {
                let compute = || Ok(lazy::volume_and_background(source()?, &preprocessing.chain, &params)?);
                let (volume, map) = get_or_compute_both(cache, [&keys.volume, background], &mut warnings, compute)?;
                maps.insert(MapKind::Background, map);
                volume
            }
        };
        drop(loaded);
        for (kind, key) in &keys.maps {
            let map = match kind {
                // It was computed with the volume.
                MapKind::Background => continue,
                MapKind::Weights(purpose) => {
                    let compute = || weights(case, *purpose, preprocessing, &params);
                    get_or_compute(cache, key, &mut warnings, compute)?
                }
                MapKind::Previous => {
                    let labels = previous.expect("its key is made from it");
                    let compute = || labels.preprocessed(&case.grid, &preprocessing.chain, &params);
                    get_or_compute(cache, key, &mut warnings, compute)?
                }
            };
            maps.insert(*kind, map);
        }
        Ok((PreprocessedSubject::new(volume, maps, params), files, measured.intensities))
    };
    let (subject, files, intensities) = preprocess().map_err(PreprocessError::of_subject(&case.subject.name))?;
    Ok(Preprocessed { subject, files, intensities, warnings })
}

/// Reads the weights of a subject's voxels and resamples them to its preprocessed grid.
fn weights(
    case: &Case,
    purpose: WeightUse,
    preprocessing: &FittedPreprocessing,
    params: &[TransformParams],
) -> Result<Volume, MakeError> {
    let map = weight_map::load(&case.weight_maps[&purpose], &case.grid)?;
    let image = weight_map::resample(&map, &lazy::index_mapping(&preprocessing.chain, params, &case.grid));
    let grid = lazy::output_grid(&preprocessing.chain, params, &case.grid);
    Ok(Volume { grid, image, label: None })
}

/// Hashes a subject's files; if one is new, reads the volume meanwhile.
fn hash(
    case: &Case,
    hashes: &FileHashes,
    preprocessing: &FittedPreprocessing,
) -> Result<(Vec<InputFile>, Option<Volume>), MakeError> {
    let is_new = input_files::volume_paths(case).any(|path| hashes.known(path).is_none());
    let (files, volume) = std::thread::scope(|scope| {
        // In a thread of its own: a job of the pool would start other subjects while it waits.
        let hash = || input_files::hash_subject(case, hashes);
        let files = std::thread::Builder::new().spawn_scoped(scope, hash);
        let volume = is_new.then(|| preprocessing.load(&case.subject)).transpose();
        // If the system does not allow another thread, one after the other.
        (files.map_or_else(|_| hash(), |files| files.join().expect("hashing does not panic")), volume)
    });
    let volume = volume?;
    Ok((files?, volume))
}

/// Returns the parameters of the preprocess chain on a subject; those that depend on its voxels are cached.
fn params(
    case: &Case,
    keys: &Keys,
    preprocessing: &FittedPreprocessing,
    channels: usize,
    cache: &Cache,
    loaded: Option<&Volume>,
) -> Result<Vec<TransformParams>, MakeError> {
    if !preprocessing.resolves_from_volume() {
        return Ok(preprocessing.unresolved_params(&Incoming { grid: case.grid, channels }));
    }
    let path = cache.statistics(&hex::encode(keys.volume));
    // Unreadable parameters are computed again.
    let cached = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    if let Some(params) = cached {
        return Ok(params);
    }
    let volume = loaded.map_or_else(|| preprocessing.load(&case.subject), |volume| Ok(volume.clone()))?;
    let params = preprocessing.params(&volume)?;
    cache.write_statistics(&path, &params)?;
    Ok(params)
}
