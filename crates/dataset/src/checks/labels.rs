//! Label maps: empty ones, classes that nobody has, and volumes that are unusual.

use std::collections::BTreeMap;

use super::spread::{median, unusual};
use super::summary::{LabelMap, Summary};
use super::{Dataset, Finding, Severity};
use crate::samplers::Sampler;
use volume::Label;

/// Volumes of a label within this factor of the median are never called unusual.
const LEAST_FACTOR: f64 = 10.0;

/// Looks at the labels as the preprocess chain leaves them.
pub(super) fn check(summaries: &[Summary], dataset: &Dataset) -> Vec<Finding> {
    let maps: BTreeMap<&str, &LabelMap> =
        summaries.iter().filter_map(|summary| Some((summary.name.as_str(), summary.label.as_ref()?))).collect();
    let mut findings = empty(&maps, dataset);
    findings.extend(absent(&maps, dataset));
    for (label, name) in dataset.labels {
        findings.extend(volumes(&maps, *label, name));
    }
    findings
}

/// Label maps without a voxel, or without one that a patch can be drawn around.
fn empty(maps: &BTreeMap<&str, &LabelMap>, dataset: &Dataset) -> Vec<Finding> {
    let val = dataset.parts.val.iter().filter(|_| dataset.samples_val);
    let sampled: Vec<&str> = dataset.parts.train.iter().chain(val).map(String::as_str).collect();
    let told = |(name, map): (&&str, &&LabelMap)| {
        let centreless = sampled.contains(name) && !has_centres(dataset.sampler, map);
        let text = match (map.is_empty, centreless) {
            (true, true) => "its label map is empty, so sampler.label cannot sample a patch; leave the subject out",
            (true, false) => "its label map is empty",
            (false, true) => {
                "its label map has none of the labels that sampler.label centres patches on; leave the subject out, or give background a probability"
            }
            (false, false) => return None,
        };
        Some(if centreless { Finding::fault(name, text) } else { Finding::note(name, text) })
    };
    maps.iter().filter_map(told).collect()
}

/// Returns whether the sampler can sample a patch from a map, as far as the labels decide.
fn has_centres(sampler: &Sampler, map: &LabelMap) -> bool {
    sampler.component().has_centres(&|label| map.voxels.contains_key(&label), !map.voxels.is_empty())
}

/// Labels that no subject of a part has.
fn absent(maps: &BTreeMap<&str, &LabelMap>, dataset: &Dataset) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (label, name) in dataset.labels {
        let has = |map: &LabelMap| map.voxels.contains_key(label);
        if !maps.is_empty() && !maps.values().any(|map| has(map)) {
            let text = format!("label {label} {name}: no subject has a voxel of it");
            findings.push(Finding::shared(Severity::Fault, text));
            continue;
        }
        // A part whose label maps cannot be read, or that has none, says nothing.
        let lacks = |part: &[String]| {
            let mut part = part.iter().filter_map(|name| maps.get(name.as_str())).peekable();
            part.peek().is_some() && !part.any(|map| has(map))
        };
        let mut add = |severity, text: String| {
            findings.push(Finding::shared(severity, format!("label {label} {name}: {text}")));
        };
        let parts = dataset.parts;
        if lacks(&parts.train) {
            add(Severity::Fault, "no training subject has a voxel of it, so it cannot be learned".to_owned());
        }
        for (part, what) in [(&parts.val, "validation"), (&parts.test, "test")] {
            if lacks(part) {
                add(Severity::Note, format!("no {what} subject has a voxel of it, so its scores are undefined there"));
            }
        }
        for (fold, part) in &dataset.other_folds {
            if lacks(part) {
                add(Severity::Note, format!("no validation subject of fold {fold} has a voxel of it"));
            }
        }
    }
    findings
}

/// Subjects that have orders of magnitude more or less of a label than the others that have it, in millilitres and in
/// voxels: what only one of the two shows is due to the spacing, which is told by itself.
fn volumes(maps: &BTreeMap<&str, &LabelMap>, label: Label, label_name: &str) -> Vec<Finding> {
    let having: Vec<(&str, u64, f64)> = maps
        .iter()
        .filter_map(|(name, map)| {
            let voxels = *map.voxels.get(&label)?;
            Some((*name, voxels, voxels as f64 * map.voxel_mm3 / 1000.0))
        })
        .collect();
    let logarithms: Vec<f64> = having.iter().map(|(.., millilitres)| millilitres.ln()).collect();
    let usual = median(having.iter().map(|(.., millilitres)| *millilitres));
    let told = |place: usize| {
        let (name, voxels, millilitres) = having[place];
        let plural = if voxels == 1 { "" } else { "s" };
        let text = format!(
            "it has {voxels} voxel{plural} of label {label} {label_name}, {millilitres:.3} ml; the median of those that have it is {usual:.3} ml"
        );
        Finding::note(name, text)
    };
    let counts: Vec<f64> = having.iter().map(|(_, voxels, _)| (*voxels as f64).ln()).collect();
    let in_voxels = unusual(&counts, LEAST_FACTOR.ln());
    let in_both = unusual(&logarithms, LEAST_FACTOR.ln()).into_iter().filter(|place| in_voxels.contains(place));
    in_both.map(told).collect()
}
