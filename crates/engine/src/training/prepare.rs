//! From files to preprocessed volumes in the cache.

use std::collections::BTreeMap;
use std::path::Path;

use super::cases::Prepared;
use super::head::{Head, resolves_from_volume, text};
use super::{TrainError, inputs};
use crate::experiment::plan::{Case, Plan};
use dataset::cache::{self, Cache, FileHashes, Key, KeyBuilder, Lookup, Stored, hex};
use dataset::queue::MakeError;
use dataset::samplers::check_weights;
use dataset::subject::Subject;
use run_folder::manifest::InputFile;
use transforms::lazy::{self, IndexMapping, View};
use transforms::{Incoming, TransformParams};
use volume::nifti;
use volume::{GRID_TOLERANCE_MM, Grid, Volume, Voxels, offset};

/// Changes when the same chain gives other voxels, so that old entries of the cache are not used.
pub(super) const CHAIN_VERSION: &str = "5";

/// Why a label map is there: `check` refuses subjects without one in a part that trains or validates.
pub(super) const HAS_LABELS: &str = "subjects that train or validate have labels";

/// What a subject has in the cache.
pub(super) struct Keys {
    volume: Key,
    weights: Option<Key>,
}

impl Keys {
    /// The keys of a subject, from the content of its files.
    pub(super) fn of(case: &Case, head: &Head, files: &[InputFile]) -> Self {
        let begin =
            || KeyBuilder::new().add_text(CHAIN_VERSION).add_text(&text(&head.chain)).add_text(&text(&head.learned));
        let (volume_files, weight_files) = files.split_at(files.len() - usize::from(case.weights.is_some()));
        let volume = volume_files.iter().fold(begin(), |key, file| key.add_file(&file.sha256)).build();
        let of_weights = |file: &InputFile| {
            let mut key = begin().add_text("weights").add_text(&text(&case.grid)).add_file(&file.sha256);
            if head.resolves_from_volume() {
                // Where the map's voxels go is then decided by the image and its labels.
                key = key.add_text(&hex(&volume));
            }
            key.build()
        };
        Self { volume, weights: weight_files.first().map(of_weights) }
    }

    /// Has the cache keep what the run needs.
    pub(super) fn keep(&self, cache: &Cache) {
        [Some(self.volume), self.weights].iter().flatten().for_each(|key| cache.keep(key));
    }
}

/// Bytes of everything that a run has in the cache; a copy of a file elsewhere counts as another one.
pub(super) fn num_bytes(plan: &Plan) -> u64 {
    let resolves_from_volume = resolves_from_volume(&plan.experiment.preprocess_chain());
    // Subjects share the entries of the same files; that of a map of weights is of a grid too, or of a volume.
    let mut volumes: BTreeMap<Vec<&Path>, u64> = BTreeMap::new();
    let mut weights: BTreeMap<(&Path, String, Vec<&Path>), u64> = BTreeMap::new();
    for name in plan.parts.train.iter().chain(&plan.parts.val) {
        let case = &plan.cases[name];
        let bytes = |channels, labelled| cache::num_bytes(channels, case.outgoing.shape, labelled);
        let files: Vec<&Path> = inputs::volume_paths(case).collect();
        if let Some(map) = &case.weights {
            let of = if resolves_from_volume { files.clone() } else { Vec::new() };
            weights.insert((map, text(&case.grid), of), bytes(1, false));
        }
        volumes.insert(files, bytes(plan.channels, case.subject.label.is_some()));
    }
    volumes.values().chain(weights.values()).sum()
}

/// A subject whose volume is ready.
pub(super) struct Ready {
    pub(super) prepared: Prepared,
    /// Its files, by their content.
    pub(super) files: Vec<InputFile>,
    /// What was found damaged and is made anew.
    pub(super) notes: Vec<String>,
}

/// Takes a subject through the preprocess chain, or finds it in the cache.
///
/// A volume whose files were not hashed before is hardly in the cache: it is read while they are hashed.
///
/// # Errors
/// When a file cannot be read or used, or the cache cannot be written; the subject is named.
pub(super) fn prepare(
    case: &Case,
    hashes: &FileHashes,
    head: &Head,
    channels: usize,
    cache: &Cache,
) -> Result<Ready, TrainError> {
    let mut notes = Vec::new();
    let mut make = || -> Result<_, MakeError> {
        let (files, mut read) = match inputs::known(case, hashes) {
            Some(files) => (files, None),
            None => hash(case, hashes)?,
        };
        let keys = Keys::of(case, head, &files);
        keys.keep(cache);
        let draws = draws(case, &keys, head, channels, cache, read.as_ref())?;
        let volume = find_or_make(cache, &keys.volume, &mut notes, || {
            let source = read.take().map_or_else(|| load(&case.subject), Ok)?;
            Ok(View::new(source, &head.chain, &draws)?.volume()?)
        })?;
        drop(read);
        let weights = keys.weights.as_ref().zip(case.weights.as_deref()).map(|(key, path)| {
            find_or_make(cache, key, &mut notes, || {
                let map = load_weights(path, &case.grid)?;
                let image = carry(&map, &lazy::index_mapping(&head.chain, &draws, &case.grid));
                Ok(Volume { grid: case.outgoing, image, label: None })
            })
        });
        Ok((Prepared::new(volume, weights.transpose()?, draws), files))
    };
    let made = make().map_err(|source| TrainError::Subject { subject: case.subject.name.clone(), source });
    made.map(|(prepared, files)| Ready { prepared, files, notes })
}

/// A subject's files by their content; with its volume where that is new, which is read meanwhile.
fn hash(case: &Case, hashes: &FileHashes) -> Result<(Vec<InputFile>, Option<Volume>), MakeError> {
    let is_new = inputs::volume_paths(case).any(|path| hashes.known(path).is_none());
    let (files, volume) = std::thread::scope(|scope| {
        // Not a job of the pool, which would begin other subjects while it waits for it.
        let files = scope.spawn(|| inputs::of_subject(case, hashes));
        let volume = is_new.then(|| load(&case.subject)).transpose();
        (files.join().expect("hashing does not panic"), volume)
    });
    let volume = volume?;
    Ok((files?, volume))
}

/// The draws of the preprocess chain on a subject; those that its content decides are kept beside the cache.
fn draws(
    case: &Case,
    keys: &Keys,
    head: &Head,
    channels: usize,
    cache: &Cache,
    read: Option<&Volume>,
) -> Result<Vec<TransformParams>, MakeError> {
    if !head.resolves_from_volume() {
        return Ok(head.draws(&Incoming { grid: case.grid, channels }));
    }
    let path = cache.statistics(&hex(&keys.volume));
    // Garbled ones are found out again.
    let known = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    if let Some(draws) = known {
        return Ok(draws);
    }
    let volume = read.map_or_else(|| load(&case.subject), |volume| Ok(volume.clone()))?;
    let draws = head.resolved(&volume)?;
    cache.write_statistics(&path, &draws)?;
    Ok(draws)
}

/// The volume of a key, from the cache or made anew.
fn find_or_make(
    cache: &Cache,
    key: &Key,
    notes: &mut Vec<String>,
    make: impl FnOnce() -> Result<Volume, MakeError>,
) -> Result<Stored, MakeError> {
    match cache.get(key)? {
        Lookup::Found(volume) => return Ok(volume.into()),
        Lookup::Absent => {}
        Lookup::Damaged { path, reason } => notes.push(format!("{} is made anew: {reason}", path.display())),
    }
    Ok(cache.put(key, make()?)?)
}

/// Reads a map of weights, which must lie on the grid of its subject's image.
fn load_weights(path: &Path, grid: &Grid) -> Result<Voxels<f32>, MakeError> {
    let (other, map) = nifti::read_image(path)?;
    let wrong = |what: &str| format!("{}: {what}", path.display());
    if map.channels != 1 || !other.matches(grid, GRID_TOLERANCE_MM) {
        return Err(wrong("the map of weights does not lie on the grid of its image; resample it").into());
    }
    check_weights(&map).map_err(|reason| wrong(&reason))?;
    Ok(map)
}

/// Takes a map through a chain the way of the labels: each voxel has the weight of its source, 0 where it has none.
fn carry(map: &Voxels<f32>, origin: &IndexMapping) -> Voxels<f32> {
    let shape @ [_, size_y, size_z] = origin.shape;
    let mut values = vec![0.0; shape.iter().product()];
    for (row, values) in values.chunks_exact_mut(size_z).enumerate() {
        for (z, value) in values.iter_mut().enumerate() {
            let source = origin.source([row / size_y, row % size_y, z]);
            *value = source.map_or(0.0, |source| map[offset(map.shape, source)]);
        }
    }
    Voxels::new(1, shape, values)
}

/// Reads a subject's files.
///
/// # Errors
/// When one cannot be read, or they do not lie on one grid.
pub fn load(subject: &Subject) -> Result<Volume, MakeError> {
    let read_label = || subject.label.as_deref().map(nifti::read_label).transpose();
    let (image, label) = rayon::join(|| load_image(subject), read_label);
    let ((grid, image), label) = (image?, label?);
    if label.as_ref().is_some_and(|(other, _)| !other.matches(&grid, GRID_TOLERANCE_MM)) {
        return Err("its label map lies on another grid than its image; resample it to the image's".into());
    }
    Ok(Volume { grid, image, label: label.map(|(_, label)| label) })
}

/// Reads the images of a subject as the channels of one.
fn load_image(subject: &Subject) -> Result<(Grid, Voxels<f32>), MakeError> {
    let mut files = subject.images.iter().map(|path| nifti::read_image(path));
    let (grid, image) = files.next().ok_or("it has no image file")??;
    let mut values = None;
    for file in files {
        let (other, channels) = file?;
        if !other.matches(&grid, GRID_TOLERANCE_MM) {
            return Err("its image files lie on different grids; resample them to one".into());
        }
        values.get_or_insert_with(|| image.to_vec()).extend_from_slice(&channels);
    }
    Ok(match values {
        Some(values) => (grid, Voxels::new(values.len() / grid.num_voxels(), grid.shape, values)),
        None => (grid, image),
    })
}
