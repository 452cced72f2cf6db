//! One subject: from its files to the preprocessed volume, through the cache.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::fitted::{FittedPreprocessing, resolves_from_volume};
use super::measured::MeasuredIntensities;
use super::{CHAIN_VERSION, PreprocessError, input_files, key_text, weight_map};
use crate::experiment::plan::{Case, Plan};
use crate::fingerprint::Intensities;
use crate::previous::label_maps::PredictedLabels;
use dataset::cache::{self, Cache, FileHashes, Key, KeyBuilder, Lookup, Stored};
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
    /// The parameters of the preprocess chain on it.
    pub params: Vec<TransformParams>,
    /// The weights of its voxels, by what they are for.
    weights: BTreeMap<WeightUse, Stored>,
    /// The label map that the previous runs predict; it has no image.
    previous: Option<Stored>,
    /// The map that is 0 in its background, if a step masks it.
    background: Option<Stored>,
    label_runs: OnceLock<Arc<LabelRuns>>,
    cumulative_row_sums: OnceLock<CumulativeRowSums>,
    pub(crate) border_values: BorderValueCache,
}

impl PreprocessedSubject {
    fn new(
        (volume, background): (Stored, Option<Stored>),
        weights: BTreeMap<WeightUse, Stored>,
        previous: Option<Stored>,
        params: Vec<TransformParams>,
    ) -> Self {
        let (label_runs, cumulative_row_sums, border_values) =
            (OnceLock::new(), OnceLock::new(), BorderValueCache::default());
        Self { volume, weights, previous, background, params, label_runs, cumulative_row_sums, border_values }
    }

    /// Returns its voxels.
    pub fn volume(&self) -> Volume {
        self.volume.volume()
    }

    /// Returns the label map that the previous runs predict, `[x, y, z]`, if there are some.
    pub(crate) fn previous(&self) -> Option<Voxels<Label>> {
        self.previous.as_ref()?.volume().label
    }

    /// Returns the sampling weights; they are summed on the first call.
    pub(crate) fn sampling_weights(&self) -> Option<WeightIndex> {
        let weights = self.weights.get(&WeightUse::Sampling)?.volume().image;
        let sums = self.cumulative_row_sums.get_or_init(|| cumulative_row_sums(&weights)).clone();
        Some(WeightIndex::with_sums(weights, sums))
    }

    /// Returns the weights of its voxels in the loss, `[x, y, z]`, if they have some.
    pub(crate) fn loss_weights(&self) -> Option<Voxels<f32>> {
        Some(self.weights.get(&WeightUse::Loss)?.volume().image)
    }

    /// Returns the map `[x, y, z]` that is 0 in its background and 1 elsewhere, if a step of `patch_augment` masks it.
    pub(crate) fn background(&self) -> Option<Voxels<f32>> {
        Some(self.background.as_ref()?.volume().image)
    }

    /// Returns the runs of each label's voxels; they are computed on the first call.
    pub(crate) fn label_runs(&self, labels: &Voxels<Label>) -> &Arc<LabelRuns> {
        self.label_runs.get_or_init(|| Arc::new(LabelRuns::new(labels)))
    }
}

/// The cache keys of a subject.
pub(crate) struct Keys {
    volume: Key,
    weights: BTreeMap<WeightUse, Key>,
    /// That of the map of the background, if a step masks it.
    background: Option<Key>,
    /// The key of the label map of the previous runs.
    pub(crate) previous: Option<Key>,
}

impl Keys {
    /// Returns the keys of a subject, from the content of its files, and from the key of the label map that the previous runs
    /// predict on the grid of its image file.
    pub(crate) fn new(
        case: &Case,
        preprocessing: &FittedPreprocessing,
        files: &[InputFile],
        previous: Option<&Key>,
        masks_background: bool,
    ) -> Self {
        let begin = || {
            let chain = [key_text(&preprocessing.chain), key_text(&preprocessing.fitted)];
            chain.iter().fold(KeyBuilder::new().add_text(CHAIN_VERSION), |key, text| key.add_text(text))
        };
        let (volume_files, weight_files) = files.split_at(files.len() - case.weight_maps.len());
        // Where the background is marked, it competes with the labels when these are resampled.
        let of_volume = if masks_background { begin().add_text("marked background") } else { begin() };
        let volume = volume_files.iter().fold(of_volume, |key, file| key.add_file(&file.sha256)).build();
        let background =
            masks_background.then(|| begin().add_text("background").add_text(&hex::encode(volume)).build());
        let weight_key = |file: &InputFile| {
            let mut key = begin().add_text("weights").add_text(&key_text(&case.grid)).add_file(&file.sha256);
            if preprocessing.resolves_from_volume() {
                // How the map is resampled depends on the image and its labels.
                key = key.add_text(&hex::encode(volume));
            }
            key.build()
        };
        let weights = case.weight_maps.keys().copied().zip(weight_files.iter().map(weight_key)).collect();
        // How the map is resampled depends on the grid, and may depend on the image and its labels.
        let previous =
            previous.map(|map| begin().add_text("previous").add_text(&hex::encode([*map, volume].concat())).build());
        Self { volume, weights, previous, background }
    }

    /// Protects the subject's entries from eviction.
    pub(crate) fn pin(&self, cache: &Cache) {
        let keys =
            std::iter::once(&self.volume).chain(self.weights.values()).chain(&self.previous).chain(&self.background);
        keys.for_each(|key| cache.pin(key));
    }
}

/// Returns the bytes that a run needs in the cache; a copy of a file under another path counts separately.
pub(crate) fn num_bytes(plan: &Plan) -> u64 {
    let resolves_from_volume = resolves_from_volume(&plan.experiment.preprocess_chain());
    // Subjects with the same files share an entry; a weight map's also depends on a grid or a volume.
    let mut volumes: BTreeMap<Vec<&Path>, u64> = BTreeMap::new();
    let mut weights: BTreeMap<(&Path, String, Vec<&Path>), u64> = BTreeMap::new();
    for name in plan.parts.train.iter().chain(&plan.parts.val) {
        let case = &plan.cases[name];
        let bytes = |channels, labelled| cache::num_bytes(channels, case.outgoing.shape, labelled);
        let files: Vec<&Path> = input_files::volume_paths(case).collect();
        for map in case.weight_maps.values() {
            let volume_files = if resolves_from_volume { files.clone() } else { Vec::new() };
            weights.insert((map, key_text(&case.grid), volume_files), bytes(1, false));
        }
        let background = if plan.experiment.masks_background() { bytes(1, false) } else { 0 };
        let previous = if plan.previous.is_some() { bytes(0, true) } else { 0 };
        let volume = bytes(plan.channels, case.subject.label.is_some());
        volumes.insert(files, volume + previous + background);
    }
    // A label map of the previous runs is also stored as predicted until it is preprocessed.
    let predicted = plan.cases.values().map(|case| cache::num_bytes(0, case.grid.shape, true)).max();
    let predicted = predicted.filter(|_| plan.previous.is_some()).unwrap_or(0);
    volumes.values().chain(weights.values()).sum::<u64>() + predicted
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
        let volumes = match &keys.background {
            None => {
                let compute = || Ok(View::new(source()?, &preprocessing.chain, &params)?.volume()?);
                (get_or_compute(cache, &keys.volume, &mut warnings, compute)?, None)
            }
            Some(background) => {
                let compute = || Ok(lazy::volume_and_background(source()?, &preprocessing.chain, &params)?);
                let (volume, map) = get_or_compute_both(cache, [&keys.volume, background], &mut warnings, compute)?;
                (volume, Some(map))
            }
        };
        drop(loaded);
        let mut weights = BTreeMap::new();
        for (purpose, key) in &keys.weights {
            let stored = get_or_compute(cache, key, &mut warnings, || {
                let map = weight_map::load(&case.weight_maps[purpose], &case.grid)?;
                let image = weight_map::resample(&map, &lazy::index_mapping(&preprocessing.chain, &params, &case.grid));
                let grid = lazy::output_grid(&preprocessing.chain, &params, &case.grid);
                Ok(Volume { grid, image, label: None })
            })?;
            weights.insert(*purpose, stored);
        }
        let previous = keys.previous.zip(previous).map(|(key, predicted)| {
            get_or_compute(cache, &key, &mut warnings, || {
                predicted.preprocessed(&case.grid, &preprocessing.chain, &params)
            })
        });
        Ok((PreprocessedSubject::new(volumes, weights, previous.transpose()?, params), files, measured.intensities))
    };
    let (subject, files, intensities) = preprocess().map_err(PreprocessError::of_subject(&case.subject.name))?;
    Ok(Preprocessed { subject, files, intensities, warnings })
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

/// Reads the volume of a key from the cache, or computes and stores it.
fn get_or_compute(
    cache: &Cache,
    key: &Key,
    warnings: &mut Vec<String>,
    compute: impl FnOnce() -> Result<Volume, MakeError>,
) -> Result<Stored, MakeError> {
    match look_up(cache, key, warnings)? {
        Some(stored) => Ok(stored),
        None => Ok(cache.put(key, compute()?)?),
    }
}

/// Reads a volume and the map of its background from the cache, or computes and stores both.
fn get_or_compute_both(
    cache: &Cache,
    [volume_key, map_key]: [&Key; 2],
    warnings: &mut Vec<String>,
    compute: impl FnOnce() -> Result<(Volume, Voxels<f32>), MakeError>,
) -> Result<(Stored, Stored), MakeError> {
    let stored = (look_up(cache, volume_key, warnings)?, look_up(cache, map_key, warnings)?);
    if let (Some(volume), Some(map)) = stored {
        return Ok((volume, map));
    }
    let (volume, map) = compute()?;
    let map = Volume { grid: volume.grid, image: map, label: None };
    Ok((cache.put(volume_key, volume)?, cache.put(map_key, map)?))
}

/// Reads the volume of a key from the cache; a damaged entry is a warning.
fn look_up(cache: &Cache, key: &Key, warnings: &mut Vec<String>) -> Result<Option<Stored>, MakeError> {
    match cache.get(key)? {
        Lookup::Found(volume) => return Ok(Some(volume.into())),
        Lookup::Absent => {}
        Lookup::Damaged { path, reason } => warnings.push(format!("{} is computed again: {reason}", path.display())),
    }
    Ok(None)
}
