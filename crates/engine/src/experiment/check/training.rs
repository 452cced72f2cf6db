//! Rules for the split, the optimizer, validation and checkpoints.

use super::{Diagnostics, targets};
use crate::experiment::problem::nearest;
use crate::experiment::targets::Targets;
use crate::training::pseudo_dice;
use dataset::queue::QueueSpec;
use dataset::split::Split;

pub(super) fn check(diagnostics: &mut Diagnostics) {
    check_split(diagnostics);
    check_monitor(diagnostics);
    check_iterations(diagnostics);
    let experiment = &diagnostics.document.experiment;
    let optimizer = &experiment.optimizer;
    diagnostics.component(&format!("optimizer.{}", optimizer.name()), optimizer.component().check());
    if matches!(experiment.data.split, Split::First(_)) {
        diagnostics.warning("the split follows the order of names, which may follow scanners or hospitals; `split: { fold: { index: 0, count: 5 } }` shuffles the subjects");
    }
    let last = experiment.train.epochs.get();
    if experiment.validate.patches && experiment.volume_interval() > last {
        diagnostics.warning(
            "whole volumes are evaluated after the last epoch only; until then validation uses random patches",
        );
    }
}

fn check_split(diagnostics: &mut Diagnostics) {
    match &diagnostics.document.experiment.data.split {
        Split::Fold(fold) if fold.count.get() < 2 => {
            let message = format!("expected at least 2 folds, got {}", fold.count);
            diagnostics.problem(
                "data.split.fold.count",
                message,
                "one fold is for validation and the others for training; 5 is usual",
            );
        }
        Split::Fold(fold) if fold.index >= fold.count.get() => {
            let message = format!("expected a fold between 0 and {}, got {}", fold.count.get() - 1, fold.index);
            diagnostics.problem("data.split.fold.index", message, "folds are numbered from 0");
        }
        Split::Nnunet(fold) if fold.index >= 5 => {
            let message = format!("expected a fold between 0 and 4, got {}", fold.index);
            diagnostics.problem("data.split.nnunet.index", message, "nnU-Net has five folds, numbered from 0");
        }
        Split::Fraction(fraction) => {
            let sum = fraction.train.get() + fraction.val.get() + fraction.test.get();
            if sum > 1.0 + 1e-9 {
                diagnostics.problem(
                    "data.split.fraction",
                    format!("expected fractions that sum to at most 1, got {}", (sum * 1e9).round() / 1e9),
                    "reduce one of them",
                );
            }
        }
        _ => {}
    }
}

/// Checks that no key counts the patches of each subject where subjects are sampled at random.
fn check_iterations(diagnostics: &mut Diagnostics) {
    let experiment = &diagnostics.document.experiment;
    let sampler = &experiment.sampler;
    let at_random = [
        ("train.iterations_per_epoch", experiment.train.iterations_per_epoch.is_some()),
        ("validate.pseudo_dice", experiment.validate.pseudo_dice.is_some()),
    ];
    let at_random = at_random.into_iter().find(|(_, is_set)| *is_set && sampler.component().counts_patches());
    if let Some((key, _)) = at_random {
        let name = sampler.name();
        diagnostics.problem(
            &format!("sampler.{name}"),
            format!("{name} takes the patches of each subject in order, but with {key} subjects are sampled at random"),
            format!("choose another sampler, or remove {key}"),
        );
    }
    if experiment.train.iterations_per_epoch.is_none() {
        return;
    }
    let is_default = experiment.queue.samples_per_volume == QueueSpec::default().samples_per_volume;
    if !experiment.validate.patches && !is_default {
        diagnostics.problem(
            "queue.samples_per_volume",
            "this has no effect: training subjects are sampled at random (train.iterations_per_epoch), and validate.patches is false",
            "remove the key",
        );
    }
}

/// Checks that the warm-up is shorter than the run; `num_steps` is the number of optimizer steps of the run.
pub(super) fn check_warm_up(diagnostics: &mut Diagnostics, num_steps: usize) {
    let schedule = &diagnostics.document.experiment.schedule;
    let (name, steps) = (schedule.name(), schedule.warmup_steps());
    if steps > 0 && steps >= num_steps {
        let message = format!("expected a warm-up shorter than the run of {num_steps} steps, got {steps}");
        diagnostics.problem(
            &format!("schedule.{name}.warmup_steps"),
            message,
            "shorten the warm-up or train for more epochs",
        );
    }
}

/// Checks that the monitor is a column of metrics.csv.
fn check_monitor(diagnostics: &mut Diagnostics) {
    let experiment = &diagnostics.document.experiment;
    let monitor = experiment.checkpoint.monitor.as_str();
    if pseudo_dice::is_column(monitor) && experiment.validate.pseudo_dice.is_none() {
        diagnostics.problem(
            "checkpoint.monitor",
            format!("`{monitor}` is not computed, since validate.pseudo_dice is not set"),
            "set validate.pseudo_dice: { batches: 50 }, or monitor val_dice_mean",
        );
        return;
    }
    if monitor == "val_loss" && !experiment.validate.patches {
        diagnostics.problem(
            "checkpoint.monitor",
            "`val_loss` is not computed, since validate.patches is false",
            "set validate.patches: true, or monitor val_dice_mean",
        );
        return;
    }
    // Without declared labels, the names come from the dataset.
    if let Some(targets) = targets::of_document(diagnostics) {
        check_columns(diagnostics, &targets);
    }
}

/// Checks that the monitor is a column of metrics.csv, given the classes.
pub(super) fn check_columns(diagnostics: &mut Diagnostics, targets: &Targets) {
    let experiment = &diagnostics.document.experiment;
    let monitor = experiment.checkpoint.monitor.as_str();
    let mut columns = vec!["train_loss".to_owned()];
    columns.extend(experiment.validate.patches.then(|| "val_loss".to_owned()));
    let classes = targets.classes();
    for metric in &experiment.metrics {
        for name in metric.summary_columns(&classes).iter().map(|name| format!("val_{name}")) {
            // A metric that is listed twice is another problem.
            if !columns.contains(&name) {
                columns.push(name);
            }
        }
    }
    if experiment.validate.pseudo_dice.is_some() {
        columns.extend(pseudo_dice::columns(targets));
        if classes.iter().any(|class| class.name == "ema") {
            let message = "a label or region is named `ema`, but the column `pseudo_dice_ema` is the moving average";
            diagnostics.problem("validate.pseudo_dice", message, "rename the label or region, or remove this key");
        }
    }
    if !columns.iter().any(|column| column == monitor) {
        let near = nearest(monitor, columns.iter().map(String::as_str))
            .map(|near| format!("did you mean `{near}`? "))
            .unwrap_or_default();
        let message = format!("metrics.csv has no column `{monitor}`");
        diagnostics.problem("checkpoint.monitor", message, format!("{near}columns: {}", columns.join(", ")));
    }
}
