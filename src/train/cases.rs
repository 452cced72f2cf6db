//! Subjects as training sees them: preprocessed once, cached, and cut into patches.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

use rayon::prelude::*;

use super::TrainError;
use super::head::{Head, incoming, text};
use crate::data::cache::{Cache, FileHashes, KeyBuilder, Lookup};
use crate::data::nifti;
use crate::data::patch::Patch;
use crate::data::subject::Subject;
use crate::data::volume::{Label, Volume, Voxels};
use crate::pipeline::{self, Origin, Times, View};
use crate::queue::MakeError;
use crate::run::event::Event;
use crate::sampling::{LabelField, LabelIndex, Sampler};
use crate::seed::{Purpose, Seed};
use crate::spec::plan::{Case, Plan};
use crate::transforms::{Drawn, Transform};

/// Changes when the same chain gives other voxels, so that old entries of the cache are not used.
pub(super) const CHAIN_VERSION: &str = "3";

/// The preprocessed volumes of a run.
#[derive(Debug)]
pub struct Cases {
    seed: Seed,
    sampler: Sampler,
    augment: Vec<Transform>,
    /// The preprocess chain with what it learnt from the training subjects.
    pub head: Head,
    times: Option<Times>,
    by_name: BTreeMap<String, Prepared>,
}

/// A subject after the preprocess chain.
#[derive(Debug)]
pub struct Prepared {
    /// Its voxels, mapped from the cache.
    pub volume: Volume,
    /// The draws of the preprocess chain on it.
    pub draws: Vec<Drawn>,
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
        let total = names.len();
        let hashes = FileHashes::load(&cache.root);
        let progress = Mutex::new((0, tell));
        let learning = |done, total| {
            let mut progress = progress.lock().expect("telling of progress does not panic");
            (progress.1)(Event::Preparing { task: "learning intensities", done, total });
        };
        let Some(head) = Head::learn(plan, cache, &hashes, stop, &learning)? else { return Ok(None) };
        let by_name = names
            .par_iter()
            .take_any_while(|_| !stop.load(Ordering::Relaxed))
            .map(|name| {
                let (prepared, note) = preprocessed(&plan.cases[*name], &head, cache, &hashes)?;
                let mut progress = progress.lock().expect("telling of progress does not panic");
                progress.0 += 1;
                let done = progress.0;
                (progress.1)(Event::Preparing { task: "preprocessing", done, total });
                if let Some(note) = note {
                    (progress.1)(Event::Warning(note));
                }
                Ok(((*name).clone(), prepared))
            })
            .collect::<Result<BTreeMap<_, _>, TrainError>>()?;
        hashes.save().map_err(TrainError::Cache)?;
        Ok((by_name.len() == total).then(|| Self {
            seed: Seed(plan.experiment.seed),
            sampler: plan.experiment.sampler.clone(),
            augment: plan.experiment.augment.clone(),
            head,
            times: None,
            by_name,
        }))
    }

    /// A subject that [`Cases::prepare`] has seen.
    pub fn get(&self, name: &str) -> &Prepared {
        self.by_name.get(name).expect("every subject of a plan's parts is prepared")
    }

    /// Keeps from now on the time that each step of making patches takes.
    pub fn keep_times(&mut self) {
        self.times = Some(Times::default());
    }

    /// The time that each step of making patches took, where it is kept.
    pub fn times(&self) -> Option<&Times> {
        self.times.as_ref()
    }

    /// The true label map of a subject on the grid of its image file, and how that grid maps to the preprocessed one.
    ///
    /// Steps of the chain that change label maps as a whole change the truth likewise.
    ///
    /// # Errors
    /// When the label map cannot be read; the subject is named.
    pub fn truth(&self, case: &Case) -> Result<(Voxels<Label>, Origin), TrainError> {
        let path = case.subject.label.as_deref().expect(HAS_LABELS);
        let label = nifti::read_label(path);
        let (grid, label) =
            label.map_err(|error| TrainError::Subject { subject: case.subject.name.clone(), source: error.into() })?;
        let (chain, draws) = (&self.head.chain, &self.get(&case.subject.name).draws);
        let mut labels = label.to_vec();
        pipeline::relabel(chain, draws, &mut labels, grid.shape);
        Ok((Voxels::new(1, grid.shape, labels), pipeline::origin(chain, draws, &case.grid)))
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
        let times = self.times.as_ref();
        let draws = pipeline::draw(augment, &incoming(&prepared.volume), &mut chance(Purpose::Augment));
        let view = View::new(prepared.volume.clone(), augment, &draws)?;
        let view = view.with_minima(prepared.minima()).with_times(times);
        let field = LabelField { origin: view.origin(), index: prepared.index() };
        let start = Times::note(times, "sampler", || self.sampler.start(&field, &mut chance(purpose)))?;
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
    fn new(volume: Volume, draws: Vec<Drawn>) -> Self {
        Self { volume, draws, index: OnceLock::new(), minima: OnceLock::new() }
    }

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
    head: &Head,
    cache: &Cache,
    hashes: &FileHashes,
) -> Result<(Prepared, Option<String>), TrainError> {
    let make = || -> Result<_, MakeError> {
        let mut key =
            KeyBuilder::new().add_text(CHAIN_VERSION).add_text(&text(&head.chain)).add_text(&text(&head.learned));
        for path in case.subject.images.iter().chain(&case.subject.label) {
            key = key.add_file(path, hashes)?;
        }
        let key = key.build();
        let note = match cache.get(&key)? {
            Lookup::Found(volume, draws) => return Ok((Prepared::new(*volume, serde_json::from_str(&draws)?), None)),
            Lookup::Absent => None,
            Lookup::Damaged { path, reason } => Some(format!("{} is made anew: {reason}", path.display())),
        };
        let volume = load(&case.subject)?;
        let draws = head.settled(&volume)?;
        let volume = View::new(volume, &head.chain, &draws)?.volume()?;
        Ok((Prepared::new(cache.put(&key, &volume, &text(&draws))?, draws), note))
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
