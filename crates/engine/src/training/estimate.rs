//! The time of a run, estimated from a few of its steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::checkpoint::TrainingProgress;
use super::dataset::{PatchUse, PreprocessedDataset};
use super::prefetch::PrefetchedSteps;
use super::step::Trainer;
use super::{TrainError, patches_per_step, pseudo_dice, validate};
use crate::experiment::plan::Plan;
use crate::experiment::spec::PseudoDice;
use dataset::cache::Cache;
use dataset::queue::Request;
use run_folder::event::Event;

/// Number of training subjects that are preprocessed, those of median size.
const MAX_SUBJECTS: usize = 3;
/// Maximum number of timed steps.
const MAX_STEPS: usize = 20;
/// Number of timed steps after which a longer measurement is pointless if they took [`ENOUGH`].
const MIN_STEPS: usize = 3;
/// Time after which no further step is timed.
const ENOUGH: Duration = Duration::from_secs(10);
/// Number of patches whose making is timed.
const MAX_PATCHES: usize = 8;
/// Maximum expected time of predicting and scoring a volume for that to be tried; else it is computed from one window.
const MAX_VOLUME_SECONDS: f64 = 30.0;

/// The time of the parts of a run in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeEstimate {
    /// Preprocessing all subjects that are not in the cache.
    pub preprocessing: f64,
    /// Making one patch in one thread.
    pub patch: f64,
    /// One optimizer step, waiting for its patches included.
    pub step: f64,
    /// The number of timed steps.
    pub num_steps: usize,
    /// The training steps of an epoch.
    pub epoch: f64,
    /// The loss and the pseudo-Dice on validation patches, each time.
    pub patch_validation: f64,
    /// The metrics on whole volumes, each time.
    pub volume_validation: f64,
    /// Whether the time of the metrics themselves is included in that of the volumes.
    pub includes_metrics: bool,
    /// The whole run.
    pub total: f64,
}

/// Preprocesses a few subjects into `cache`, takes a few steps, and returns how long the run will take; `None` when `stop`
/// was set before the end.
///
/// # Errors
/// When a subject cannot be preprocessed or the device fails.
pub fn estimate(
    plan: &Plan,
    cache: &Cache,
    stop: &AtomicBool,
    emit: &mut (dyn FnMut(Event) + Send),
) -> Result<Option<TimeEstimate>, TrainError> {
    let sample = sample(plan);
    let start = Instant::now();
    let Some(dataset) = PreprocessedDataset::prepare(&sample, cache, stop, emit)? else { return Ok(None) };
    cache.finish()?;
    let num_prepared = sample.parts.train.len() + sample.parts.val.len();
    let num_subjects = plan.parts.train.len() + plan.parts.val.len();
    let preprocessing = start.elapsed().as_secs_f64() / num_prepared as f64 * num_subjects as f64;
    let dataset = Arc::new(dataset);
    let mut trainer = Trainer::new(&sample)?;
    trainer.load_initial_weights(&sample)?;
    let patch = time_patches(&sample, &dataset)?;
    let Some((computing, num_steps)) = time_steps(&sample, &dataset, &mut trainer, stop)? else { return Ok(None) };
    // At first the queue hides how long patches take: it is filled while the first step is computed.
    let making = patch * patches_per_step(plan).min(plan.patches_per_epoch) as f64;
    let step = match plan.experiment.queue.workers {
        0 => computing,
        workers => computing.max(making / workers.min(rayon::current_num_threads()) as f64),
    };
    let epoch = step * plan.steps_per_epoch as f64;
    let patch_validation = time_patch_validation(plan, &sample, &dataset, &trainer, stop)?;
    let (volume_validation, includes_metrics) = time_volumes(plan, &sample, &dataset, &trainer, stop)?;
    if stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let (epochs, validate) = (plan.experiment.train.epochs.get(), &plan.experiment.validate);
    let total = preprocessing
        + epoch * epochs as f64
        + patch_validation * count(epochs, validate.every_epochs.get()) as f64
        + volume_validation * count(epochs, plan.experiment.volume_interval()) as f64;
    Ok(Some(TimeEstimate {
        preprocessing,
        patch,
        step,
        num_steps,
        epoch,
        patch_validation,
        volume_validation,
        includes_metrics,
        total,
    }))
}

/// Returns the number of validations in a run: one every `every` epochs, and one after the last.
fn count(epochs: usize, every: usize) -> usize {
    epochs.div_ceil(every)
}

/// Returns the plan with a few subjects of median size, and enough patches of them for the timed steps.
fn sample(plan: &Plan) -> Plan {
    let median = |names: &[String], count: usize| -> Vec<String> {
        let mut names = names.to_vec();
        names.sort_by_key(|name| plan.cases[name].outgoing.num_voxels());
        let first = (names.len() - count.min(names.len())) / 2;
        names.into_iter().skip(first).take(count).collect()
    };
    let mut sample = plan.clone();
    (sample.parts.train, sample.parts.val) = (median(&plan.parts.train, MAX_SUBJECTS), median(&plan.parts.val, 1));
    let num_subjects = sample.parts.train.len();
    let per_step = patches_per_step(plan);
    let samples = &mut sample.experiment.queue.samples_per_volume;
    if per_step <= plan.patches_per_epoch {
        *samples = (*samples).max(
            (per_step * (MAX_STEPS + 1)).div_ceil(num_subjects).try_into().expect("a step has at least one patch"),
        );
    }
    (sample.patches_per_epoch, sample.steps_per_epoch) = sample.experiment.epoch_size(num_subjects);
    sample
}

/// Returns the seconds of making a patch in one thread.
fn time_patches(sample: &Plan, dataset: &PreprocessedDataset) -> Result<f64, TrainError> {
    let name = &sample.parts.train[0];
    let make = |index: usize| {
        let request = Request { subject: 0, index, index_in_batch: 0 };
        let patch = dataset.patch(PatchUse::Training { epoch: 1 }, name, request);
        patch.map(drop).map_err(|source| TrainError::Patch { subject: name.clone(), index, source })
    };
    // The first patch of a volume also indexes its labels.
    make(0)?;
    let start = Instant::now();
    let count = MAX_PATCHES.min(sample.experiment.queue.samples_per_volume.get());
    (0..count).try_for_each(make)?;
    Ok(start.elapsed().as_secs_f64() / count as f64)
}

/// Returns the median seconds of a step, and the number of timed steps; `None` when `stop` was set.
fn time_steps(
    sample: &Plan,
    dataset: &Arc<PreprocessedDataset>,
    trainer: &mut Trainer,
    stop: &AtomicBool,
) -> Result<Option<(f64, usize)>, TrainError> {
    let mut progress = TrainingProgress::start();
    let mut steps = PrefetchedSteps::start(sample, dataset, &progress);
    // The first step may compile kernels and fills the queue.
    steps.take_step(trainer, &mut progress)?;
    let start = Instant::now();
    let mut seconds = Vec::new();
    while seconds.len() < MAX_STEPS && !(seconds.len() >= MIN_STEPS && start.elapsed() > ENOUGH) {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if progress.steps_in_epoch == sample.steps_per_epoch {
            (progress.epoch, progress.steps_in_epoch) = (progress.epoch + 1, 0);
            steps = PrefetchedSteps::start(sample, dataset, &progress);
        }
        let start = Instant::now();
        steps.take_step(trainer, &mut progress)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(Some((seconds[seconds.len() / 2], seconds.len())))
}

/// Returns the seconds of a validation on patches: of the loss and of the pseudo-Dice.
fn time_patch_validation(
    plan: &Plan,
    sample: &Plan,
    dataset: &Arc<PreprocessedDataset>,
    trainer: &Trainer,
    stop: &AtomicBool,
) -> Result<f64, TrainError> {
    let validate = &plan.experiment.validate;
    if sample.parts.val.is_empty() {
        return Ok(0.0);
    }
    let mut seconds = 0.0;
    if validate.patches {
        let mut one = sample.clone();
        one.experiment.queue.samples_per_volume = plan.experiment.queue.samples_per_volume;
        let start = Instant::now();
        validate::patch_loss(&one, dataset, trainer, stop)?;
        seconds += start.elapsed().as_secs_f64() * plan.parts.val.len() as f64;
    }
    if let Some(PseudoDice { batches }) = &validate.pseudo_dice {
        let start = Instant::now();
        pseudo_dice::count(sample, dataset, trainer, (1, 1), stop)?;
        seconds += start.elapsed().as_secs_f64() * batches.get() as f64;
    }
    Ok(seconds)
}

/// Returns the seconds of a validation on whole volumes, and whether the metrics are included.
fn time_volumes(
    plan: &Plan,
    sample: &Plan,
    dataset: &PreprocessedDataset,
    trainer: &Trainer,
    stop: &AtomicBool,
) -> Result<(f64, bool), TrainError> {
    let Some(name) = sample.parts.val.first() else { return Ok((0.0, true)) };
    let inference = &plan.experiment.inference;
    let windows = |name: &String| inference.num_windows(plan.cases[name].outgoing.shape, plan.window) as f64;
    let (of_one, of_all) = (windows(name), plan.parts.val.iter().map(windows).sum::<f64>());
    let batch = inference.batch_size.get();
    let values = batch * plan.network_channels() * plan.window.iter().product::<usize>();
    let forward = || trainer.logits(vec![0.0; values], [batch, plan.network_channels()], plan.window).map(drop);
    forward()?;
    let start = Instant::now();
    forward()?;
    let window = start.elapsed().as_secs_f64() / batch as f64;
    if window * of_one > MAX_VOLUME_SECONDS {
        return Ok((window * of_all, false));
    }
    let start = Instant::now();
    validate::volumes(sample, dataset, trainer, 1, stop, &mut |_| Ok(()))?;
    Ok((start.elapsed().as_secs_f64() / of_one * of_all, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::check::{Environment, check};
    use crate::experiment::load::parse;
    use crate::preprocessing::make_phantoms;

    #[test]
    fn validations_are_counted_with_the_one_after_the_last_epoch() {
        assert_eq!([(10, 5), (11, 5), (1, 10), (3, 1)].map(|(epochs, every)| count(epochs, every)), [2, 3, 1, 3]);
    }

    #[test]
    fn the_total_is_the_sum_of_the_parts() {
        let text = "data: { source: { phantom: { subjects: 6, shape: [16, 16, 16], spacing_mm: [20, 20, 18] } } }\n\
                    sampler: { uniform: { patch: [8, 8, 8] } }\nmodel: { unet: { widths: [2, 4] } }\nloss: { dice: {} }\n\
                    optimizer: { adam: { learning_rate: 1e-4 } }\ntrain: { epochs: 7 }\ndevice: flex\n\
                    validate: { volumes: { every_epochs: 10 } }\n";
        let folder = tempfile::tempdir().unwrap();
        let here = Environment { cache_dir: folder.path().into(), memory_bytes: None };
        let plan = check(&parse("a.yaml", text).unwrap(), &here, None).unwrap();
        make_phantoms(&plan.experiment.data.source, folder.path(), &mut |_, _| {}).unwrap();
        let cache = Cache::new(folder.path());
        let estimate = estimate(&plan, &cache, &AtomicBool::new(false), &mut |_| {}).unwrap().unwrap();
        assert!(estimate.step > 0.0 && estimate.volume_validation > 0.0 && estimate.includes_metrics, "{estimate:?}");
        let expected = estimate.preprocessing
            + 7.0 * (estimate.step * plan.steps_per_epoch as f64 + estimate.patch_validation)
            + estimate.volume_validation;
        assert!((estimate.total - expected).abs() < 1e-9, "{estimate:?}");
        assert!(super::estimate(&plan, &cache, &AtomicBool::new(true), &mut |_| {}).unwrap().is_none());
    }
}
