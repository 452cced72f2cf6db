//! How good the network is now: the loss on sampled patches, and the scores of whole volumes.

use std::sync::atomic::{AtomicBool, Ordering};

use super::TrainError;
use super::cases::{Cases, Part};
use super::step::Trainer;
use crate::infer::predict::{self, Probabilities};
use crate::loss::Loss;
use crate::metrics::{CaseScores, Pair, score_all};
use crate::queue::Request;
use crate::run::event::{CaseRecord, Columns, Event};
use crate::spec::plan::Plan;

/// The columns of scores that a plan's metrics fill.
pub fn columns(plan: &Plan) -> Columns {
    let labels = labels(plan);
    let mut columns = Columns::default();
    for metric in &plan.experiment.metrics {
        columns.metrics.extend(metric.summary_columns(&labels).iter().map(|name| format!("val_{name}")));
        columns.cases.extend(metric.case_columns(&labels));
    }
    columns
}

fn labels(plan: &Plan) -> Vec<(crate::data::volume::Label, String)> {
    plan.labels.iter().map(|label| (label.value, label.name.clone())).collect()
}

/// The mean loss over the validation patches, the same ones each time.
///
/// # Errors
/// When a patch cannot be made or the device fails.
pub fn patch_loss(plan: &Plan, cases: &Cases, trainer: &Trainer, stop: &AtomicBool) -> Result<Option<f64>, TrainError> {
    let per_volume = plan.experiment.queue.samples_per_volume.get();
    let batch_size = plan.experiment.train.batch_size.get();
    let names = &plan.parts.val;
    let request = |place: usize| Request {
        subject: place / per_volume,
        index: place % per_volume,
        place_in_batch: place % batch_size,
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
                let patch = cases.patch(Part::Val, name, *request);
                patch.map_err(|source| TrainError::Patch { subject: name.clone(), index: request.index, source })
            })
            .collect::<Result<Vec<_>, _>>()?;
        sum += trainer.loss_of(&patches)? * patches.len() as f64;
    }
    Ok((!requests.is_empty()).then(|| sum / requests.len() as f64))
}

/// Scores every validation volume on the grid of its image file and gives a score for each of [`columns`]' metrics.
///
/// Returns `None` when it was stopped before the last volume.
///
/// # Errors
/// When a volume cannot be read or the device fails.
pub fn volumes(
    plan: &Plan,
    cases: &Cases,
    trainer: &Trainer,
    epoch: usize,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(Event) -> Result<(), TrainError>,
) -> Result<Option<Vec<Option<f64>>>, TrainError> {
    // The scores of each case by each metric.
    let mut scores: Vec<Vec<CaseScores>> = Vec::new();
    for (done, name) in plan.parts.val.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        scores.push(score(plan, cases, trainer, name)?);
        tell(Event::Validating { done: done + 1, total: plan.parts.val.len() })?;
    }
    // Rows are written together, so that an interrupted validation leaves none behind.
    for (name, scores) in plan.parts.val.iter().zip(&scores) {
        let scores = scores.iter().flat_map(|metric| metric.scores.iter().copied()).collect();
        tell(Event::Case(CaseRecord { epoch, subject: name.clone(), scores }))?;
    }
    Ok(Some(summarise(plan, &scores)))
}

/// The scores of one volume, metric by metric.
fn score(plan: &Plan, cases: &Cases, trainer: &Trainer, name: &str) -> Result<Vec<CaseScores>, TrainError> {
    let image = &cases.get(name).volume.image;
    let inference = &plan.experiment.inference;
    let logits = predict::logits(image, plan.window, plan.num_classes(), inference, |windows, count| {
        trainer.logits(windows, [count, plan.channels], plan.window)
    })?;
    let (truth, origin) = cases.truth(&plan.cases[name])?;
    let values: Vec<_> = plan.labels.iter().map(|label| label.value).collect();
    let mut prediction = logits.into_probabilities(probabilities(&plan.experiment.loss)).label_map(&origin, &values);
    for step in &plan.experiment.postprocess {
        step.apply(&mut prediction, truth.shape);
    }
    let spacing = plan.cases[name].grid.spacing();
    let pair = Pair { prediction: &prediction, truth: &truth, shape: truth.shape, spacing };
    Ok(score_all(&plan.experiment.metrics, &pair, &labels(plan)))
}

/// How the logits of a network trained with this loss become probabilities.
fn probabilities(loss: &Loss) -> Probabilities {
    match loss {
        Loss::BinaryCrossEntropy(_) => Probabilities::Sigmoid,
        Loss::CrossEntropy(_) | Loss::Dice(_) | Loss::DiceCrossEntropy(_) | Loss::Focal(_) => Probabilities::Softmax,
    }
}

/// The scores of all cases, metric by metric.
fn summarise(plan: &Plan, cases: &[Vec<CaseScores>]) -> Vec<Option<f64>> {
    let labels = labels(plan);
    let metrics = plan.experiment.metrics.iter().enumerate();
    let summary = metrics.flat_map(|(place, metric)| {
        let own: Vec<CaseScores> = cases.iter().map(|case| case[place].clone()).collect();
        metric.summarise(&own, &labels)
    });
    summary.collect()
}
