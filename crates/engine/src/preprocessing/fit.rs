//! Fitting the preprocess chain to the training subjects.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::*;

use super::fitted::{FittedPreprocessing, incoming};
use super::{CHAIN_VERSION, PreprocessError, input_files, key_text};
use crate::experiment::plan::Plan;
use dataset::cache::{Cache, FileHashes, KeyBuilder};
use dataset::queue::MakeError;
use run_folder::event::Event;
use run_folder::manifest::InputFile;
use transforms::TransformParams;
use transforms::lazy;

impl FittedPreprocessing {
    /// Computes the statistics of the steps that are fitted to the training subjects, or reads them from the cache.
    ///
    /// The files of the training subjects are hashed only if there is such a step. Returns `None` when `stop` was set
    /// before the end.
    ///
    /// # Errors
    /// When a file cannot be read, a step cannot be fitted, or the cache cannot be written.
    pub fn fit(
        plan: &Plan,
        cache: &Cache,
        hashes: &FileHashes,
        stop: &AtomicBool,
        emit: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Option<Self>, PreprocessError> {
        let mut preprocessing = Self::unfitted(plan.experiment.preprocess_chain());
        if !preprocessing.chain.iter().any(|step| step.component().needs_fit()) {
            return Ok(Some(preprocessing));
        }
        let names: Vec<&String> = plan.parts.train.iter().collect();
        let files = input_files::hash_subjects(plan, &names, hashes, stop, emit);
        let saved = hashes.save();
        let Some(files) = files? else { return Ok(None) };
        saved?;
        let emit = Mutex::new(emit);
        let report = |done, total| {
            let mut emit = emit.lock().expect("reporting progress does not panic");
            emit(Event::Preparing { task: "fitting preprocessing", done, total });
        };
        for index in 0..preprocessing.chain.len() {
            let step = &preprocessing.chain[index];
            if !step.component().needs_fit() {
                continue;
            }
            let path = cache.statistics(&preprocessing.statistics_key(plan, index, &files));
            let params = match cached_params(&path).filter(|params| step.component().is_fitted(params)) {
                Some(params) => params,
                None => {
                    let Some(params) = preprocessing.fit_step(plan, index, stop, &report)? else { return Ok(None) };
                    cache.write_statistics(&path, &params)?;
                    params
                }
            };
            preprocessing.fitted.insert(index, params);
        }
        Ok(Some(preprocessing))
    }

    /// Returns the hash of everything that a step's statistics depend on: the steps before it, the step itself, and the
    /// content of the training subjects' files.
    fn statistics_key(&self, plan: &Plan, index: usize, files: &BTreeMap<String, Vec<InputFile>>) -> String {
        let mut key = KeyBuilder::new().add_text("statistics").add_text(CHAIN_VERSION);
        key = key.add_text(&key_text(&self.chain[..=index])).add_text(&key_text(&self.fitted));
        if let Some(ignore) = plan.targets.ignore {
            key = key.add_text(&format!("ignore {ignore}"));
        }
        for name in &plan.parts.train {
            let files = &files[name];
            let weights = plan.cases[name].weight_maps.len();
            key = files[..files.len() - weights].iter().fold(key, |key, file| key.add_file(&file.sha256));
        }
        hex::encode(key.build())
    }

    fn fit_step(
        &self,
        plan: &Plan,
        index: usize,
        stop: &AtomicBool,
        report: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Option<TransformParams>, PreprocessError> {
        let names = &plan.parts.train;
        let done = AtomicUsize::new(0);
        let (step, before) = (&self.chain[index], &self.chain[..index]);
        let sample = |name: &String| {
            let sample = || -> Result<_, MakeError> {
                let volume = self.load(&plan.cases[name].subject)?;
                let params = self.unresolved_params(&incoming(&volume));
                let params = lazy::resolve_from_volume(before, &params[..index], &volume)?;
                Ok(lazy::fitting_sample(step, before, &params, volume, plan.targets.ignore)?)
            };
            let sample = sample().map_err(PreprocessError::of_subject(name))?;
            report(done.fetch_add(1, Ordering::Relaxed) + 1, names.len());
            Ok::<_, PreprocessError>(sample)
        };
        let samples: Vec<_> = names
            .par_iter()
            .map(|name| (!stop.load(Ordering::Relaxed)).then(|| sample(name)).transpose())
            .collect::<Result<_, _>>()?;
        let Some(samples) = samples.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
        let fitted = step.component().fit(&samples);
        fitted.map(Some).map_err(|error| PreprocessError::Fit { step: step.name(), reason: error.reason })
    }
}

/// Reads the statistics of an earlier fit; unreadable ones are computed again.
fn cached_params(path: &Path) -> Option<TransformParams> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
