//! Rules for what is trained: labels, regions and the label to ignore.

use std::collections::BTreeMap;

use super::{Diagnostics, inference, names, network, scores, training};
use crate::experiment::targets::{RegionSpec, Targets};
use dataset::sources::{DeclaredLabels, DeclaredRegion};
use transforms::{Region, Transform};
use values::OrderedMap;
use volume::Label;

/// Checks the regions and the ignored label of an experiment that declares its labels, so that the dataset is not needed.
pub(super) fn check(diagnostics: &mut Diagnostics) {
    let data = &diagnostics.document.experiment.data;
    if let Some(labels) = &data.labels {
        check_rules(diagnostics, labels, data.regions.as_ref(), data.ignore_label);
    }
}

/// Returns the targets of an experiment that declares its labels, as far as they are known without the dataset and valid.
pub(super) fn of_document(diagnostics: &Diagnostics) -> Option<Targets> {
    let data = &diagnostics.document.experiment.data;
    let regions = data.regions.as_ref().map_or(&[][..], |regions| &regions.0);
    Targets::new(data.labels.as_ref()?, regions, data.ignore_label).ok()
}

/// Returns the targets: labels of the experiment, or else of the dataset, or else `label_1`, `label_2`, ... for the labels that
/// the sampler and the regions name; regions and the label to ignore likewise.
pub(super) fn check_with_dataset(diagnostics: &mut Diagnostics, declared: &DeclaredLabels) -> Targets {
    let data = &diagnostics.document.experiment.data;
    if let Some(unusable) = declared.unusable.as_ref().filter(|_| data.labels.is_none()) {
        diagnostics.problem("data.source", unusable.reason.clone(), unusable.help.clone());
        return Targets::default();
    }
    let labels = labels(diagnostics, declared);
    let ignore = ignored_label(diagnostics, declared, &labels);
    let labels: BTreeMap<Label, String> =
        labels.into_iter().filter(|(value, _)| *value != 0 && Some(*value) != ignore).collect();
    let of_dataset: Vec<_> = declared.regions.iter().map(spec).collect();
    let regions = match (&data.regions, &data.labels) {
        (Some(written), _) => Some(written.clone()),
        (None, None) => (!of_dataset.is_empty()).then_some(OrderedMap(of_dataset)),
        (None, Some(_)) => {
            if !of_dataset.is_empty() {
                let names: Vec<&str> = of_dataset.iter().map(|(name, _)| name.as_str()).collect();
                diagnostics.warning(format!(
                    "dataset.json declares regions ({}), but the experiment declares `data.labels`, so the network is trained on labels; declare `data.regions` as well to train on regions",
                    names.join(", ")
                ));
            }
            None
        }
    };
    if labels.is_empty() {
        diagnostics.problem(
            "data",
            "neither the experiment nor the dataset declares labels",
            "declare them, for example `data.labels: { 1: liver }`",
        );
        return Targets::default();
    }
    if data.labels.is_none() {
        check_rules(diagnostics, &labels, regions.as_ref(), ignore);
    }
    if let Some(ignore) = ignore {
        check_label_regions(diagnostics);
        check_renumbering(diagnostics, ignore);
    }
    let regions = regions.as_ref().map_or(&[][..], |regions| &regions.0);
    let Ok(targets) = Targets::new(&labels, regions, ignore) else { return Targets::default() };
    if data.labels.is_none() {
        let regions: Vec<String> = targets.regions.iter().map(|region| region.name.clone()).collect();
        names::check_uses(diagnostics, &labels, &regions, ignore);
        inference::check_targets(diagnostics, &labels, &targets);
        network::check_targets(diagnostics, &targets);
        if diagnostics.document.experiment.checkpoint.monitor != "val_loss" {
            training::check_columns(diagnostics, &targets);
        }
    }
    targets
}

fn spec(region: &DeclaredRegion) -> (String, RegionSpec) {
    (region.name.clone(), RegionSpec { labels: region.labels.clone(), write: region.write })
}

/// Returns the labels with their names, which may include the background.
fn labels(diagnostics: &Diagnostics, declared: &DeclaredLabels) -> BTreeMap<Label, String> {
    let experiment = &diagnostics.document.experiment;
    match (&experiment.data.labels, &declared.names) {
        (Some(written), _) => written.clone(),
        (None, Some(named)) => named.clone(),
        (None, None) => {
            let chosen = experiment.sampler.component().chosen_labels().into_iter().flat_map(|(_, labels)| labels);
            let regions = experiment.data.regions.iter().flat_map(|regions| &regions.0);
            let members = regions.flat_map(|(_, region)| region.labels.iter().copied());
            chosen.chain(members).map(|value| (value, format!("label_{value}"))).collect()
        }
    }
}

/// Returns the label to ignore: that of the experiment, or else of the dataset, unless it is trained as a class or replaced by
/// another label.
fn ignored_label(
    diagnostics: &mut Diagnostics,
    declared: &DeclaredLabels,
    labels: &BTreeMap<Label, String>,
) -> Option<Label> {
    let experiment = &diagnostics.document.experiment;
    if experiment.data.ignore_label.is_some() {
        return experiment.data.ignore_label;
    }
    let ignore = declared.ignore?;
    if let Some(name) = labels.get(&ignore) {
        diagnostics.warning(format!(
            "label {ignore} is `ignore` in dataset.json, for voxels that nobody annotated, but the experiment trains it as the class {name}"
        ));
        return None;
    }
    let replaces = |step: &Transform| matches!(step, Transform::RemapLabels(step) if step.map.contains_key(&ignore));
    (!experiment.preprocess.iter().any(replaces)).then_some(ignore)
}

/// Checks regions and the label to ignore against the labels; `regions` is `None` if labels are trained.
fn check_rules(
    diagnostics: &mut Diagnostics,
    labels: &BTreeMap<Label, String>,
    regions: Option<&OrderedMap<RegionSpec>>,
    ignore: Option<Label>,
) {
    let declared = scores::declared(labels);
    if ignore == Some(0) {
        let message = "the background cannot be ignored";
        diagnostics.problem("data.ignore_label", message, "give ignored voxels a label of their own, such as 255");
    } else if let Some(label) = ignore.filter(|label| labels.contains_key(label)) {
        let message = format!("label {label} is both ignored and declared as a class");
        diagnostics.problem("data.ignore_label", message, "remove it from `data.labels`, or ignore another label");
    }
    let Some(regions) = regions else { return };
    if regions.0.is_empty() {
        let help = "add a region, such as `{ whole_tumour: [1, 2] }`, or remove the key";
        diagnostics.problem("data.regions", "expected at least one region, got none", help);
    }
    diagnostics.violations("data.regions", scores::region_names(regions));
    for (name, region) in regions.iter() {
        let path = format!("data.regions.{name}");
        check_members(diagnostics, &path, region, labels, (ignore, &declared));
    }
    for index in Targets::new(labels, &regions.0, ignore).err().unwrap_or_default() {
        let (name, region) = &regions.0[index];
        // That is another problem.
        if region.labels.is_empty() || region.labels.iter().any(|label| Some(*label) == ignore) {
            continue;
        }
        let labels = region.labels.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let message = format!(
            "it is unclear as which label region {name} is written: expected exactly one label that no later region contains, or the key `write`"
        );
        let help = format!(
            "write `{name}: {{ labels: [{labels}], write: N }}` with one of these labels as N, and list larger regions first"
        );
        diagnostics.problem(&format!("data.regions.{name}"), message, help);
    }
}

/// Checks that no transform takes every label above 0, of which the ignored one is one.
fn check_label_regions(diagnostics: &mut Diagnostics) {
    fn takes_all(step: &Transform) -> bool {
        let is_all = |region: &Region| matches!(region, Region::Labels(labels) if labels.is_empty());
        let keeps_largest = matches!(step, Transform::KeepLargest(step) if step.labels.is_empty());
        keeps_largest || step.component().region().is_some_and(is_all) || step.nested_steps().iter().any(takes_all)
    }
    for (chain, steps) in diagnostics.document.experiment.chains() {
        for (index, step) in steps.iter().enumerate().filter(|(_, step)| takes_all(step)) {
            let message =
                format!("`labels: []` of {} means every label above 0, which includes the ignored one", step.name());
            diagnostics.problem(&format!("{chain}.{index}"), message, "list the labels");
        }
    }
}

/// Checks that no transform gives the ignored label another value.
fn check_renumbering(diagnostics: &mut Diagnostics, ignore: Label) {
    let renumbers = |step: &Transform| match step {
        Transform::SequentialLabels(_) => true,
        Transform::RemapLabels(step) => step.map.get(&ignore).is_some_and(|value| *value != ignore),
        _ => false,
    };
    for (chain, steps) in diagnostics.document.experiment.chains() {
        for (index, step) in steps.iter().enumerate().filter(|(_, step)| renumbers(step)) {
            let message = format!("{} gives the ignored label {ignore} another value", step.name());
            let help = "change other labels only, by `remap_labels`, or do not ignore this one";
            diagnostics.problem(&format!("{chain}.{index}"), message, help);
        }
    }
}

/// Checks the labels of a region.
fn check_members(
    diagnostics: &mut Diagnostics,
    path: &str,
    region: &RegionSpec,
    labels: &BTreeMap<Label, String>,
    (ignore, declared): (Option<Label>, &str),
) {
    if region.labels.is_empty() {
        diagnostics.problem(path, "expected at least one label, got none", format!("the labels are {declared}"));
    }
    for (index, label) in region.labels.iter().enumerate() {
        if region.labels[..index].contains(label) {
            diagnostics.problem(path, format!("label {label} is listed twice"), "remove one of them");
        } else if *label == 0 {
            let help = "remove it: the background is what no region contains";
            diagnostics.problem(path, "label 0, the background, cannot be in a region", help);
        } else if Some(*label) == ignore {
            let help = "remove it from the region, or ignore another label";
            diagnostics.problem(path, format!("label {label} is both ignored and in a region"), help);
        } else if !labels.contains_key(label) {
            diagnostics.problem(path, format!("label {label} is not declared"), format!("the labels are {declared}"));
        }
    }
    if let Some(write) = region.write.filter(|write| !region.labels.contains(write)) {
        let message = format!("the region is written as label {write}, which is not one of its labels");
        diagnostics.problem(path, message, "set `write` to one of its labels");
    }
}
