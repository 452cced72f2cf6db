//! Subjects as training sees them: preprocessed once, cached, and cut into patches.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

use rayon::prelude::*;

use super::TrainError;
use crate::data::cache::{Cache, FileHashes, KeyBuilder, Lookup};
use crate::data::nifti;
use crate::data::patch::Patch;
use crate::data::subject::Subject;
use crate::data::volume::{Label, Volume, Voxels};
use crate::pipeline::{self, Origin, View};
use crate::queue::MakeError;
use crate::run::event::Event;
use crate::sampling::{LabelField, LabelIndex, Sampler};
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
    by_name: BTreeMap<String, Prepared>,
}

/// A subject after the preprocess chain.
#[derive(Debug)]
pub struct Prepared {
    /// Its voxels, mapped from the cache.
    pub volume: Volume,
    index: OnceLock<LabelIndex>,
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
    /// When a file cannot be read or the cache cannot be written; the subject is named.
    pub fn prepare(
        plan: &Plan,
        cache: &Cache,
        stop: &AtomicBool,
        tell: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Option<Self>, TrainError> {
        let names: Vec<&String> = plan.parts.train.iter().chain(&plan.parts.val).collect();
        let chain = plan.experiment.preprocess_chain();
        let total = names.len();
        let hashes = FileHashes::load(&cache.root);
        let progress = Mutex::new((0, tell));
        let by_name = names
            .par_iter()
            .take_any_while(|_| !stop.load(Ordering::Relaxed))
            .map(|name| {
                let (volume, note) = preprocessed(&plan.cases[*name], &chain, cache, &hashes)?;
                let mut progress = progress.lock().expect("telling of progress does not panic");
                progress.0 += 1;
                let done = progress.0;
                (progress.1)(Event::Preparing { task: "preprocessing", done, total });
                if let Some(note) = note {
                    (progress.1)(Event::Warning(note));
                }
                Ok(((*name).clone(), Prepared { volume, index: OnceLock::new(), minima: OnceLock::new() }))
            })
            .collect::<Result<BTreeMap<_, _>, TrainError>>()?;
        hashes.save().map_err(TrainError::Cache)?;
        Ok((by_name.len() == total).then(|| Self {
            seed: Seed(plan.experiment.seed),
            sampler: plan.experiment.sampler.clone(),
            augment: plan.experiment.augment.clone(),
            by_name,
        }))
    }

    /// A subject that [`Cases::prepare`] has seen.
    pub fn get(&self, name: &str) -> &Prepared {
        self.by_name.get(name).expect("every subject of a plan's parts is prepared")
    }

    /// Cuts a patch: a pure function of the seed, the part, the subject's name and the patch's index.
    ///
    /// # Errors
    /// When a transform cannot be applied or no patch fits.
    pub fn patch(&self, part: Part, name: &str, index: usize) -> Result<Patch, MakeError> {
        let prepared = self.get(name);
        let channels = prepared.volume.image.channels;
        let (purpose, epoch, augment): (_, _, &[Transform]) = match part {
            Part::Train { epoch } => (Purpose::Sample, epoch as u64, &self.augment),
            Part::Val => (Purpose::Validate, 0, &[]),
        };
        let chance = |purpose| self.seed.stream(purpose, epoch, name, index as u64);
        let draws = pipeline::draw(augment, channels, &mut chance(Purpose::Augment));
        let view = View::new(prepared.volume.clone(), augment, &draws).with_minima(prepared.minima());
        let field = LabelField { origin: view.origin(), index: prepared.index() };
        let start = self.sampler.start(&field, &mut chance(purpose))?;
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
}

/// Why a label map is there: `check` refuses subjects without one in a part that trains or validates.
const HAS_LABELS: &str = "subjects that train or validate have labels";

impl Prepared {
    /// The smallest intensity of each channel; looked for once.
    fn minima(&self) -> &[f32] {
        let image = &self.volume.image;
        self.minima.get_or_init(|| pipeline::minima(image, image.channels))
    }

    /// Where each label's voxels are; made when it is first asked for.
    fn index(&self) -> &LabelIndex {
        self.index.get_or_init(|| LabelIndex::new(self.volume.label.clone().expect(HAS_LABELS)))
    }
}

/// Takes a subject through the preprocess chain, or finds it in the cache; with a note where its entry was damaged.
///
/// # Errors
/// When a file cannot be read or the cache cannot be written; the subject is named.
fn preprocessed(
    case: &Case,
    chain: &[Transform],
    cache: &Cache,
    hashes: &FileHashes,
) -> Result<(Volume, Option<String>), TrainError> {
    let make = || -> Result<_, MakeError> {
        let chain_text = serde_json::to_string(chain).expect("a chain is plain data");
        let mut key = KeyBuilder::new().add_text(CHAIN_VERSION).add_text(&chain_text);
        for path in case.subject.images.iter().chain(&case.subject.label) {
            key = key.add_file(path, hashes)?;
        }
        let key = key.build();
        let note = match cache.get(&key)? {
            Lookup::Found(volume) => return Ok((volume, None)),
            Lookup::Absent => None,
            Lookup::Damaged { path, reason } => Some(format!("{} is made anew: {reason}", path.display())),
        };
        let volume = load(&case.subject)?;
        let draws = pipeline::fixed(chain, volume.image.channels);
        let volume = View::new(volume, chain, &draws).volume()?;
        Ok((cache.put(&key, &volume)?, note))
    };
    make().map_err(|source| TrainError::Subject { subject: case.subject.name.clone(), source })
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
