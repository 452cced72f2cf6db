//! Validation: the loss on sampled patches, and the metrics of whole volumes.

use std::sync::atomic::{AtomicBool, Ordering};

use super::dataset::{PatchUse, PreprocessedDataset};
use super::step::Trainer;
use super::{TrainError, pseudo_dice};
use crate::experiment::plan::Plan;
use crate::inference::sliding_window::{LabelMapOutput, predict_label_map};
use crate::prediction::sliding_window;
use dataset::queue::Request;
use metrics::{CaseScores, Pair, summarize_all};
use run_folder::event::{CaseRecord, Columns, Event};

/// Returns the columns of scores of a plan: those of its metrics, then those of the pseudo-Dice.
pub fn columns(plan: &Plan) -> Columns {
    let classes = plan.targets.classes();
    let mut columns = Columns::default();
    for metric in &plan.experiment.metrics {
        columns.metrics.extend(metric.summary_columns(&classes).iter().map(|name| format!("val_{name}")));
        columns.cases.extend(metric.case_columns(&classes));
    }
    if plan.experiment.validate.pseudo_dice.is_some() {
        columns.metrics.extend(pseudo_dice::columns(&plan.targets));
    }
    columns
}

/// Computes the mean loss over the validation patches, which are the same each time; returns `None` when `stop` was set
/// or there are no patches.
///
/// # Errors
/// When a patch cannot be made or the device fails.
pub fn patch_loss(
    plan: &Plan,
    dataset: &PreprocessedDataset,
    trainer: &Trainer,
    stop: &AtomicBool,
) -> Result<Option<f64>, TrainError> {
    let per_volume = plan.experiment.queue.samples_per_volume.get();
    let batch_size = plan.experiment.train.batch_size.get();
    let names = &plan.parts.val;
    let request = |number: usize| Request {
        subject: number / per_volume,
        index: number % per_volume,
        index_in_batch: number % batch_size,
    };
    let requests: Vec<Request> = (0..names.len() * per_volume).map(request).collect();
    let mut sum = 0.0;
    for batch in requests.chunks(batch_size) {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let patches = batch
            .iter()
            .map(|request| {
                let name = &names[request.subject];
                let patch = dataset.patch(PatchUse::Validation, name, *request);
                patch.map_err(|source| TrainError::Patch { subject: name.clone(), index: request.index, source })
            })
            .collect::<Result<Vec<_>, _>>()?;
        sum += trainer.loss(&patches)? * patches.len() as f64;
    }
    Ok((!requests.is_empty()).then(|| sum / requests.len() as f64))
}

/// Scores every validation volume on the grid of its image file; returns a score for each column of the plan's metrics, or
/// `None` when `stop` was set before the last volume.
///
/// # Errors
/// When a volume cannot be read or the device fails.
pub fn volumes(
    plan: &Plan,
    dataset: &PreprocessedDataset,
    trainer: &Trainer,
    epoch: usize,
    stop: &AtomicBool,
    emit: &mut dyn FnMut(Event) -> Result<(), TrainError>,
) -> Result<Option<Vec<Option<f64>>>, TrainError> {
    // The scores of each case by each metric.
    let mut scores: Vec<Vec<CaseScores>> = Vec::new();
    for (done, name) in plan.parts.val.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match score(plan, dataset, trainer, name, stop) {
            Err(TrainError::Stopped) => return Ok(None),
            scored => scores.push(scored?),
        }
        emit(Event::Validating { done: done + 1, total: plan.parts.val.len() })?;
    }
    // Rows are written together, so that an interrupted validation writes none.
    for (name, scores) in plan.parts.val.iter().zip(&scores) {
        let scores = scores.iter().flat_map(|metric| metric.scores.iter().copied()).collect();
        emit(Event::Case(CaseRecord { epoch, subject: name.clone(), scores }))?;
    }
    Ok(Some(summarize_all(&plan.experiment.metrics, &scores, &plan.targets.classes())))
}

/// Computes the scores of one volume, metric by metric.
fn score(
    plan: &Plan,
    dataset: &PreprocessedDataset,
    trainer: &Trainer,
    name: &str,
    stop: &AtomicBool,
) -> Result<Vec<CaseScores>, TrainError> {
    let case = &plan.cases[name];
    let (truth, mapping) = dataset.ground_truth(case)?;
    let targets = &plan.targets;
    let output = LabelMapOutput { grid: &case.grid, targets, postprocess: &plan.experiment.postprocess };
    let sliding_window = sliding_window(&plan.experiment, plan.window, targets);
    let forward = |windows, count| match stop.load(Ordering::Relaxed) {
        true => Err(TrainError::Stopped),
        false => trainer.logits(windows, [count, plan.network_channels()], plan.window),
    };
    let prediction = predict_label_map(&dataset.network_input(name), &mapping, &sliding_window, &output, forward)?;
    let (shape, spacing) = (truth.shape, case.grid.spacing());
    Ok(targets.score(&plan.experiment.metrics, &Pair { prediction: &prediction, truth: &truth, shape, spacing }))
}
