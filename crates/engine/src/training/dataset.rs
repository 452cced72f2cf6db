//! The subjects of a run, preprocessed once and cached, and the patches that are sampled from them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::TrainError;
use crate::experiment::plan::{Case, Plan};
use crate::fingerprint::{Fingerprint, Intensities};
use crate::inference::file_mapping::FileMapping;
use crate::preprocessing::fitted::FittedPreprocessing;
use crate::preprocessing::keys::{self, Keys};
use crate::preprocessing::subject::{self, Preprocessed};
use crate::preprocessing::{HAS_LABELS, MeasuredIntensities, PreprocessError, PreprocessedSubject, input_files};
use crate::previous::label_maps::{self, PredictedLabels, Predictions};
use crate::previous::masks::with_masks;
use dataset::cache::{Cache, FileHashes};
use dataset::load::load_label;
use dataset::queue::MakeError;
use dataset::samplers::{Foreground, Sampler};
use random::Seed;
use run_folder::event::Event;
use run_folder::manifest::Inputs;
use transforms::Transform;
use transforms::lazy::{self, Profile};
use volume::{Label, Voxels};

mod background;
mod block;
mod patch;
mod previous;

pub use patch::PatchUse;
use previous::PreviousMasks;

/// The interval at which hashes are saved while subjects are preprocessed, so that few are lost if the process is killed.
const SAVE_HASHES_EVERY: Duration = Duration::from_secs(10);

/// The preprocessed subjects of a run, training and validation.
#[derive(Debug)]
pub struct PreprocessedDataset {
    seed: Seed,
    sampler: Sampler,
    foreground: Foreground,
    augment: Vec<Transform>,
    patch_augment: Vec<Transform>,
    /// The preprocess chain, fitted to the training subjects.
    pub preprocessing: FittedPreprocessing,
    profile: Option<Profile>,
    samples_per_volume: usize,
    batch_size: usize,
    by_name: BTreeMap<String, PreprocessedSubject>,
    /// What becomes of the label maps of the previous runs, if there are some.
    previous: Option<PreviousMasks>,
    /// The files that were read.
    pub inputs: Inputs,
    /// A summary of the training scans; `None` if there are none.
    pub fingerprint: Option<Fingerprint>,
    hashes: FileHashes,
}

impl PreprocessedDataset {
    /// Preprocesses the training and validation subjects, or reads them from the cache.
    ///
    /// Returns `None` when `stop` was set before the last one.
    ///
    /// # Errors
    /// When a file cannot be read or the cache cannot be written; the subject is named. When the volumes do not
    /// fit into the cache together.
    pub fn prepare(
        plan: &Plan,
        cache: &Cache,
        stop: &AtomicBool,
        emit: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Option<Self>, PreprocessError> {
        let names: Vec<&String> = plan.parts.train.iter().chain(&plan.parts.val).collect();
        let total = names.len();
        let cache = &cache.for_run(keys::num_bytes(plan))?;
        let hashes = FileHashes::load(&cache.root);
        let Some(preprocessing) = FittedPreprocessing::fit(plan, cache, &hashes, stop, emit)? else { return Ok(None) };
        let initial_weights = input_files::hash_initial_weights(plan, &hashes)?;
        let (subjects, store) = ((&names[..], &preprocessing), (cache, &hashes));
        let predicted = label_maps::predict_subjects(plan, subjects, store, stop, emit)?;
        let Some(Predictions { weights: previous_weights, by_subject: predicted }) = predicted else { return Ok(None) };
        let masks_background = plan.experiment.masks_background();
        for (name, case) in names.iter().map(|name| (*name, &plan.cases[*name])) {
            if let Some(files) = input_files::known(case, &hashes) {
                let previous = predicted.get(name).map(|predicted| &predicted.key);
                Keys::new(case, &preprocessing, &files, previous, masks_background).pin(cache);
            }
        }
        let prepared = (&preprocessing, &predicted);
        let subjects = preprocess_subjects(plan, &names, prepared, (cache, &hashes), stop, emit);
        // Saved also after an error or a stop, so that the other subjects are not hashed again.
        let saved = hashes.save();
        let subjects = subjects?;
        saved?;
        if subjects.len() < total {
            return Ok(None);
        }
        let fingerprint = fingerprint(plan, &subjects, cache)?;
        let (mut by_name, mut files) = (BTreeMap::new(), BTreeMap::new());
        for (name, subject) in subjects {
            by_name.insert(name.clone(), subject.subject);
            files.insert(name, subject.files);
        }
        Ok(Some(Self {
            seed: Seed(plan.experiment.seed),
            sampler: plan.experiment.sampler.clone(),
            foreground: plan.targets.foreground(),
            augment: plan.experiment.augment.clone(),
            patch_augment: plan.experiment.patch_augment.clone(),
            preprocessing,
            profile: None,
            samples_per_volume: plan.experiment.queue.samples_per_volume.get(),
            batch_size: plan.experiment.train.batch_size.get(),
            by_name,
            previous: PreviousMasks::new(plan),
            inputs: Inputs { subjects: files, initial_weights, previous: previous_weights },
            fingerprint,
            hashes,
        }))
    }

    /// Returns a subject.
    ///
    /// # Panics
    /// When the subject is in neither the training nor the validation part of the plan.
    pub fn get(&self, name: &str) -> &PreprocessedSubject {
        self.by_name.get(name).expect("every subject of a plan's parts is preprocessed")
    }

    /// Returns the input of the network for a whole subject: its image, and the masks of the label map that the previous runs
    /// predict.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    pub fn network_input(&self, name: &str) -> Voxels<f32> {
        let subject = self.get(name);
        let image = subject.volume().image;
        match (&self.previous, subject.previous()) {
            (Some(previous), Some(map)) => with_masks(&image, &map, &previous.labels),
            _ => image,
        }
    }

    /// Starts to measure the time that each step of making a patch takes.
    pub fn enable_profiling(&mut self) {
        self.profile = Some(Profile::default());
    }

    /// Returns the time that each step of making patches took, if profiling is enabled.
    pub fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref()
    }

    /// Returns the ground truth of a subject on the grid of its image file, and the mapping from that grid to the
    /// preprocessed one.
    ///
    /// Steps of the chain that change labels, such as `remap_labels`, change the ground truth as well.
    ///
    /// # Errors
    /// When the label map cannot be read or has changed since the run started; the subject is named.
    pub fn ground_truth(&self, case: &Case) -> Result<(Voxels<Label>, FileMapping), TrainError> {
        let name = &case.subject.name;
        let path = case.subject.label.as_deref().expect(HAS_LABELS);
        let read = || -> Result<_, MakeError> {
            let now = self.hashes.hash(path).map_err(|error| format!("{}: {error}", path.display()))?;
            if self.inputs.subjects[name].iter().all(|file| file.sha256 != now.sha256) {
                return Err(format!("{} was replaced during the run; restore it", path.display()).into());
            }
            Ok(load_label(path, &case.grid)?)
        };
        let label = read().map_err(PreprocessError::of_subject(name))?;
        let (chain, params) = (&self.preprocessing.chain, &self.get(name).params);
        Ok((lazy::relabel(chain, params, label), FileMapping::new(chain, params, &case.grid)))
    }
}

/// Summarizes the training scans. Those whose volumes an earlier version cached were not measured; only some of them are
/// read for it, so that a run does not start noticeably later.
fn fingerprint(
    plan: &Plan,
    subjects: &BTreeMap<String, Preprocessed>,
    cache: &Cache,
) -> Result<Option<Fingerprint>, PreprocessError> {
    const MAX_READ: usize = 4;
    let train = &plan.parts.train;
    let is_missing = |name: &&String| subjects[*name].intensities.is_none();
    let missing: Vec<&String> = train.iter().filter(is_missing).collect();
    let every = missing.len().div_ceil(MAX_READ).max(1);
    let mut read: BTreeMap<&str, Vec<Intensities>> = BTreeMap::new();
    for name in missing.into_iter().step_by(every) {
        let case = &plan.cases[name];
        let measure = || -> Result<_, MakeError> {
            let mut measured = MeasuredIntensities::read(case, &subjects[name].files, cache);
            measured.measure(&case.subject.load()?, cache);
            Ok(measured.intensities)
        };
        read.insert(name, measure().map_err(PreprocessError::of_subject(name))?.unwrap_or_default());
    }
    let known = train.iter().filter_map(|name| Some((name.as_str(), subjects[name].intensities.as_deref()?)));
    let intensities = known.chain(read.iter().map(|(name, measured)| (*name, measured.as_slice()))).collect();
    Ok(Fingerprint::new(plan, &intensities))
}

/// Preprocesses subjects in parallel, until the first error or until `stop` is set.
fn preprocess_subjects(
    plan: &Plan,
    names: &[&String],
    (preprocessing, predicted): (&FittedPreprocessing, &BTreeMap<String, PredictedLabels>),
    (cache, hashes): (&Cache, &FileHashes),
    stop: &AtomicBool,
    emit: &mut (dyn FnMut(Event) + Send),
) -> Result<BTreeMap<String, Preprocessed>, PreprocessError> {
    let total = names.len();
    let progress = Mutex::new((0, Instant::now(), emit));
    names
        .par_iter()
        .take_any_while(|_| !stop.load(Ordering::Relaxed))
        .map(|name| {
            let previous = predicted.get(*name);
            let subject = subject::preprocess(plan, name, hashes, (preprocessing, previous), cache)?;
            let mut progress = progress.lock().expect("reporting progress does not panic");
            let (done, saved, emit) = &mut *progress;
            *done += 1;
            emit(Event::Preparing { task: "preprocessing", done: *done, total });
            subject.warnings.iter().for_each(|warning| emit(Event::Warning(warning.clone())));
            if saved.elapsed() > SAVE_HASHES_EVERY {
                hashes.save()?;
                *saved = Instant::now();
            }
            Ok(((*name).clone(), subject))
        })
        .collect()
}
