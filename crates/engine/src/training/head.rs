//! The preprocess chain with what it learns from the training subjects.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::prepare::{CHAIN_VERSION, load};
use super::{TrainError, inputs};
use crate::experiment::plan::Plan;
use dataset::cache::{Cache, FileHashes, KeyBuilder, hex};
use dataset::queue::MakeError;
use run_folder::event::Event;
use run_folder::folder::{RunFolder, write_atomically};
use run_folder::manifest::InputFile;
use transforms::lazy;
use transforms::{Incoming, ToCanonical, Transform, TransformParams};
use volume::Volume;

/// The preprocess chain with what it learnt.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its steps.
    pub chain: Vec<Transform>,
    /// What the steps that learn have learnt, by their place in the chain.
    pub learned: BTreeMap<usize, TransformParams>,
}

/// `preprocess.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Recorded {
    chain: Vec<Transform>,
    learned: BTreeMap<usize, TransformParams>,
}

impl Head {
    /// Learns from the training subjects what the steps of the preprocess chain need, or finds it in the cache.
    ///
    /// Only where a step learns are the files of the training subjects hashed for it. Returns `None` when it was told to
    /// stop before.
    ///
    /// # Errors
    /// When a file cannot be read, a subject has nothing to learn from, or the cache cannot be written.
    pub fn learn(
        plan: &Plan,
        cache: &Cache,
        hashes: &FileHashes,
        stop: &AtomicBool,
        tell: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Option<Self>, TrainError> {
        let mut head = Self { chain: plan.experiment.preprocess_chain(), learned: BTreeMap::new() };
        if !head.chain.iter().any(Transform::needs_fit) {
            return Ok(Some(head));
        }
        let files = inputs::of_training(plan, hashes, stop, tell);
        let saved = hashes.save();
        let Some(files) = files? else { return Ok(None) };
        saved.map_err(TrainError::Cache)?;
        let tell = Mutex::new(tell);
        let tell = |done, total| {
            let mut tell = tell.lock().expect("telling of progress does not panic");
            tell(Event::Preparing { task: "learning intensities", done, total });
        };
        for index in 0..head.chain.len() {
            if !head.chain[index].needs_fit() {
                continue;
            }
            let path = cache.statistics(&head.key(plan, index, &files));
            let drawn = match known(&path).filter(|drawn| head.chain[index].is_fitted(drawn)) {
                Some(drawn) => drawn,
                None => {
                    let Some(drawn) = head.learn_step(plan, index, stop, &tell)? else { return Ok(None) };
                    cache.write_statistics(&path, &drawn).map_err(TrainError::Cache)?;
                    drawn
                }
            };
            head.learned.insert(index, drawn);
        }
        Ok(Some(head))
    }

    /// All that decides what a step learns: the steps before, itself, and the content of the training subjects' files.
    fn key(&self, plan: &Plan, index: usize, files: &BTreeMap<String, Vec<InputFile>>) -> String {
        let mut key = KeyBuilder::new().add_text("statistics").add_text(CHAIN_VERSION);
        key = key.add_text(&text(&self.chain[..=index])).add_text(&text(&self.learned));
        for name in &plan.parts.train {
            let files = &files[name];
            let weights = usize::from(plan.cases[name].weights.is_some());
            key = files[..files.len() - weights].iter().fold(key, |key, file| key.add_file(&file.sha256));
        }
        hex(&key.build())
    }

    fn learn_step(
        &self,
        plan: &Plan,
        index: usize,
        stop: &AtomicBool,
        tell: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Option<TransformParams>, TrainError> {
        let names = &plan.parts.train;
        let done = std::sync::atomic::AtomicUsize::new(0);
        let (step, before) = (&self.chain[index], &self.chain[..index]);
        let sample = |name: &String| {
            let make = || -> Result<_, MakeError> {
                let volume = load(&plan.cases[name].subject)?;
                let draws = self.draws(&incoming(&volume));
                let draws = lazy::resolve_from_volume(before, &draws[..index], &volume)?;
                Ok(lazy::fitting_sample(step, before, &draws, volume)?)
            };
            let sample = make().map_err(|source| TrainError::Subject { subject: name.clone(), source })?;
            tell(done.fetch_add(1, Ordering::Relaxed) + 1, names.len());
            Ok::<_, TrainError>(sample)
        };
        let samples: Vec<_> = names
            .par_iter()
            .map(|name| (!stop.load(Ordering::Relaxed)).then(|| sample(name)).transpose())
            .collect::<Result<_, _>>()?;
        let Some(samples) = samples.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
        let learnt = step.fit(&samples);
        learnt.map(Some).map_err(|error| TrainError::Learn { step: step.name(), reason: error.reason })
    }

    /// Writes `preprocess.json` into a run folder: what the chain's steps have learnt, so that new images can be taken
    /// through it. Where nothing is learnt there is no such file.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn record(&self, folder: &RunFolder) -> Result<(), TrainError> {
        if self.learned.is_empty() {
            return Ok(());
        }
        let recorded = Recorded { chain: self.chain.clone(), learned: self.learned.clone() };
        let text = serde_json::to_string_pretty(&recorded).expect("chains and draws are plain data") + "\n";
        Ok(write_atomically(&folder.file("preprocess.json"), text.as_bytes())?)
    }

    /// The preprocess chain of a run, with what its `preprocess.json` says was learnt.
    ///
    /// # Errors
    /// Says what is wrong with that file, or that it is missing where a step has learnt something.
    pub fn of_run(root: &Path, chain: Vec<Transform>) -> Result<Self, String> {
        let mut head = Self { chain, learned: BTreeMap::new() };
        if head.chain.iter().any(Transform::needs_fit) {
            let text = std::fs::read(root.join("preprocess.json")).map_err(|error| error.to_string())?;
            let recorded: Recorded = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
            if recorded.chain != head.chain {
                return Err("its steps are not those of plan.yaml".to_owned());
            }
            let has_all = (0..head.chain.len()).all(|index| match recorded.learned.get(&index) {
                Some(drawn) => head.chain[index].is_fitted(drawn),
                None => !head.chain[index].needs_fit(),
            });
            if !has_all || recorded.learned.keys().any(|index| *index >= head.chain.len()) {
                return Err("`learned` does not hold what the steps of plan.yaml learn".to_owned());
            }
            head.learned = recorded.learned;
        }
        Ok(head)
    }

    /// The same chain for volumes of any orientation: they are turned to RAS first, as those in training were or had to be.
    pub fn turning_first(mut self) -> Self {
        let turn = Transform::ToCanonical(ToCanonical {});
        if self.chain.first() != Some(&turn) {
            self.chain.insert(0, turn);
            self.learned = self.learned.into_iter().map(|(index, drawn)| (index + 1, drawn)).collect();
        }
        self
    }

    /// The draws of the chain on a volume, before its content decides what is left open.
    pub fn draws(&self, incoming: &Incoming) -> Vec<TransformParams> {
        let mut draws = lazy::fixed_params(&self.chain, incoming);
        self.learned.iter().for_each(|(index, drawn)| draws[*index] = drawn.clone());
        draws
    }

    /// The draws of the chain on a volume.
    ///
    /// # Errors
    /// When a step cannot be applied to the volume.
    pub fn resolved(&self, volume: &Volume) -> Result<Vec<TransformParams>, lazy::PipelineError> {
        lazy::resolve_from_volume(&self.chain, &self.draws(&incoming(volume)), volume)
    }

    /// Whether the content of a volume decides something of the chain, such as where a crop lies.
    pub fn resolves_from_volume(&self) -> bool {
        resolves_from_volume(&self.chain)
    }
}

/// Whether the content of a volume decides something of a chain.
pub(super) fn resolves_from_volume(chain: &[Transform]) -> bool {
    chain.iter().any(|step| step.any(&Transform::resolves_from_volume))
}

/// What a volume is before any of its voxels is looked at.
pub fn incoming(volume: &Volume) -> Incoming {
    Incoming { grid: volume.grid, channels: volume.image.channels }
}

/// A chain or its draws as they enter a key.
pub(super) fn text(value: &(impl serde::Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("chains and draws are plain data")
}

/// Statistics that were learnt before; garbled ones are learnt again.
fn known(path: &Path) -> Option<TransformParams> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
