//! The pseudo-Dice of nnU-Net: Dice of random validation patches, counted over all of them, and its moving average.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::TrainError;
use super::batch::{BatchError, ClassTable};
use super::dataset::{PatchUse, PreprocessedDataset};
use super::step::Trainer;
use crate::experiment::plan::Plan;
use crate::experiment::targets::Targets;
use dataset::patch::Patch;
use dataset::queue::{PatchOrder, Queue, iteration_order};
use random::{Purpose, Seed};

/// How much of the average before an epoch remains in it, as in nnU-Net.
const DECAY: f64 = 0.9;

/// Voxels of one class: of the prediction and the label map, of the prediction only, and of the label map only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Voxels of the class in both.
    pub true_positives: u64,
    /// Voxels of the class in the prediction only.
    pub false_positives: u64,
    /// Voxels of the class in the label map only.
    pub false_negatives: u64,
}

impl Counts {
    /// Returns the Dice; `None` if neither has the class.
    fn dice(&self) -> Option<f64> {
        let twice = 2 * self.true_positives;
        let all = twice + self.false_positives + self.false_negatives;
        (all > 0).then(|| twice as f64 / all as f64)
    }
}

/// Returns the columns of `metrics.csv`: the Dice of each label or region, their mean and its moving average.
pub(crate) fn columns(targets: &Targets) -> Vec<String> {
    let names = targets.classes().into_iter().map(|class| class.name);
    names.chain(["mean", "ema"].map(str::to_owned)).map(|name| format!("pseudo_dice_{name}")).collect()
}

/// Returns whether a column of `metrics.csv` is one of those of the pseudo-Dice.
pub fn is_column(column: &str) -> bool {
    column.starts_with("pseudo_dice_")
}

/// Counts the voxels of each label in the random validation patches of an epoch, counted from 1; returns `None` when `stop`
/// was set or there are no validation subjects.
///
/// # Errors
/// When a patch cannot be made or the device fails.
pub fn count(
    plan: &Plan,
    dataset: &Arc<PreprocessedDataset>,
    trainer: &Trainer,
    (epoch, batches): (usize, usize),
    stop: &AtomicBool,
) -> Result<Option<Vec<Counts>>, TrainError> {
    let spec = &plan.experiment;
    let (names, batch_size) = (Arc::new(plan.parts.val.clone()), spec.train.batch_size.get());
    if names.is_empty() {
        return Ok(None);
    }
    let stream = (Seed(spec.seed), Purpose::PseudoDice, epoch as u64);
    let requests = iteration_order(stream, names.len(), batches, batch_size, batch_size);
    let delivery = (0..requests.len()).collect();
    let (dataset, subjects) = (Arc::clone(dataset), Arc::clone(&names));
    let mut queue = Queue::start(&spec.queue, PatchOrder { names, requests, delivery, skip: 0 }, move |request| {
        dataset.patch(PatchUse::PseudoDice { epoch }, &subjects[request.subject], request)
    });
    let mut counts = vec![Counts::default(); plan.targets.classes().len()];
    for _ in 0..batches {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let patches = queue.by_ref().take(batch_size).collect::<Result<Vec<_>, _>>()?;
        let images = patches.iter().flat_map(|patch| patch.image.iter().copied()).collect();
        let logits = trainer.logits(images, [patches.len(), plan.network_channels()], plan.patch)?;
        add(&mut counts, &logits, &patches, &plan.targets)?;
    }
    Ok(Some(counts))
}

/// Adds the voxels of patches with logits `[patch, class, x, y, z]`, without ignored ones. The label with the largest logit is
/// predicted, or each region with a logit above 0.
fn add(counts: &mut [Counts], logits: &[f32], patches: &[Patch], targets: &Targets) -> Result<(), BatchError> {
    let (classes, voxels) = (targets.num_classes(), patches[0].label.len());
    // The background is not counted.
    let first = usize::from(targets.has_background());
    let table = ClassTable::new(targets);
    for (patch, logits) in patches.iter().zip(logits.chunks_exact(classes * voxels)) {
        for (voxel, &value) in patch.label.iter().enumerate() {
            if Some(value) == targets.ignore {
                continue;
            }
            let undeclared = || BatchError::UndeclaredLabel { subject: patch.subject.clone(), value };
            let truth = table.classes(value).ok_or_else(undeclared)?;
            let logit = |class: usize| logits[class * voxels + voxel];
            let largest = (1..classes).fold(0, |best, class| if logit(class) > logit(best) { class } else { best });
            let is_predicted =
                |class: usize| if targets.has_background() { class == largest } else { logit(class) > 0.0 };
            for (class, counts) in (first..).zip(&mut *counts) {
                match (truth.contains(&class), is_predicted(class)) {
                    (true, true) => counts.true_positives += 1,
                    (true, false) => counts.false_negatives += 1,
                    (false, true) => counts.false_positives += 1,
                    (false, false) => {}
                }
            }
        }
    }
    Ok(())
}

/// Returns the values of the columns of the pseudo-Dice, and the average after this epoch; `average` is that before it. An epoch in which no
/// label occurs leaves it unchanged.
pub fn scores(counts: &[Counts], average: Option<f64>) -> (Vec<Option<f64>>, Option<f64>) {
    let dice: Vec<Option<f64>> = counts.iter().map(Counts::dice).collect();
    let defined: Vec<f64> = dice.iter().copied().flatten().collect();
    let mean = (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64);
    let average = match (average, mean) {
        (Some(average), Some(mean)) => Some(average * DECAY + 0.1 * mean),
        (average, mean) => mean.or(average),
    };
    (dice.into_iter().chain([mean, average]).collect(), average)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::targets::RegionSpec;
    use crate::training::batch::tests::patch;
    use serde::Deserialize;

    /// What nnU-Net computes from logits and label maps, epoch by epoch.
    #[derive(Deserialize)]
    struct Epoch {
        /// Of each batch the logits and labels of its patches.
        batches: Vec<(Vec<f32>, Vec<Vec<volume::Label>>)>,
        /// `NaN` is null.
        dice: Vec<Option<f64>>,
        mean: f64,
        ema: f64,
    }

    fn targets(labels: &[volume::Label]) -> Targets {
        Targets::new(&labels.iter().map(|label| (*label, format!("label_{label}"))).collect(), &[], None).unwrap()
    }

    #[test]
    fn regions_are_counted_by_their_sigmoids_and_ignored_voxels_are_not() {
        let labels = [(1, "edema".to_owned()), (2, "core".to_owned())].into_iter().collect();
        let region = |labels: &[volume::Label]| RegionSpec { labels: labels.to_vec(), write: None };
        let regions = [("whole".to_owned(), region(&[1, 2])), ("core".to_owned(), region(&[2]))];
        let targets = Targets::new(&labels, &regions, Some(3)).unwrap();
        let mut counts = [Counts::default(); 2];
        let logits = [[1.0, 1.0, -1.0, 1.0, 1.0], [-1.0, 1.0, 1.0, 1.0, 1.0]].concat();
        add(&mut counts, &logits, &[patch(vec![1, 2, 2, 0, 3])], &targets).unwrap();
        assert_eq!(counts[0], Counts { true_positives: 2, false_positives: 1, false_negatives: 1 });
        assert_eq!(counts[1], Counts { true_positives: 2, false_positives: 1, false_negatives: 0 });
    }

    #[test]
    fn dice_mean_and_average_are_those_of_nnunets_trainer() {
        let epochs: Vec<Epoch> = serde_json::from_str(include_str!("pseudo_dice/nnunet.json")).unwrap();
        let mut average = None;
        for epoch in &epochs {
            let mut counts = vec![Counts::default(); 3];
            for (logits, labels) in &epoch.batches {
                let patches: Vec<Patch> = labels.iter().cloned().map(patch).collect();
                add(&mut counts, logits, &patches, &targets(&[1, 2, 3])).unwrap();
            }
            let (values, after) = scores(&counts, average);
            average = after;
            let expected = epoch.dice.iter().copied().chain([Some(epoch.mean), Some(epoch.ema)]);
            for (value, expected) in values.iter().zip(expected) {
                assert_eq!(value.is_some(), expected.is_some());
                let (value, expected) = (value.unwrap_or_default(), expected.unwrap_or_default());
                // nnU-Net computes in float32.
                assert!((value - expected).abs() < 1e-6, "{value} {expected}");
            }
        }
        assert!(epochs.len() == 4 && epochs.iter().any(|epoch| epoch.dice.contains(&None)));
    }

    #[test]
    fn an_epoch_without_any_label_leaves_the_average_unchanged() {
        assert_eq!(scores(&[Counts::default()], Some(0.5)), (vec![None, None, Some(0.5)], Some(0.5)));
        assert_eq!(scores(&[Counts::default()], None), (vec![None; 3], None));
    }

    #[test]
    fn an_undeclared_label_names_its_subject() {
        let result = add(&mut [Counts::default()], &[0.0, 1.0], &[patch(vec![7])], &targets(&[1]));
        assert_eq!(result, Err(BatchError::UndeclaredLabel { subject: "case".into(), value: 7 }));
    }
}
