//! How good the network is now: the loss on sampled patches, and the scores of whole volumes.

use std::sync::atomic::{AtomicBool, Ordering};

use super::TrainError;
use super::cases::{Cases, Part};
use super::step::Trainer;
use crate::experiment::experiment::Experiment;
use crate::experiment::plan::{ClassLabel, Plan};
use crate::inference::activation::Activation;
use crate::inference::predict::{self, Sight, Target};
use dataset::queue::Request;
use metrics::{CaseScores, Pair, score_all, summarize_all};
use nn::losses::Loss;
use run_folder::event::{CaseRecord, Columns, Event};

/// The columns of scores that a plan's metrics fill.
pub fn columns(plan: &Plan) -> Columns {
    let labels = ClassLabel::pairs(&plan.labels);
    let mut columns = Columns::default();
    for metric in &plan.experiment.metrics {
        columns.metrics.extend(metric.summary_columns(&labels).iter().map(|name| format!("val_{name}")));
        columns.cases.extend(metric.case_columns(&labels));
    }
    columns
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
        index_in_batch: place % batch_size,
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
        match score(plan, cases, trainer, name, stop) {
            Err(TrainError::Stopped) => return Ok(None),
            scored => scores.push(scored?),
        }
        tell(Event::Validating { done: done + 1, total: plan.parts.val.len() })?;
    }
    // Rows are written together, so that an interrupted validation leaves none behind.
    for (name, scores) in plan.parts.val.iter().zip(&scores) {
        let scores = scores.iter().flat_map(|metric| metric.scores.iter().copied()).collect();
        tell(Event::Case(CaseRecord { epoch, subject: name.clone(), scores }))?;
    }
    Ok(Some(summarize_all(&plan.experiment.metrics, &scores, &ClassLabel::pairs(&plan.labels))))
}

/// The scores of one volume, metric by metric.
fn score(
    plan: &Plan,
    cases: &Cases,
    trainer: &Trainer,
    name: &str,
    stop: &AtomicBool,
) -> Result<Vec<CaseScores>, TrainError> {
    let case = &plan.cases[name];
    let (truth, origin) = cases.truth(case)?;
    let values = ClassLabel::values(&plan.labels);
    let target = Target { grid: &case.grid, labels: &values, steps: &plan.experiment.postprocess };
    let sight = sight(&plan.experiment, plan.window, plan.num_classes());
    let forward = |windows, count| match stop.load(Ordering::Relaxed) {
        true => Err(TrainError::Stopped),
        false => trainer.logits(windows, [count, plan.channels], plan.window),
    };
    let prediction = predict::label_map(&cases.get(name).volume().image, &origin, &sight, &target, forward)?;
    let pair = Pair { prediction: &prediction, truth: &truth, shape: truth.shape, spacing: case.grid.spacing() };
    Ok(score_all(&plan.experiment.metrics, &pair, &ClassLabel::pairs(&plan.labels)))
}

/// How a network that was trained as an experiment says sees a volume.
pub(super) fn sight(experiment: &Experiment, window: [usize; 3], classes: usize) -> Sight<'_> {
    let activation = match &experiment.loss {
        Loss::BinaryCrossEntropy(_) => Activation::Sigmoid,
        Loss::CrossEntropy(_) | Loss::Dice(_) | Loss::DiceCrossEntropy(_) | Loss::Focal(_) => Activation::Softmax,
    };
    Sight { window, classes, inference: &experiment.inference, activation }
}
