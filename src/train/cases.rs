//! Subjects as training sees them: preprocessed once, cached, and cut into patches.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

use super::TrainError;
use crate::data::cache::{Cache, KeyBuilder};
use crate::data::nifti;
use crate::data::patch::Patch;
use crate::data::subject::Subject;
use crate::data::volume::{Label, Volume, Voxels};
use crate::pipeline::{self, Origin, View};
use crate::run::event::Event;
use crate::sampling::{LabelField, LabelIndex, Sampler};
use crate::seed::{Purpose, Seed};
use crate::spec::plan::{Case, Plan};
use crate::transforms::Transform;

/// Changes when the same chain gives other voxels, so that old entries of the cache are not used.
const CHAIN_VERSION: &str = "1";

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
    /// # Errors
    /// When a file cannot be read or the cache cannot be written; the subject is named.
    pub fn prepare(plan: &Plan, cache: &Cache, tell: &mut (dyn FnMut(Event) + Send)) -> Result<Self, TrainError> {
        let names: Vec<&String> = plan.parts.train.iter().chain(&plan.parts.val).collect();
        let chain = plan.preprocess_chain();
        let total = names.len();
        let progress = std::sync::Mutex::new((0, tell));
        let by_name = names
            .par_iter()
            .map(|name| {
                let volume = preprocessed(&plan.cases[*name], &chain, cache)?;
                let mut progress = progress.lock().expect("telling of progress does not panic");
                progress.0 += 1;
                let done = progress.0;
                (progress.1)(Event::Preparing { task: "preprocessing", done, total });
                Ok(((*name).clone(), Prepared { volume, index: OnceLock::new() }))
            })
            .collect::<Result<_, TrainError>>()?;
        Ok(Self {
            seed: Seed(plan.experiment.seed),
            sampler: plan.experiment.sampler.clone(),
            augment: plan.experiment.augment.clone(),
            by_name,
        })
    }

    /// A subject that [`Cases::prepare`] has seen.
    pub fn get(&self, name: &str) -> &Prepared {
        self.by_name.get(name).expect("every subject of a plan's parts is prepared")
    }

    /// Cuts a patch: a pure function of the seed, the part, the subject's name and the patch's index.
    ///
    /// # Errors
    /// When a transform cannot be applied or no patch fits; the subject is named.
    pub fn patch(&self, part: Part, name: &str, index: usize) -> Result<Patch, TrainError> {
        let prepared = self.get(name);
        let (purpose, epoch, augment): (_, _, &[Transform]) = match part {
            Part::Train { epoch } => (Purpose::Sample, epoch as u64, &self.augment),
            Part::Val => (Purpose::Validate, 0, &[]),
        };
        let draws = pipeline::draw(augment, &mut self.seed.stream(Purpose::Augment, epoch, name, index as u64));
        let of_subject = |source: Box<dyn std::error::Error + Send + Sync>| TrainError::Patch {
            subject: name.to_owned(),
            index,
            source,
        };
        let view = View::new(prepared.volume.clone(), augment, &draws).map_err(|error| of_subject(error.into()))?;
        let field = LabelField { origin: view.origin(), index: prepared.index() };
        let mut rng = self.seed.stream(purpose, epoch, name, index as u64);
        let start = self.sampler.start(&field, &mut rng).map_err(|error| of_subject(error.into()))?;
        let shape = self.sampler.patch();
        let window = view.window(start, shape).map_err(|error| of_subject(error.into()))?;
        Ok(Patch {
            subject: name.to_owned(),
            index,
            start,
            shape,
            channels: prepared.volume.image.channels,
            image: window.image,
            label: window.label.expect("subjects that train have labels"),
            draws: serde_json::to_value(&draws).expect("draws are plain numbers"),
        })
    }
}

impl Prepared {
    /// Where each label's voxels are; made when it is first asked for.
    fn index(&self) -> &LabelIndex {
        self.index.get_or_init(|| {
            let label = self.volume.label.as_ref().expect("subjects that train have labels");
            LabelIndex::new(label, label.shape)
        })
    }
}

/// Takes a subject through the preprocess chain, or finds it in the cache.
///
/// # Errors
/// When a file cannot be read or the cache cannot be written; the subject is named.
pub fn preprocessed(case: &Case, chain: &[Transform], cache: &Cache) -> Result<Volume, TrainError> {
    let of_subject = |source: Box<dyn std::error::Error + Send + Sync>| TrainError::Subject {
        subject: case.subject.name.clone(),
        source,
    };
    let chain_text = serde_json::to_string(chain).expect("a chain is plain data");
    let mut key = KeyBuilder::new(cache);
    for path in case.subject.images.iter().chain(&case.subject.label) {
        key.add_file(path).map_err(|error| of_subject(error.into()))?;
    }
    let key = key.add_text(CHAIN_VERSION).add_text(&chain_text).finish();
    if let Some(volume) = cache.get(&key).map_err(|error| of_subject(error.into()))? {
        return Ok(volume);
    }
    let volume = load(&case.subject).map_err(&of_subject)?;
    // Every range of a preprocess chain has width zero, so any stream gives the same draws.
    let draws = pipeline::draw(chain, &mut Seed(0).stream(Purpose::Augment, 0, "", 0));
    let volume = View::new(volume, chain, &draws)
        .and_then(|view| view.volume())
        .map_err(|error| of_subject(error.into()))?;
    cache.put(&key, &volume).map_err(|error| of_subject(error.into()))
}

/// Reads a subject's files.
///
/// # Errors
/// When one cannot be read, or they do not lie on one grid.
pub fn load(subject: &Subject) -> Result<Volume, Box<dyn std::error::Error + Send + Sync>> {
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
/// When the label map cannot be read.
pub fn truth(case: &Case, chain: &[Transform]) -> Result<(Voxels<Label>, Origin), TrainError> {
    let of_subject = |source: Box<dyn std::error::Error + Send + Sync>| TrainError::Subject {
        subject: case.subject.name.clone(),
        source,
    };
    let path = case.subject.label.as_deref().ok_or_else(|| of_subject("it has no label map".into()))?;
    let (_, label) = nifti::read_label(path).map_err(|error| of_subject(error.into()))?;
    let draws = pipeline::draw(chain, &mut Seed(0).stream(Purpose::Augment, 0, "", 0));
    let origin = pipeline::origin(chain, &draws, &case.grid).map_err(|error| of_subject(error.into()))?;
    Ok((label, origin))
}

/// Cases that worker threads share.
pub type SharedCases = Arc<Cases>;
