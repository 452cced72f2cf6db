//! The training loop, top to bottom in the order things happen.
//!
//! It has no hooks: what varies is data in the plan. It emits events and does not know who listens.

use std::sync::Arc;
use std::time::Instant;

pub mod cases;
pub mod checkpoint;
mod error;
mod feed;
pub mod head;
pub mod input;
pub mod inputs;
pub mod parity;
pub mod predictor;
pub mod prepare;
pub mod replay;
mod session;
pub mod step;
pub mod validate;

pub use error::TrainError;
pub use session::Session;

use cases::{Cases, Part};
use checkpoint::{BestEpoch, Progress, State};
use feed::Feed;
use session::Pace;
use step::Trainer;

use crate::experiment::plan::Plan;
use dataset::queue::{PatchOrder, Queue, assign_batch_indices, delivery_order, epoch_order};
use random::Seed;
use run_folder::event::{Columns, EpochRecord, Event, StepRecord, Timing};
use run_folder::memory::peak_resident_bytes;

/// How training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Done,
    /// The monitored column has not become better for `checkpoint.patience_epochs`.
    Early,
    /// It was told to stop, and can go on from its checkpoint, or from the start where it had not begun.
    Stopped,
}

/// Trains what a plan declares, from `state` on or from the start.
///
/// # Errors
/// When the world fails or the loss leaves the finite numbers. What was recorded and checkpointed stays.
pub fn run(plan: &Plan, state: Option<State>, session: &mut Session) -> Result<Outcome, TrainError> {
    let outcome = run_epochs(plan, state, session)?;
    session.cache.finish().map_err(TrainError::Cache)?;
    session.tell(&Event::Finished)?;
    Ok(outcome)
}

fn run_epochs(plan: &Plan, state: Option<State>, session: &mut Session) -> Result<Outcome, TrainError> {
    let spec = &plan.experiment;
    let monitor = &spec.checkpoint.monitor;
    let mut trainer = Trainer::new(plan)?;
    let mut progress = match state {
        Some(state) => {
            trainer.restore(&state)?;
            state.progress
        }
        None => {
            trainer.start(plan)?;
            Progress::start()
        }
    };
    let Some(cases) = prepare(plan, session)? else { return Ok(Outcome::Stopped) };
    cases.head.record(session.folder)?;
    session.refuse_other_inputs(&cases.inputs)?;
    session.tell(&Event::Inputs(cases.inputs.clone()))?;
    let cases = Arc::new(cases);
    let columns = validate::columns(plan);
    let mut pace = Pace::new(&spec.checkpoint);

    while !progress.ended_early && progress.epoch <= spec.train.epochs.get() {
        let epoch = progress.epoch;
        let epoch_start = Instant::now();

        // Train.
        let mut feed = Feed::start(plan, &cases, &progress);
        let mut last = Instant::now();
        let mut waited = 0.0;
        let mut num_patches = 0;
        while progress.steps_in_epoch < plan.steps_per_epoch {
            if session.is_stopped() {
                session.commit(&state_of(&progress, &trainer), plan, false)?;
                return Ok(Outcome::Stopped);
            }
            session.cache.check_written().map_err(TrainError::Cache)?;
            let (outcome, patches) = feed.take_step(&mut trainer, &mut progress)?;
            num_patches += patches;
            let wait_seconds = feed.wait_seconds() - waited;
            waited += wait_seconds;
            session.tell(&Event::Step(StepRecord {
                epoch,
                step: progress.step,
                train_loss: outcome.loss,
                grad_norm: outcome.grad_norm,
                patches,
                seconds: last.elapsed().as_secs_f64(),
                wait_seconds,
            }))?;
            last = Instant::now();
            if pace.is_due(progress.step) {
                session.commit(&state_of(&progress, &trainer), plan, false)?;
                pace.note();
            }
        }
        drop(feed);
        let train_seconds = epoch_start.elapsed().as_secs_f64();

        // Validate.
        let validated = validate_epoch(plan, &cases, &trainer, epoch, &columns, session)?;
        let Some(Validation { val_loss, scores }) = validated else {
            session.commit(&state_of(&progress, &trainer), plan, false)?;
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
        session.tell(&Event::Epoch(record.clone()))?;

        // Keep the weights.
        let monitored = monitored(&record, &columns, monitor);
        let mut is_best = false;
        if let Some(value) = monitored {
            let new = BestEpoch { epoch, value };
            let (keep, weights) = (spec.checkpoint.keep_best, trainer.weights());
            is_best = checkpoint::keep_best(session.folder, &mut progress.best, new, monitor, keep, &weights)?;
        }
        let ended_early = monitored.is_some() && is_patience_over(plan, &progress, epoch);
        progress = Progress { epoch: epoch + 1, steps_in_epoch: 0, loss_sum: 0.0, ended_early, ..progress };
        session.commit(&state_of(&progress, &trainer), plan, is_best)?;
        pace.note();
    }
    if progress.ended_early {
        return Ok(Outcome::Early);
    }
    if progress.best.is_empty() && spec.checkpoint.keep_best > 0 {
        let message = format!("{monitor} was undefined in every epoch, so there are no best weights");
        session.tell(&Event::Warning(message))?;
    }
    Ok(Outcome::Done)
}

/// Makes the preprocessed volumes ready; `None` when it was told to stop.
fn prepare(plan: &Plan, session: &mut Session) -> Result<Option<Cases>, TrainError> {
    let mut failed = None;
    let (cache, listeners) = (session.cache, &mut session.listeners);
    let cases = Cases::prepare(plan, cache, session.stop, &mut |event| {
        for listener in listeners.iter_mut() {
            if let Err(error) = listener.record(&event) {
                failed.get_or_insert(error);
            }
        }
    })?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(cases),
    }
}

/// Patches of a full optimiser step.
pub fn patches_per_step(plan: &Plan) -> usize {
    let train = &plan.experiment.train;
    train.batch_size.get() * train.accumulate_batches.get()
}

/// The training patches of an epoch, counted from 1, without the first `skip`: the very ones that training sees.
pub fn patches(plan: &Plan, cases: &Arc<Cases>, epoch: usize, skip: usize) -> Queue {
    let spec = &plan.experiment;
    let seed = Seed(spec.seed);
    let names = Arc::new(plan.parts.train.clone());
    let mut requests = epoch_order(seed, epoch as u64, names.len(), spec.queue.samples_per_volume.get());
    let delivery = delivery_order(seed, epoch as u64, requests.len(), spec.queue.max_length.get());
    assign_batch_indices(&mut requests, &delivery, spec.train.batch_size.get());
    let skip = skip.min(requests.len());
    let cases = Arc::clone(cases);
    let subjects = Arc::clone(&names);
    Queue::start(&spec.queue, PatchOrder { names, requests, delivery, skip }, move |request| {
        cases.patch(Part::Train { epoch }, &subjects[request.subject], request)
    })
}

/// What a validation gave; both parts are empty in an epoch without one.
struct Validation {
    val_loss: Option<f64>,
    scores: Vec<Option<f64>>,
}

/// Validates where the plan says so; `None` when it was told to stop.
fn validate_epoch(
    plan: &Plan,
    cases: &Cases,
    trainer: &Trainer,
    epoch: usize,
    columns: &Columns,
    session: &mut Session,
) -> Result<Option<Validation>, TrainError> {
    let spec = &plan.experiment.validate;
    let is_last = epoch == plan.experiment.train.epochs.get();
    let mut validation = Validation { val_loss: None, scores: vec![None; columns.metrics.len()] };
    if spec.patches && (is_last || epoch.is_multiple_of(spec.every_epochs.get())) {
        validation.val_loss = validate::patch_loss(plan, cases, trainer, session.stop)?;
    }
    if is_last || epoch.is_multiple_of(spec.volumes.every_epochs.get()) {
        let stop = session.stop;
        match validate::volumes(plan, cases, trainer, epoch, stop, &mut |event| session.tell(&event))? {
            Some(scores) => validation.scores = scores,
            None => return Ok(None),
        }
    }
    Ok((!session.is_stopped()).then_some(validation))
}

fn state_of(progress: &Progress, trainer: &Trainer) -> State {
    State { progress: progress.clone(), weights: trainer.weights(), moments: trainer.moments() }
}

/// The value of the monitored column in this epoch.
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

fn is_patience_over(plan: &Plan, progress: &Progress, epoch: usize) -> bool {
    let patience = plan.experiment.checkpoint.patience_epochs;
    let best = progress.best.first().map_or(0, |best| best.epoch);
    patience.is_some_and(|patience| epoch - best >= patience.get())
}
