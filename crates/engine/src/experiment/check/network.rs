//! Rules between the network, the patch, the window and the loss.

use super::Diagnostics;
use dataset::samplers::Sampler;
use nn::losses::Loss;
use nn::unet::Norm;
use nn::{Model, UnetSpec};
use values::NonNegative;

/// Each level halves every axis; more levels than this exceed any volume.
const MOST_LEVELS: usize = 16;

pub(super) fn check(diagnostics: &mut Diagnostics) {
    let experiment = &diagnostics.document.experiment;
    let Model::Unet(unet) = &experiment.model;
    check_loss(diagnostics);
    if unet.widths.is_empty() {
        diagnostics.problem(
            "model.unet.widths",
            "expected at least one width, got none",
            "for example widths: [32, 64, 128, 256]",
        );
        return;
    }
    if unet.widths.len() > MOST_LEVELS {
        let message = format!("expected at most {MOST_LEVELS} levels, got {}", unet.widths.len());
        diagnostics.problem("model.unet.widths", message, "each further level halves every axis; give fewer widths");
        return;
    }
    let sampler = format!("sampler.{}.patch", experiment.sampler.name());
    check_shape(diagnostics, &sampler, "patch", experiment.sampler.patch(), unet);
    if let Some(window) = experiment.inference.window {
        check_shape(diagnostics, "inference.window", "window", window.0, unet);
    }
    check_norm(diagnostics, unet);
}

/// Every axis must be halved as often as the network has levels below the first.
fn check_shape(diagnostics: &mut Diagnostics, path: &str, name: &str, shape: [usize; 3], unet: &UnetSpec) {
    let levels = unet.widths.len();
    let stride = unet.stride();
    for (axis, size) in shape.into_iter().enumerate().filter(|(_, size)| size % stride != 0) {
        let near = ((size + stride / 2) / stride).max(1) * stride;
        let message =
            format!("expected {name} sizes divisible by {stride}, since the network has {levels} levels, got {size}");
        diagnostics.problem(
            &format!("{path}.{axis}"),
            message,
            format!("take {near}, or give the network fewer widths"),
        );
    }
}

fn check_norm(diagnostics: &mut Diagnostics, unet: &UnetSpec) {
    let experiment = &diagnostics.document.experiment;
    let stride = unet.stride();
    let bottom = experiment.sampler.patch().map(|size| size / stride);
    match unet.norm {
        Norm::None => diagnostics.warning(
            "the network has no normalisation layers; `norm: instance` usually trains faster and to a better Dice",
        ),
        Norm::Instance if bottom.iter().product::<usize>() == 1 => {
            let message = "the lowest level has one voxel, and instance normalisation of one voxel is always 0";
            diagnostics.problem("model.unet.norm", message, "take a larger patch, fewer widths, or another norm");
        }
        Norm::Batch if experiment.train.batch_size.get() == 1 => {
            diagnostics.warning("batch normalisation with a batch of 1 has noisy statistics; `norm: instance` does not depend on the batch");
        }
        _ => {}
    }
}

/// Weights of the loss and of the sampler.
fn check_loss(diagnostics: &mut Diagnostics) {
    let experiment = &diagnostics.document.experiment;
    let (name, weights) = class_weights(&experiment.loss);
    let path = format!("loss.{name}.class_weights");
    if let Some(labels) = &experiment.data.labels {
        check_class_weights(diagnostics, labels.len());
    }
    if weights.as_ref().is_some_and(|weights| weights.iter().all(|weight| weight.get() == 0.0)) {
        diagnostics.problem(
            &path,
            "expected a class weight above 0, got none",
            "with zeros alone the loss is not defined",
        );
    }
    // Soft Dice leaves the background out, unless it is told otherwise, and divides by the weights of the rest.
    let without_background = match &experiment.loss {
        Loss::Dice(loss) => !loss.background,
        Loss::DiceCrossEntropy(loss) => !loss.background,
        _ => false,
    };
    if let Some([background, rest @ ..]) = weights.as_deref()
        && without_background
        && background.get() > 0.0
        && rest.iter().all(|weight| weight.get() == 0.0)
    {
        let message = "only the background has a weight, and soft Dice leaves it out";
        diagnostics.problem(&path, message, "give a label a weight, or set `background: true`");
    }
    if let Loss::DiceCrossEntropy(loss) = &experiment.loss
        && loss.dice_weight.get() == 0.0
        && loss.cross_entropy_weight.get() == 0.0
    {
        diagnostics.problem(
            "loss.dice_cross_entropy.dice_weight",
            "both terms of the loss have weight 0",
            "give one of them a weight above 0",
        );
    }
    if let Sampler::Label(sampler) = &experiment.sampler
        && sampler.probabilities.as_ref().is_some_and(|map| map.values().all(|weight| weight.get() == 0.0))
    {
        diagnostics.problem(
            "sampler.label.probabilities",
            "expected a probability above 0, got none",
            "give the labels weights, as in { 0: 0.2, 1: 0.8 }",
        );
    }
}

/// The weights of the loss must be as many as the classes.
pub(super) fn check_class_weights(diagnostics: &mut Diagnostics, num_labels: usize) {
    let (name, weights) = class_weights(&diagnostics.document.experiment.loss);
    if let Some(weights) = weights
        && weights.len() != num_labels + 1
    {
        let message = format!("expected {} class weights, got {}", num_labels + 1, weights.len());
        let path = format!("loss.{name}.class_weights");
        diagnostics.problem(&path, message, "give one for the background and one for each label of data.labels");
    }
}

/// The name of a loss and its class weights.
fn class_weights(loss_spec: &Loss) -> (&'static str, &Option<Vec<NonNegative>>) {
    match loss_spec {
        Loss::BinaryCrossEntropy(loss) => ("binary_cross_entropy", &loss.class_weights),
        Loss::CrossEntropy(loss) => ("cross_entropy", &loss.class_weights),
        Loss::Dice(loss) => ("dice", &loss.class_weights),
        Loss::DiceCrossEntropy(loss) => ("dice_cross_entropy", &loss.class_weights),
        Loss::Focal(loss) => ("focal", &loss.class_weights),
    }
}
