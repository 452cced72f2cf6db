//! The training loop, top to bottom in the order things happen.

use std::sync::Arc;
use std::time::Instant;

use super::checkpoint::{BestEpoch, CheckpointSchedule, State, TrainingProgress, keep_best};
use super::dataset::PreprocessedDataset;
use super::prefetch::PrefetchedSteps;
use super::step::Trainer;
use super::{TrainError, TrainingContext, pseudo_dice, validate};
use crate::experiment::plan::Plan;
use crate::experiment::spec::PseudoDice;
use run_folder::event::{Columns, EpochRecord, Event, StepRecord, Timing};
use run_folder::memory::peak_resident_bytes;

/// How training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Done,
    /// Early stopping: the monitored column has not improved for `checkpoint.patience_epochs`.
    EarlyStopped,
    /// The stop flag was set. Training can be resumed from its checkpoint, or from the start if it has none.
    Stopped,
}

/// Trains what a plan declares, from `state` or from the start.
///
/// # Errors
/// When a file, the disk or the device fails, or the loss is not finite. Records and checkpoints remain.
pub fn train(plan: &Plan, state: Option<State>, context: &mut TrainingContext) -> Result<Outcome, TrainError> {
    let outcome = train_epochs(plan, state, context)?;
    context.cache.finish()?;
    context.emit(&Event::Finished)?;
    Ok(outcome)
}

fn train_epochs(plan: &Plan, state: Option<State>, context: &mut TrainingContext) -> Result<Outcome, TrainError> {
    let spec = &plan.experiment;
    let monitor = &spec.checkpoint.monitor;

    // Build the network, with the weights of the checkpoint or initial ones.
    let mut trainer = Trainer::new(plan)?;
    let mut progress = match state {
        Some(state) => {
            trainer.restore(&state)?;
            state.progress
        }
        None => {
            trainer.load_initial_weights(plan)?;
            TrainingProgress::start()
        }
    };

    // Preprocess the subjects.
    let Some(dataset) = prepare(plan, context)? else { return Ok(Outcome::Stopped) };
    dataset.preprocessing.write(context.folder)?;
    context.write_fingerprint(dataset.fingerprint.as_ref())?;
    context.check_inputs(&dataset.inputs)?;
    context.emit(&Event::Inputs(dataset.inputs.clone()))?;
    let dataset = Arc::new(dataset);
    let columns = validate::columns(plan);
    let mut schedule = CheckpointSchedule::new(&spec.checkpoint);

    while !progress.ended_early && progress.epoch <= spec.train.epochs.get() {
        let epoch = progress.epoch;
        let epoch_start = Instant::now();

        // Train: forward, loss, backward, clip, optimizer step, record.
        let mut steps = PrefetchedSteps::start(plan, &dataset, &progress);
        let mut last = Instant::now();
        let mut waited = 0.0;
        let mut num_patches = 0;
        while progress.steps_in_epoch < plan.steps_per_epoch {
            if context.is_stop_requested() {
                context.commit(&state_of(&progress, &trainer), plan, false)?;
                return Ok(Outcome::Stopped);
            }
            context.cache.check_written()?;
            let (result, patches) = steps.take_step(&mut trainer, &mut progress)?;
            num_patches += patches;
            let wait_seconds = steps.wait_seconds() - waited;
            waited += wait_seconds;
            context.emit(&Event::Step(StepRecord {
                epoch,
                step: progress.step,
                train_loss: result.loss,
                grad_norm: result.grad_norm,
                patches,
                seconds: last.elapsed().as_secs_f64(),
                wait_seconds,
            }))?;
            last = Instant::now();
            if schedule.is_due(progress.step) {
                context.commit(&state_of(&progress, &trainer), plan, false)?;
                schedule.restart();
            }
        }
        drop(steps);
        let train_seconds = epoch_start.elapsed().as_secs_f64();

        // Validate: loss on patches, metrics on volumes, record.
        let validated = validate_epoch(plan, &dataset, &trainer, &progress, &columns, context)?;
        let Some(Validation { val_loss, scores, pseudo_dice_ema }) = validated else {
            context.commit(&state_of(&progress, &trainer), plan, false)?;
            return Ok(Outcome::Stopped);
        };
        let seconds = epoch_start.elapsed().as_secs_f64();
        let record = EpochRecord {
            epoch,
            step: progress.step,
            learning_rate: progress.learning_rate,
            train_loss: progress.loss_sum / plan.steps_per_epoch as f64,
            val_loss,
            scores,
            timing: Timing {
                seconds,
                wait_seconds: waited,
                train_seconds,
                validate_seconds: seconds - train_seconds,
                patches_per_second: num_patches as f64 / train_seconds,
                peak_memory_bytes: peak_resident_bytes().unwrap_or(0),
            },
        };
        context.emit(&Event::Epoch(record.clone()))?;

        // Checkpoint: the best weights, then the state.
        let monitored = monitored(&record, &columns, monitor);
        let mut is_best = false;
        if let Some(value) = monitored {
            let new = BestEpoch { epoch, value };
            let (keep, weights) = (spec.checkpoint.keep_best, trainer.prediction_weights());
            is_best = keep_best(context.folder, &mut progress.best, new, monitor, keep, &weights)?;
        }
        let ended_early = monitored.is_some() && is_patience_exhausted(plan, &progress, epoch);
        progress = TrainingProgress {
            epoch: epoch + 1,
            steps_in_epoch: 0,
            loss_sum: 0.0,
            ended_early,
            pseudo_dice_ema,
            ..progress
        };
        context.commit(&state_of(&progress, &trainer), plan, is_best)?;
        schedule.restart();
    }
    if progress.ended_early {
        return Ok(Outcome::EarlyStopped);
    }
    if progress.best.is_empty() && spec.checkpoint.keep_best > 0 {
        let message = format!(
            "{monitor} was undefined in every epoch, so there are no best weights; use the latest with `--checkpoint last`, or set checkpoint.monitor, for example to val_loss"
        );
        context.emit(&Event::Warning(message))?;
    }
    Ok(Outcome::Done)
}

/// Preprocesses the subjects; returns `None` when the stop flag was set.
fn prepare(plan: &Plan, context: &mut TrainingContext) -> Result<Option<PreprocessedDataset>, TrainError> {
    let mut failed = None;
    let (cache, listeners) = (context.cache, &mut context.listeners);
    let dataset = PreprocessedDataset::prepare(plan, cache, context.stop, &mut |event| {
        for listener in listeners.iter_mut() {
            if let Err(error) = listener.record(&event) {
                failed.get_or_insert(error);
            }
        }
    })?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(dataset),
    }
}

/// The results of a validation; loss and scores are empty in an epoch without one.
struct Validation {
    val_loss: Option<f64>,
    scores: Vec<Option<f64>>,
    /// The average of the pseudo-Dice after this epoch.
    pseudo_dice_ema: Option<f64>,
}

/// Validates if the plan asks for it in this epoch; returns `None` when the stop flag was set.
fn validate_epoch(
    plan: &Plan,
    dataset: &Arc<PreprocessedDataset>,
    trainer: &Trainer,
    progress: &TrainingProgress,
    columns: &Columns,
    context: &mut TrainingContext,
) -> Result<Option<Validation>, TrainError> {
    let (spec, epoch, before) = (&plan.experiment.validate, progress.epoch, progress.pseudo_dice_ema);
    let is_last = epoch == plan.experiment.train.epochs.get();
    let scores = vec![None; columns.metrics.len()];
    let mut validation = Validation { val_loss: None, scores, pseudo_dice_ema: before };
    let on_patches = is_last || epoch.is_multiple_of(spec.every_epochs.get());
    if spec.patches && on_patches {
        validation.val_loss = validate::patch_loss(plan, dataset, trainer, context.stop)?;
    }
    if let Some(PseudoDice { batches }) = spec.pseudo_dice.as_ref().filter(|_| on_patches)
        && let Some(counts) = pseudo_dice::count(plan, dataset, trainer, (epoch, batches.get()), context.stop)?
    {
        let (scores, after) = pseudo_dice::scores(&counts, before);
        let first = columns.metrics.len() - scores.len();
        validation.scores[first..].copy_from_slice(&scores);
        validation.pseudo_dice_ema = after;
    }
    if is_last || epoch.is_multiple_of(plan.experiment.volume_interval()) {
        let stop = context.stop;
        match validate::volumes(plan, dataset, trainer, epoch, stop, &mut |event| context.emit(&event))? {
            Some(scores) => validation.scores[..scores.len()].copy_from_slice(&scores),
            None => return Ok(None),
        }
    }
    Ok((!context.is_stop_requested()).then_some(validation))
}

fn state_of(progress: &TrainingProgress, trainer: &Trainer) -> State {
    let (weights, average, moments) = (trainer.weights(), trainer.weight_average(), trainer.moments());
    State { progress: progress.clone(), weights, average, moments }
}

/// Returns the value of the monitored column in this epoch.
fn monitored(record: &EpochRecord, columns: &Columns, monitor: &str) -> Option<f64> {
    match monitor {
        "train_loss" => Some(record.train_loss),
        "val_loss" => record.val_loss,
        _ => {
            let column = columns.metrics.iter().position(|name| name == monitor)?;
            record.scores[column]
        }
    }
}

fn is_patience_exhausted(plan: &Plan, progress: &TrainingProgress, epoch: usize) -> bool {
    let patience = plan.experiment.checkpoint.patience_epochs;
    let best = progress.best.first().map_or(0, |best| best.epoch);
    patience.is_some_and(|patience| epoch - best >= patience.get())
}
