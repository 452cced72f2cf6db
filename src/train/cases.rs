//! Subjects as training sees them: preprocessed once, cached, and cut into patches.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

use rayon::prelude::*;

use super::TrainError;
use crate::data::cache::{self, Cache, FileHashes, Key, KeyBuilder, Lookup};
use crate::data::nifti;
use crate::data::patch::Patch;
use crate::data::subject::Subject;
use crate::data::volume::{Grid, Label, Volume, Voxels, offset};
use crate::pipeline::{self, Origin, View};
use crate::queue::{MakeError, Request};
use crate::run::event::Event;
use crate::sampling::{Field, LabelIndex, Sampler, Turn, WeightIndex};
use crate::seed::{Purpose, Seed};
use crate::spec::plan::{Case, Plan};
use crate::transforms::Transform;

/// Changes when the same chain gives other voxels, so that old entries of the cache are not used.
const CHAIN_VERSION: &str = "2";

/// The preprocessed volumes of a run.
#[derive(Debug)]
pub struct Cases {
    seed: Seed,
    sampler: Sampler,
    augment: Vec<Transform>,
    samples_per_volume: usize,
    batch_size: usize,
    by_name: BTreeMap<String, Prepared>,
}

/// A subject after the preprocess chain.
#[derive(Debug)]
pub struct Prepared {
    /// Its voxels, mapped from the cache.
    pub volume: Volume,
    /// Where its patches have their centres, mapped from the cache; a sampler may ask for such a map.
    weights: Option<Voxels<f32>>,
    index: OnceLock<LabelIndex>,
    weight_index: OnceLock<WeightIndex>,
    minima: OnceLock<Vec<f32>>,
}

/// Which patches are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Augmented, and other ones in each epoch.
    Train {
        /// The epoch, counted from 1.
        epoch: usize,
    },
    /// Not augmented, and the same ones each time.
    Val,
}

impl Cases {
    /// Takes every training and validation subject through the preprocess chain, or finds it in the cache.
    ///
    /// Returns `None` when it was told to stop before the last one.
    ///
    /// # Errors
    /// When a file cannot be read or the cache cannot be written; the subject is named. When the volumes do not
    /// fit into the cache together.
    pub fn prepare(
        plan: &Plan,
        cache: &Cache,
        stop: &AtomicBool,
        tell: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Option<Self>, TrainError> {
        let names: Vec<&String> = plan.parts.train.iter().chain(&plan.parts.val).collect();
        let chain = plan.experiment.preprocess_chain();
        let total = names.len();
        let keys = keys(plan, &chain, &names, cache, stop, tell)?;
        if keys.len() < total {
            return Ok(None);
        }
        let cache = &cache.keeping(&sizes(plan, &keys)).map_err(TrainError::Cache)?;
        let progress = Mutex::new((0, tell));
        let by_name = names
            .par_iter()
            .take_any_while(|_| !stop.load(Ordering::Relaxed))
            .map(|name| {
                let (prepared, notes) = prepared(&plan.cases[*name], &keys[*name], &chain, plan.channels, cache)?;
                let mut progress = progress.lock().expect("telling of progress does not panic");
                progress.0 += 1;
                let done = progress.0;
                (progress.1)(Event::Preparing { task: "preprocessing", done, total });
                notes.into_iter().for_each(|note| (progress.1)(Event::Warning(note)));
                Ok(((*name).clone(), prepared))
            })
            .collect::<Result<BTreeMap<_, _>, TrainError>>()?;
        Ok((by_name.len() == total).then(|| Self {
            seed: Seed(plan.experiment.seed),
            sampler: plan.experiment.sampler.clone(),
            augment: plan.experiment.augment.clone(),
            samples_per_volume: plan.experiment.queue.samples_per_volume.get(),
            batch_size: plan.experiment.train.batch_size.get(),
            by_name,
        }))
    }

    /// A subject that [`Cases::prepare`] has seen.
    pub fn get(&self, name: &str) -> &Prepared {
        self.by_name.get(name).expect("every subject of a plan's parts is prepared")
    }

    /// Cuts a patch: a pure function of the seed, the part, the subject's name, the patch's index and its place in its batch.
    ///
    /// # Errors
    /// When a transform cannot be applied or no patch fits.
    pub fn patch(&self, part: Part, name: &str, request: Request) -> Result<Patch, MakeError> {
        let index = request.index;
        let prepared = self.get(name);
        let channels = prepared.volume.image.channels;
        let (purpose, epoch, augment): (_, _, &[Transform]) = match part {
            Part::Train { epoch } => (Purpose::Sample, epoch as u64, &self.augment),
            Part::Val => (Purpose::Validate, 0, &[]),
        };
        let chance = |purpose| self.seed.stream(purpose, epoch, name, index as u64);
        let draws = pipeline::draw(augment, channels, &mut chance(Purpose::Augment));
        let view = View::new(prepared.volume.clone(), augment, &draws).with_minima(prepared.minima());
        let field = Field { origin: view.origin(), index: prepared.index(), weights: prepared.weights() };
        let start = self.sampler.start(&field, &self.turn(part, request), &mut chance(purpose))?;
        let shape = self.sampler.patch();
        let window = view.window(start, shape)?;
        Ok(Patch {
            subject: name.to_owned(),
            index,
            start,
            shape,
            channels,
            image: window.image.into_owned(),
            label: window.label.expect(HAS_LABELS),
            draws: serde_json::to_value(&draws).expect("draws are plain numbers"),
        })
    }

    /// Which of the run's patches a request means.
    fn turn(&self, part: Part, request: Request) -> Turn {
        let epochs_before = match part {
            Part::Train { epoch } => epoch - 1,
            Part::Val => 0,
        };
        Turn {
            number: (epochs_before * self.samples_per_volume + request.index) as u64,
            place_in_batch: request.place_in_batch,
            batch_size: self.batch_size,
        }
    }
}

/// Why a label map is there: `check` refuses subjects without one in a part that trains or validates.
const HAS_LABELS: &str = "subjects that train or validate have labels";

impl Prepared {
    fn new(volume: Volume, weights: Option<Voxels<f32>>) -> Self {
        let (index, weight_index, minima) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { volume, weights, index, weight_index, minima }
    }

    /// The smallest intensity of each channel; looked for once.
    fn minima(&self) -> &[f32] {
        let image = &self.volume.image;
        self.minima.get_or_init(|| pipeline::minima(image, image.channels))
    }

    /// The map of weights, ready to draw from; summed when it is first asked for.
    fn weights(&self) -> Option<&WeightIndex> {
        let weights = self.weights.as_ref()?;
        Some(self.weight_index.get_or_init(|| WeightIndex::new(weights.clone())))
    }

    /// Where each label's voxels are; made when it is first asked for.
    fn index(&self) -> &LabelIndex {
        self.index.get_or_init(|| LabelIndex::new(self.volume.label.clone().expect(HAS_LABELS)))
    }
}

/// What a subject has in the cache.
struct Keys {
    volume: Key,
    weights: Option<Key>,
}

/// The keys of all subjects, from the content of their files; fewer when it was told to stop.
///
/// # Errors
/// When a file cannot be read, or the table of hashes cannot be written; the subject is named.
fn keys(
    plan: &Plan,
    chain: &[Transform],
    names: &[&String],
    cache: &Cache,
    stop: &AtomicBool,
    tell: &mut (dyn FnMut(Event) + Send),
) -> Result<BTreeMap<String, Keys>, TrainError> {
    let hashes = FileHashes::load(&cache.root);
    let progress = Mutex::new((0, tell));
    let keys = names
        .par_iter()
        .take_any_while(|_| !stop.load(Ordering::Relaxed))
        .map(|name| {
            let keys = keys_of(&plan.cases[*name], chain, &hashes)
                .map_err(|source| TrainError::Subject { subject: (*name).clone(), source })?;
            let mut progress = progress.lock().expect("telling of progress does not panic");
            progress.0 += 1;
            let done = progress.0;
            (progress.1)(Event::Preparing { task: "hashing files", done, total: names.len() });
            Ok(((*name).clone(), keys))
        })
        .collect::<Result<BTreeMap<_, _>, TrainError>>()?;
    hashes.save().map_err(TrainError::Cache)?;
    Ok(keys)
}

fn keys_of(case: &Case, chain: &[Transform], hashes: &FileHashes) -> Result<Keys, MakeError> {
    let chain_text = serde_json::to_string(chain).expect("a chain is plain data");
    let mut volume = KeyBuilder::new().add_text(CHAIN_VERSION).add_text(&chain_text);
    for path in case.subject.images.iter().chain(&case.subject.label) {
        volume = volume.add_file(path, hashes)?;
    }
    let weights = case.weights.as_deref().map(|path| {
        let grid = serde_json::to_string(&case.grid).expect("a grid is plain data");
        let key = KeyBuilder::new().add_text("weights").add_text(CHAIN_VERSION).add_text(&chain_text).add_text(&grid);
        key.add_file(path, hashes).map(KeyBuilder::build)
    });
    Ok(Keys { volume: volume.build(), weights: weights.transpose()? })
}

/// Bytes of everything that a run has in the cache.
fn sizes(plan: &Plan, keys: &BTreeMap<String, Keys>) -> BTreeMap<Key, u64> {
    let of_subject = |(name, keys): (&String, &Keys)| {
        let case = &plan.cases[name];
        let bytes = |channels, labelled| cache::num_bytes(channels, case.outgoing.shape, labelled);
        let weights = keys.weights.map(|key| (key, bytes(1, false)));
        [(keys.volume, bytes(plan.channels, case.subject.label.is_some()))].into_iter().chain(weights)
    };
    keys.iter().flat_map(of_subject).collect()
}

/// Takes a subject through the preprocess chain, or finds it in the cache; with notes where entries were damaged.
///
/// # Errors
/// When a file cannot be read or used, or the cache cannot be written; the subject is named.
fn prepared(
    case: &Case,
    keys: &Keys,
    chain: &[Transform],
    channels: usize,
    cache: &Cache,
) -> Result<(Prepared, Vec<String>), TrainError> {
    let mut notes = Vec::new();
    let mut make = || -> Result<_, MakeError> {
        let draws = pipeline::fixed(chain, channels);
        let volume = find_or_make(cache, &keys.volume, &mut notes, || {
            Ok(View::new(load(&case.subject)?, chain, &draws).volume()?)
        })?;
        let weights = keys.weights.as_ref().zip(case.weights.as_deref()).map(|(key, path)| {
            find_or_make(cache, key, &mut notes, || {
                let map = load_weights(path, &case.grid)?;
                let image = carry(&map, &pipeline::origin(chain, &draws, &case.grid));
                Ok(Volume { grid: case.outgoing, image, label: None })
            })
        });
        Ok(Prepared::new(volume, weights.transpose()?.map(|weights| weights.image)))
    };
    let prepared = make().map_err(|source| TrainError::Subject { subject: case.subject.name.clone(), source })?;
    Ok((prepared, notes))
}

/// The volume of a key, from the cache or made anew.
fn find_or_make(
    cache: &Cache,
    key: &Key,
    notes: &mut Vec<String>,
    make: impl FnOnce() -> Result<Volume, MakeError>,
) -> Result<Volume, MakeError> {
    match cache.get(key)? {
        Lookup::Found(volume) => return Ok(volume),
        Lookup::Absent => {}
        Lookup::Damaged { path, reason } => notes.push(format!("{} is made anew: {reason}", path.display())),
    }
    Ok(cache.put(key, &make()?)?)
}

/// Reads a map of weights, which must lie on the grid of its subject's image.
fn load_weights(path: &Path, grid: &Grid) -> Result<Voxels<f32>, MakeError> {
    let (other, map) = nifti::read_image(path)?;
    let wrong = |what: &str| format!("{}: {what}", path.display());
    if map.channels != 1 || !other.matches(grid, GRID_TOLERANCE_MM) {
        return Err(wrong("the map of weights does not lie on the grid of its image; resample it").into());
    }
    if let Some(place) = map.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        let [_, size_y, size_z] = map.shape;
        let voxel = [place / (size_y * size_z), place / size_z % size_y, place % size_z];
        let text = format!("voxel {voxel:?} has the weight {}, expected a finite number of at least 0", map[place]);
        return Err(wrong(&text).into());
    }
    if map.iter().all(|weight| *weight == 0.0) {
        return Err(wrong("every weight is 0, so no patch can be drawn").into());
    }
    Ok(map)
}

/// Takes a map through a chain the way of the labels: each voxel has the weight of its source, 0 where it has none.
fn carry(map: &Voxels<f32>, origin: &Origin) -> Voxels<f32> {
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
    let mut files = subject.images.iter().map(|path| nifti::read_image(path));
    let (grid, mut image) = files.next().ok_or("it has no image file")??;
    let mut values = None;
    for file in files {
        let (other, channels) = file?;
        if !other.matches(&grid, GRID_TOLERANCE_MM) {
            return Err("its image files lie on different grids; resample them to one".into());
        }
        values.get_or_insert_with(|| image.to_vec()).extend_from_slice(&channels);
    }
    if let Some(values) = values {
        image = Voxels::new(values.len() / grid.num_voxels(), grid.shape, values);
    }
    let label = subject.label.as_deref().map(nifti::read_label).transpose()?;
    if label.as_ref().is_some_and(|(other, _)| !other.matches(&grid, GRID_TOLERANCE_MM)) {
        return Err("its label map lies on another grid than its image; resample it to the image's".into());
    }
    Ok(Volume { grid, image, label: label.map(|(_, label)| label) })
}

/// How far apart the corners of an image and its label map may lie.
pub const GRID_TOLERANCE_MM: f64 = 0.1;

/// The true label map of a subject on the grid of its image file, and how that grid maps to the preprocessed one.
///
/// # Errors
/// When the label map cannot be read; the subject is named.
pub fn truth(case: &Case, chain: &[Transform], channels: usize) -> Result<(Voxels<Label>, Origin), TrainError> {
    let path = case.subject.label.as_deref().expect(HAS_LABELS);
    let label = nifti::read_label(path);
    let (_, label) =
        label.map_err(|error| TrainError::Subject { subject: case.subject.name.clone(), source: error.into() })?;
    Ok((label, pipeline::origin(chain, &pipeline::fixed(chain, channels), &case.grid)))
}
