//! Subjects as training sees them: preprocessed once, cached, and cut into patches.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::TrainError;
use super::head::{Head, incoming};
use super::inputs;
use super::prepare::{self, HAS_LABELS, Keys};
use crate::experiment::plan::{Case, Plan};
use dataset::cache::{Cache, FileHashes, Stored};
use dataset::patch::Patch;
use dataset::queue::{MakeError, Request};
use dataset::samplers::{
    CumulativeRowSums, LabelIndex, LabelRuns, PatchIndex, Sampler, SamplingContext, WeightIndex, cumulative_row_sums,
};
use random::{Purpose, Seed};
use run_folder::event::Event;
use run_folder::manifest::Inputs;
use transforms::lazy::{self, BorderValueCache, IndexMapping, Profile, View};
use transforms::{Transform, TransformParams, sample_params};
use volume::nifti;
use volume::{Label, Volume, Voxels};

/// How often hashes are saved while subjects are prepared: a process that is killed then hashes few files again.
const SAVE_HASHES_EVERY: Duration = Duration::from_secs(10);

/// The preprocessed volumes of a run.
#[derive(Debug)]
pub struct Cases {
    seed: Seed,
    sampler: Sampler,
    augment: Vec<Transform>,
    /// The preprocess chain with what it learnt from the training subjects.
    pub head: Head,
    times: Option<Profile>,
    samples_per_volume: usize,
    batch_size: usize,
    by_name: BTreeMap<String, Prepared>,
    /// The files that it is made of.
    pub inputs: Inputs,
    hashes: FileHashes,
}

/// A subject after the preprocess chain.
#[derive(Debug)]
pub struct Prepared {
    stored: Stored,
    /// The draws of the preprocess chain on it.
    pub draws: Vec<TransformParams>,
    /// Where its patches have their centres; a sampler may ask for such a map.
    weights: Option<Stored>,
    runs: OnceLock<Arc<LabelRuns>>,
    cumulative_row_sums: OnceLock<CumulativeRowSums>,
    border_values: BorderValueCache,
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
        let total = names.len();
        let cache = &cache.for_run(prepare::num_bytes(plan)).map_err(TrainError::Cache)?;
        let hashes = FileHashes::load(&cache.root);
        let Some(head) = Head::learn(plan, cache, &hashes, stop, tell)? else { return Ok(None) };
        let initial_weights = inputs::initial_weights(plan, &hashes)?;
        for case in names.iter().map(|name| &plan.cases[*name]) {
            if let Some(files) = inputs::known(case, &hashes) {
                Keys::of(case, &head, &files).keep(cache);
            }
        }
        let progress = Mutex::new((0, Instant::now(), tell));
        let ready = names
            .par_iter()
            .take_any_while(|_| !stop.load(Ordering::Relaxed))
            .map(|name| {
                let ready = prepare::prepare(&plan.cases[*name], &hashes, &head, plan.channels, cache)?;
                let mut progress = progress.lock().expect("telling of progress does not panic");
                let (done, saved, tell) = &mut *progress;
                *done += 1;
                tell(Event::Preparing { task: "preprocessing", done: *done, total });
                ready.notes.iter().for_each(|note| tell(Event::Warning(note.clone())));
                if saved.elapsed() > SAVE_HASHES_EVERY {
                    hashes.save().map_err(TrainError::Cache)?;
                    *saved = Instant::now();
                }
                Ok(((*name).clone(), ready))
            })
            .collect::<Result<BTreeMap<_, _>, TrainError>>();
        // Also where a subject was refused or it was told to stop, the others are not hashed again.
        let saved = hashes.save();
        let ready = ready?;
        saved.map_err(TrainError::Cache)?;
        let (mut by_name, mut subjects) = (BTreeMap::new(), BTreeMap::new());
        for (name, ready) in ready {
            by_name.insert(name.clone(), ready.prepared);
            subjects.insert(name, ready.files);
        }
        Ok((by_name.len() == total).then(|| Self {
            seed: Seed(plan.experiment.seed),
            sampler: plan.experiment.sampler.clone(),
            augment: plan.experiment.augment.clone(),
            head,
            times: None,
            samples_per_volume: plan.experiment.queue.samples_per_volume.get(),
            batch_size: plan.experiment.train.batch_size.get(),
            by_name,
            inputs: Inputs { subjects, initial_weights },
            hashes,
        }))
    }

    /// A subject that [`Cases::prepare`] has seen.
    pub fn get(&self, name: &str) -> &Prepared {
        self.by_name.get(name).expect("every subject of a plan's parts is prepared")
    }

    /// Keeps from now on the time that each step of making patches takes.
    pub fn enable_profiling(&mut self) {
        self.times = Some(Profile::default());
    }

    /// The time that each step of making patches took, where it is kept.
    pub fn times(&self) -> Option<&Profile> {
        self.times.as_ref()
    }

    /// The true label map of a subject on the grid of its image file, and how that grid maps to the preprocessed one.
    ///
    /// Steps of the chain that change label maps as a whole change the truth likewise.
    ///
    /// # Errors
    /// When the label map cannot be read, or is not that of the start any more; the subject is named.
    pub fn truth(&self, case: &Case) -> Result<(Voxels<Label>, IndexMapping), TrainError> {
        let path = case.subject.label.as_deref().expect(HAS_LABELS);
        let read = || -> Result<_, MakeError> {
            let now = self.hashes.hash(path).map_err(|error| format!("{}: {error}", path.display()))?;
            if self.inputs.subjects[&case.subject.name].iter().all(|file| file.sha256 != now.sha256) {
                return Err(format!("{} was replaced while the run was going on; bring it back", path.display()).into());
            }
            Ok(nifti::read_label(path)?)
        };
        let (_, label) = read().map_err(|source| TrainError::Subject { subject: case.subject.name.clone(), source })?;
        let (chain, draws) = (&self.head.chain, &self.get(&case.subject.name).draws);
        Ok((lazy::relabel(chain, draws, label), lazy::index_mapping(chain, draws, &case.grid)))
    }

    /// Cuts a patch: a pure function of the seed, the part, the subject's name, the patch's index and its place in its batch.
    ///
    /// # Errors
    /// When a transform cannot be applied or no patch fits.
    pub fn patch(&self, part: Part, name: &str, request: Request) -> Result<Patch, MakeError> {
        let prepared = self.get(name);
        let volume = prepared.volume();
        let channels = volume.image.channels;
        let (purpose, epoch, augment): (_, _, &[Transform]) = match part {
            Part::Train { epoch } => (Purpose::Sample, epoch as u64, &self.augment),
            Part::Val => (Purpose::Validate, 0, &[]),
        };
        let chance = |purpose| self.seed.stream(purpose, epoch, name, request.index as u64);
        let times = self.times.as_ref();
        let draws = sample_params(augment, &mut chance(Purpose::Augment), &incoming(&volume));
        let labels = volume.label.clone().expect(HAS_LABELS);
        let runs = prepared.runs(&labels);
        let view = View::new(volume, augment, &draws)?;
        let view =
            view.with_border_values(&prepared.border_values).with_empty_space(runs.empty_space()).with_profile(times);
        let (index, weights) = (LabelIndex::with_runs(labels, runs.clone()), prepared.weights());
        let context = SamplingContext { mapping: view.index_mapping(), labels: &index, weights: weights.as_ref() };
        let patch_index = self.patch_index(part, request);
        let start = Profile::note(times, "sampler", || {
            self.sampler.sample_start(&context, &patch_index, &mut chance(purpose))
        })?;
        let shape = self.sampler.patch();
        let window = view.window(start, shape)?;
        Ok(Patch {
            subject: name.to_owned(),
            index: request.index,
            start,
            shape,
            channels,
            image: window.image.into_owned(),
            label: window.label.expect(HAS_LABELS),
            draws: serde_json::to_value(&draws).expect("draws are plain numbers"),
        })
    }

    /// Which of the run's patches a request means.
    fn patch_index(&self, part: Part, request: Request) -> PatchIndex {
        let epochs_before = match part {
            Part::Train { epoch } => epoch - 1,
            Part::Val => 0,
        };
        PatchIndex {
            number: (epochs_before * self.samples_per_volume + request.index) as u64,
            index_in_batch: request.index_in_batch,
            batch_size: self.batch_size,
        }
    }
}

impl Prepared {
    pub(super) fn new(stored: Stored, weights: Option<Stored>, draws: Vec<TransformParams>) -> Self {
        let (runs, cumulative_row_sums, border_values) =
            (OnceLock::new(), OnceLock::new(), BorderValueCache::default());
        Self { stored, weights, draws, runs, cumulative_row_sums, border_values }
    }

    /// Its voxels.
    pub fn volume(&self) -> Volume {
        self.stored.volume()
    }

    /// The map of weights, ready to draw from; summed when it is first asked for.
    fn weights(&self) -> Option<WeightIndex> {
        let weights = self.weights.as_ref()?.volume().image;
        let sums = self.cumulative_row_sums.get_or_init(|| cumulative_row_sums(&weights)).clone();
        Some(WeightIndex::with_sums(weights, sums))
    }

    /// Where each label's voxels are; looked for when it is first asked.
    fn runs(&self, labels: &Voxels<Label>) -> &Arc<LabelRuns> {
        self.runs.get_or_init(|| Arc::new(LabelRuns::new(labels)))
    }
}
