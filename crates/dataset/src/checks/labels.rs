//! Label maps: empty maps, labels that no subject has, and unusual volumes.

use std::collections::BTreeMap;

use super::outliers::{median, outliers};
use super::summary::{LabelMap, Summary};
use super::{Dataset, Finding, Severity};
use crate::samplers::Sampler;
use volume::Label;

/// Minimum factor between the volume of a label and the median for the volume to be unusual.
const MIN_FACTOR: f64 = 10.0;

const ABSENT: &str = "labels that do not occur in a part of the subjects";

/// Checks the labels as they are after the preprocess chain.
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

/// Reports label maps without foreground, or without a voxel on which a patch can be centred.
fn empty(maps: &BTreeMap<&str, &LabelMap>, dataset: &Dataset) -> Vec<Finding> {
    let val = dataset.parts.val.iter().filter(|_| dataset.samples_val);
    let sampled: Vec<&str> = dataset.parts.train.iter().chain(val).map(String::as_str).collect();
    let finding = |(name, map): (&&str, &&LabelMap)| {
        if map.is_unannotated {
            let text =
                "every voxel of its label map is ignored, so there is nothing to learn or score; leave the subject out";
            return Some(Finding::fault("label maps without an annotated voxel", name, text));
        }
        let lacks_centres = sampled.contains(name) && !has_centres(dataset.sampler, map);
        let text = match (map.is_empty, lacks_centres) {
            (true, true) => "its label map is empty, so sampler.label cannot sample a patch; leave the subject out",
            (true, false) => "its label map is empty",
            (false, true) => {
                "its label map has none of the labels that sampler.label centres patches on; leave the subject out, or give background a probability"
            }
            (false, false) => return None,
        };
        Some(if lacks_centres {
            Finding::fault("label maps without a voxel to centre a patch on", name, text)
        } else {
            Finding::note("empty label maps", name, text)
        })
    };
    maps.iter().filter_map(finding).collect()
}

/// Returns whether the sampler can sample a patch from a map, as far as the labels decide.
fn has_centres(sampler: &Sampler, map: &LabelMap) -> bool {
    sampler.component().has_centres(&|label| map.voxels.contains_key(&label), !map.voxels.is_empty())
}

/// Reports labels that no subject of a part has.
fn absent(maps: &BTreeMap<&str, &LabelMap>, dataset: &Dataset) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (label, name) in dataset.labels {
        let has = |map: &LabelMap| map.voxels.contains_key(label);
        if !maps.is_empty() && !maps.values().any(|map| has(map)) {
            let text = format!("label {label} {name}: it does not occur in any subject");
            findings.push(Finding::shared(Severity::Fault, ABSENT, text));
            continue;
        }
        // Nothing is known about a part without readable label maps.
        let lacks = |part: &[String]| {
            let mut part = part.iter().filter_map(|name| maps.get(name.as_str())).peekable();
            part.peek().is_some() && !part.any(|map| has(map))
        };
        let mut add = |severity, text: String| {
            findings.push(Finding::shared(severity, ABSENT, format!("label {label} {name}: {text}")));
        };
        let parts = dataset.parts;
        if lacks(&parts.train) {
            add(Severity::Fault, "it does not occur in any training subject and cannot be learned".to_owned());
        }
        for (part, role) in [(&parts.val, "validation"), (&parts.test, "test")] {
            if lacks(part) {
                add(
                    Severity::Note,
                    format!("it does not occur in any {role} subject, so its scores are undefined there"),
                );
            }
        }
        for (fold, part) in &dataset.other_folds {
            if lacks(part) {
                add(Severity::Note, format!("it does not occur in any validation subject of fold {fold}"));
            }
        }
    }
    findings
}

/// Reports subjects that have orders of magnitude more or less of a label than the others that have it, both in
/// millilitres and in voxels: a difference in only one of them is due to the spacing, which is reported by itself.
fn volumes(maps: &BTreeMap<&str, &LabelMap>, label: Label, label_name: &str) -> Vec<Finding> {
    let present: Vec<(&str, u64, f64)> = maps
        .iter()
        .filter_map(|(name, map)| {
            let voxels = *map.voxels.get(&label)?;
            Some((*name, voxels, voxels as f64 * map.voxel_mm3 / 1000.0))
        })
        .collect();
    let logarithms: Vec<f64> = present.iter().map(|(.., millilitres)| millilitres.ln()).collect();
    let usual = median(present.iter().map(|(.., millilitres)| *millilitres));
    let finding = |index: usize| {
        let (name, voxels, millilitres) = present[index];
        let plural = if voxels == 1 { "" } else { "s" };
        let text = format!(
            "it has {voxels} voxel{plural} of label {label} {label_name}, {millilitres:.3} ml; the median of those that have it is {usual:.3} ml"
        );
        Finding::note("label volumes that are unusual", name, text)
    };
    let counts: Vec<f64> = present.iter().map(|(_, voxels, _)| (*voxels as f64).ln()).collect();
    let in_voxels = outliers(&counts, MIN_FACTOR.ln());
    let in_both = outliers(&logarithms, MIN_FACTOR.ln()).into_iter().filter(|index| in_voxels.contains(index));
    in_both.map(finding).collect()
}
