//! How good the network is now: the loss on sampled patches, and the scores of whole volumes.

use std::sync::atomic::{AtomicBool, Ordering};

use super::TrainError;
use super::cases::{Cases, Part};
use super::step::Trainer;
use crate::infer::activation::Activation;
use crate::infer::predict::{self, Sight, Target};
use crate::loss::Loss;
use crate::metrics::mean;
use crate::queue::Request;
use crate::run::event::{CaseRecord, Columns, Event};
use crate::spec::experiment::Experiment;
use crate::spec::plan::Plan;

/// The columns of scores that a plan's metrics fill.
pub fn columns(plan: &Plan) -> Columns {
    let labels = labels(plan);
    let mut columns = Columns::default();
    for metric in &plan.experiment.metrics {
        let names = metric.columns(&labels);
        columns.metrics.extend(names.iter().map(|name| format!("val_{name}")));
        columns.metrics.push(format!("val_{}_mean", metric.name()));
        columns.cases.extend(names);
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
    let mut records = Vec::new();
    for (done, name) in plan.parts.val.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let scores = score(plan, cases, trainer, name)?;
        tell(Event::Validating { done: done + 1, total: plan.parts.val.len() })?;
        records.push(CaseRecord { epoch, subject: name.clone(), scores });
    }
    let summary = summarise(plan, &records);
    // Rows are written together, so that an interrupted validation leaves none behind.
    for record in records {
        tell(Event::Case(record))?;
    }
    Ok(Some(summary))
}

/// The scores of one volume, metric by metric.
fn score(plan: &Plan, cases: &Cases, trainer: &Trainer, name: &str) -> Result<Vec<Option<f64>>, TrainError> {
    let case = &plan.cases[name];
    let (truth, origin) = cases.truth(case)?;
    let values: Vec<_> = plan.labels.iter().map(|label| label.value).collect();
    let target = Target { grid: &case.grid, labels: &values, steps: &plan.experiment.postprocess };
    let sight = sight(&plan.experiment, plan.window, plan.num_classes());
    let forward = |windows, count| trainer.logits(windows, [count, plan.channels], plan.window);
    let prediction = predict::label_map(&cases.get(name).volume.image, &origin, &sight, &target, forward)?;
    let labels = labels(plan);
    Ok(plan.experiment.metrics.iter().flat_map(|metric| metric.score(&prediction, &truth, &labels)).collect())
}

/// How a network that was trained as an experiment says sees a volume.
pub(super) fn sight(experiment: &Experiment, window: [usize; 3], classes: usize) -> Sight<'_> {
    let activation = match &experiment.loss {
        Loss::BinaryCrossEntropy(_) => Activation::Sigmoid,
        Loss::CrossEntropy(_) | Loss::Dice(_) | Loss::DiceCrossEntropy(_) | Loss::Focal(_) => Activation::Softmax,
    };
    Sight { window, classes, inference: &experiment.inference, activation }
}

/// For each metric the mean over cases of each column, then the mean of those over labels; regions are in no mean.
fn summarise(plan: &Plan, records: &[CaseRecord]) -> Vec<Option<f64>> {
    let labels = labels(plan);
    let mut summary = Vec::new();
    let mut first = 0;
    for metric in &plan.experiment.metrics {
        let count = metric.columns(&labels).len();
        let means: Vec<Option<f64>> =
            (first..first + count).map(|column| mean(records.iter().map(|record| record.scores[column]))).collect();
        first += count;
        let over_labels = mean(means[..labels.len()].iter().copied());
        summary.extend(means);
        summary.push(over_labels);
    }
    summary
}
