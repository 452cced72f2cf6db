//! Makes the plan of a valid experiment and its dataset.

use std::collections::BTreeMap;

use super::data::DatasetSummary;
use super::{Diagnostics, Environment, NAME_HELP, fine_tuning, is_folder_name, patch, sizes};
use crate::experiment::load::Document;
use crate::experiment::plan::{Case, Plan};
use crate::experiment::problem::{Problem, Problems, SourceSpan, SourceText};
use crate::experiment::spec::Experiment;
use dataset::patch::Patch;
use dataset::subject::Subject;
use dataset::weight_maps::weight_map;
use nn::StepSize;
use nn::devices::DeviceName;
use transforms::lazy::{self, WholeVolumeUse};
use volume::Grid;

/// Checks the patch, the network and the device against the dataset, and makes the plan.
pub(super) fn assemble(
    document: &Document,
    summary: DatasetSummary,
    warnings: Vec<String>,
    environment: &Environment,
    device: Option<DeviceName>,
) -> Result<Plan, Problems> {
    let mut diagnostics = Diagnostics::new(document);
    let experiment = &document.experiment;
    diagnostics.warnings = warnings;
    let device = resolve_device(&mut diagnostics, device);
    let outgoing = sizes::volumes(&mut diagnostics, &summary, environment);
    patch::check(&mut diagnostics, &outgoing);
    warn_of_slow_augmentation(&mut diagnostics);
    warn_of_augmentation(&mut diagnostics, &outgoing);
    let (channels, classes) = (summary.network_channels(), summary.targets.num_classes());
    let num_parameters = experiment.model.num_parameters(channels, classes);
    let memory_bytes = memory_bytes(experiment, &summary, device, num_parameters);
    check_memory(&mut diagnostics, memory_bytes, environment, device);
    check_precision(&mut diagnostics, device);
    let initial_weights = fine_tuning::check(&mut diagnostics, channels, classes);
    let name = check_name(&mut diagnostics);
    let cases = cases(experiment, &summary, &outgoing);
    let warnings = diagnostics.finish()?;
    Ok(Plan {
        num_parameters,
        initial_weights,
        experiment: experiment.clone(),
        name,
        device,
        targets: summary.targets,
        cases,
        parts: summary.parts,
        groups: summary.groups,
        channels: summary.channels,
        previous: summary.previous,
        channel_names: summary.listing.channel_names,
        patch: experiment.sampler.patch(),
        window: experiment.window(),
        patches_per_epoch: summary.patches_per_epoch,
        steps_per_epoch: summary.steps_per_epoch,
        memory_bytes,
        warnings,
    })
}

/// Returns the device of the command line, or else that of the experiment.
fn resolve_device(diagnostics: &mut Diagnostics, option: Option<DeviceName>) -> DeviceName {
    let document = diagnostics.document;
    let declared = document.experiment.device;
    option.map_or_else(|| declared.resolve(), DeviceName::resolve).unwrap_or_else(|error| {
        let location = match option {
            Some(device) => argument("--device", device),
            None => document.location("device"),
        };
        let problem = Problem::at(Some(location), error.to_string());
        diagnostics.problems.push(problem.help("`runner devices` lists what this binary and machine offer"));
        declared
    })
}

/// Warns of steps of `augment` for which whole volumes are computed for every patch.
fn warn_of_slow_augmentation(diagnostics: &mut Diagnostics) {
    let augment = &diagnostics.document.experiment.augment;
    for (index, reason) in lazy::forces_whole_volume(augment) {
        let name = augment[index].name();
        diagnostics.warning(match reason {
            WholeVolumeUse::Mixing => {
                format!("augment.{index}: {name} needs the whole volume, so it is computed for every patch, which is slow")
            }
            WholeVolumeUse::Statistics => format!(
                "augment.{index}: {name} needs statistics of the whole volume, so the steps before it are computed on the whole volume for every patch, which is slow; the statistics are those of the augmented volume, not of the patch"
            ),
            WholeVolumeUse::SameStatistics => format!(
                "augment.{index}: {name} needs statistics of the whole volume, not of the patch; they are computed again for every patch, although no random step comes before: move it to `preprocess`, where they are computed once"
            ),
        });
    }
}

/// Passes on the warnings of random steps, once for each step.
fn warn_of_augmentation(diagnostics: &mut Diagnostics, outgoing: &BTreeMap<&String, Grid>) {
    let experiment = &diagnostics.document.experiment;
    let cut = experiment.cut();
    let of_volumes = outgoing.iter().map(|(name, grid)| (name, *grid)).collect::<Vec<_>>();
    let of_patches = outgoing.iter().map(|(name, grid)| (name, Grid { shape: cut, ..*grid })).collect::<Vec<_>>();
    for (key, chain, grids) in
        [("augment", &experiment.augment, of_volumes), ("patch_augment", &experiment.patch_augment, of_patches)]
    {
        for (index, step) in chain.iter().enumerate() {
            let mut warnings = grids.iter().filter_map(|(name, grid)| Some((name, step.find_warning(grid)?)));
            if let Some((subject, (name, warning))) = warnings.next() {
                diagnostics.warning(format!("{key}.{index}: {name} on subject {subject}: {warning}"));
            }
        }
    }
}

/// Estimates the peak memory of training in bytes: a step, the patches that wait for it, and the average of the weights.
fn memory_bytes(experiment: &Experiment, summary: &DatasetSummary, device: DeviceName, num_parameters: usize) -> u64 {
    let (channels, patch) = (summary.network_channels(), experiment.sampler.patch());
    let step_bytes = experiment.model.training_bytes(&StepSize {
        channels,
        classes: summary.targets.num_classes(),
        batch: experiment.train.batch_size.get(),
        patch,
        recomputes: experiment.train.checkpoint_activations,
        device,
    });
    let patch_bytes = Patch::num_bytes(channels, patch, experiment.loss_weight_maps().is_some());
    let waiting = experiment.queue.max_length.get().min(summary.patches_per_epoch) as u64;
    let averaged = if experiment.train.weight_average.is_some() { num_parameters } else { 0 };
    let average_bytes = (averaged as u64).saturating_mul(size_of::<f32>() as u64);
    step_bytes.saturating_add(waiting.saturating_mul(patch_bytes)).saturating_add(average_bytes)
}

fn check_memory(diagnostics: &mut Diagnostics, needed: u64, environment: &Environment, device: DeviceName) {
    let Some(available) = environment.memory_bytes.filter(|available| device.is_host() && needed > *available) else {
        return;
    };
    let message = format!(
        "too little memory: training needs about {:.1} GB, the machine has {:.1} GB",
        needed as f64 / 1e9,
        available as f64 / 1e9
    );
    let help = "use a smaller batch (accumulate_batches keeps the number of patches per step), smaller patches, fewer widths, or train.checkpoint_activations: true";
    diagnostics.problem("train.batch_size", message, help);
}

/// Checks that the device supports the precision, and passes on its warnings.
fn check_precision(diagnostics: &mut Diagnostics, device: DeviceName) {
    let precision = diagnostics.document.experiment.train.precision;
    if let Some(message) = device.unsupported(precision) {
        diagnostics.problem("train.precision", message, "use float32, or another device");
    }
    for warning in device.format_warning(precision).map(str::to_owned).into_iter().chain(device.warning()) {
        diagnostics.warning(warning);
    }
}

/// Returns the name of the experiment, or else that of its file.
fn check_name(diagnostics: &mut Diagnostics) -> String {
    let document = diagnostics.document;
    if let Some(name) = &document.experiment.name {
        return name.clone();
    }
    let stem = document.path.file_stem();
    let name = stem.map_or_else(|| "experiment".to_owned(), |stem| stem.to_string_lossy().into_owned());
    if !is_folder_name(&name) {
        let message = format!("the name of the file, `{name}`, is not a valid folder name");
        diagnostics.problem("name", message, format!("set `name`; {NAME_HELP}"));
    }
    name
}

/// Returns the subjects whose grids are known, with their weight maps.
fn cases(
    experiment: &Experiment,
    summary: &DatasetSummary,
    outgoing: &BTreeMap<&String, Grid>,
) -> BTreeMap<String, Case> {
    let case = |subject: &Subject| {
        let (grid, outgoing) = (*summary.grids.get(&subject.name)?, *outgoing.get(&subject.name)?);
        let map = |(purpose, pattern)| (purpose, weight_map(pattern, &subject.name));
        let weight_maps = experiment.weight_maps().map(map).collect();
        Some((subject.name.clone(), Case { subject: subject.clone(), weight_maps, grid, outgoing }))
    };
    summary.listing.subjects.iter().filter_map(case).collect()
}

/// Returns the location of an option's value on the command line.
fn argument(option: &str, value: impl std::fmt::Display) -> SourceSpan {
    let source = SourceText::argument(format!("{option} {value}"));
    let span = option.len() + 1..source.text.len();
    SourceSpan { source, span }
}
