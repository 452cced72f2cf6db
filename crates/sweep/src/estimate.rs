//! Estimates of a run's disk space, from its plan, and time, from earlier runs or one timed step.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use walkdir::WalkDir;

use dataset::cache::num_bytes;
use dataset::patch::Patch;
use engine::experiment::load;
use engine::experiment::plan::{Case, Plan};
use engine::training::TrainError;
use engine::training::step::Trainer;
use run_folder::plan_keys::{WITHOUT_EFFECT, remove};
use run_folder::table::Table;

/// Bytes of a row of `steps.csv`.
const STEP_ROW_BYTES: u64 = 55;

/// Bytes of a row of the other tables.
const OTHER_ROW_BYTES: u64 = 80;

/// Bytes of the plots.
const PLOTS_BYTES: u64 = 300_000;

/// Bytes of a TensorBoard event.
const EVENT_BYTES: u64 = 60;

/// Estimates the size of a run folder in bytes.
pub fn run_bytes(plan: &Plan) -> u64 {
    let spec = &plan.experiment;
    let weights = 4 * plan.num_parameters as u64;
    let checkpoint = &spec.checkpoint;
    // The best checkpoints have weights only, the last ones also their average and the optimizer's two moments.
    let best = (checkpoint.keep_best as u64 + u64::from(checkpoint.keep_best > 0)) * weights;
    let averages = u64::from(spec.train.weight_average.is_some());
    let last = checkpoint.keep_last.get() as u64 * (4 + averages) * weights;
    let epochs = spec.train.epochs.get() as u64;
    let evaluations = (epochs / spec.volume_interval() as u64).max(1);
    let rows = 2 * epochs + evaluations * plan.parts.val.len() as u64;
    best + last + plan.num_steps() as u64 * (STEP_ROW_BYTES + 2 * EVENT_BYTES) + rows * OTHER_ROW_BYTES + PLOTS_BYTES
}

/// Returns the size of the preprocessed volumes in bytes; runs with the same preprocessing share them.
pub fn cache_bytes(plan: &Plan) -> u64 {
    let case_bytes = |case: &Case| {
        let weights = case.weight_maps.len() as u64 * num_bytes(1, case.outgoing.shape, false);
        let background = u64::from(plan.experiment.masks_background()) * num_bytes(1, case.outgoing.shape, false);
        num_bytes(plan.channels, case.outgoing.shape, case.subject.label.is_some()) + weights + background
    };
    plan.cases.values().map(case_bytes).sum()
}

/// Returns a key of everything in a plan that affects the duration of an epoch.
fn workload(plan: &Plan) -> String {
    let mut tree = serde_json::to_value(&plan.experiment).expect("an experiment is plain data");
    // The number of workers does not affect results, but how long an epoch takes.
    let without_effect = WITHOUT_EFFECT.into_iter().filter(|key| *key != "queue.workers");
    let own = [
        "seed",
        "loss",
        "optimizer",
        "schedule",
        "checkpoint",
        "train.epochs",
        "data.split.fold.index",
        "data.split.nnunet.index",
    ];
    for key in without_effect.chain(own) {
        remove(&mut tree, key);
    }
    format!("{} {tree}", plan.device)
}

/// Durations of epochs of earlier runs, by workload.
#[derive(Clone, Debug, Default)]
pub struct History {
    seconds: BTreeMap<String, (f64, usize)>,
}

impl History {
    /// Reads the runs below a folder; unreadable runs are skipped.
    pub fn read(runs: &Path, plan_of: impl Fn(&load::Document) -> Option<Plan>) -> Self {
        let mut history = Self::default();
        let entries = WalkDir::new(runs).max_depth(3).sort_by_file_name().into_iter().flatten();
        for entry in entries.filter(|entry| entry.file_name() == "timing.csv") {
            let Some(root) = entry.path().parent() else { continue };
            let Ok(table) = Table::read(entry.path()) else { continue };
            let points = table.points("epoch", "seconds");
            let plan = load::load(&root.join("plan.yaml"), &[]).ok().and_then(|document| plan_of(&document));
            if let (Some(plan), false) = (plan, points.is_empty()) {
                let (sum, count) = history.seconds.entry(workload(&plan)).or_insert((0.0, 0));
                *sum += points.iter().map(|(_, seconds)| seconds).sum::<f64>();
                *count += points.len();
            }
        }
        history
    }

    /// Estimates the duration of a run in seconds from earlier runs with the same workload.
    pub fn seconds(&self, plan: &Plan) -> Option<f64> {
        let (sum, count) = self.seconds.get(&workload(plan))?;
        Some(sum / *count as f64 * plan.experiment.train.epochs.get() as f64)
    }
}

/// Durations of epochs that were estimated from a timed step, by workload.
#[derive(Clone, Debug, Default)]
pub struct Stopwatch {
    seconds: BTreeMap<String, f64>,
}

impl Stopwatch {
    /// Estimates the duration of a run in seconds from a timed step on a small patch.
    ///
    /// # Errors
    /// If the device cannot be opened or fails.
    pub fn seconds(&mut self, plan: &Plan) -> Result<f64, TrainError> {
        let key = workload(plan);
        let epoch = match self.seconds.get(&key) {
            Some(seconds) => *seconds,
            None => {
                let seconds = epoch_seconds(plan)?;
                self.seconds.insert(key, seconds);
                seconds
            }
        };
        Ok(epoch * plan.experiment.train.epochs.get() as f64)
    }
}

/// The approximate number of voxels of the timed patch.
const TIMED_VOXELS: usize = 32 * 32 * 32;

fn epoch_seconds(plan: &Plan) -> Result<f64, TrainError> {
    let stride = plan.experiment.model.stride();
    let mut shape = plan.patch;
    // Halve the longest axis while the network accepts it.
    while shape.iter().product::<usize>() > TIMED_VOXELS {
        let Some(axis) = (0..3)
            .filter(|axis| shape[*axis].is_multiple_of(2 * stride[*axis]) && shape[*axis] >= 4 * stride[*axis])
            .max_by_key(|axis| shape[*axis])
        else {
            break;
        };
        shape[axis] /= 2;
    }
    let voxels: usize = shape.iter().product();
    let patch = Patch {
        subject: "a patch of zeros".to_owned(),
        index: 0,
        start: [0; 3],
        affine: volume::Affine::IDENTITY,
        shape,
        channels: plan.network_channels(),
        image: vec![0.0; plan.network_channels() * voxels],
        label: vec![0; voxels],
        weights: Vec::new(),
        params: Vec::new(),
        mask_params: Vec::new(),
    };
    let mut trainer = Trainer::new(plan)?;
    // The first step includes compilation and allocation.
    trainer.step(&[vec![patch.clone()]], 0.0, 0)?;
    let start = Instant::now();
    trainer.step(&[vec![patch.clone()]], 0.0, 1)?;
    let step = start.elapsed().as_secs_f64() / voxels as f64;
    let start = Instant::now();
    trainer.loss(&[patch])?;
    let forward = start.elapsed().as_secs_f64() / voxels as f64;

    let spec = &plan.experiment;
    let patch_voxels = plan.patch.iter().product::<usize>() as f64;
    let training = plan.patches_per_epoch as f64 * patch_voxels * step;
    let of_loss = if spec.validate.patches { plan.parts.val.len() * spec.queue.samples_per_volume.get() } else { 0 };
    let batches = spec.validate.pseudo_dice.as_ref().map_or(0, |pseudo_dice| pseudo_dice.batches.get());
    let val_patches = (of_loss + batches * spec.train.batch_size.get()) as f64;
    let patches = val_patches * patch_voxels * forward / spec.validate.every_epochs.get() as f64;
    let windows: usize = plan
        .parts
        .val
        .iter()
        .filter_map(|name| plan.cases.get(name))
        .map(|case| spec.inference.num_windows(case.outgoing.shape, plan.window))
        .sum();
    let window_voxels = plan.window.iter().product::<usize>() as f64;
    let evaluations = (1.0 / spec.volume_interval() as f64).max(1.0 / spec.train.epochs.get() as f64);
    Ok(training + patches + windows as f64 * window_voxels * forward * evaluations)
}
