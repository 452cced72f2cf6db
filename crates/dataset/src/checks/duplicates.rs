//! Duplicates: subjects with the same voxels. Across parts of the split that is a leak, and scores are too high.
//!
//! Voxels are compared after reading, so copies with another compression, data type or header are detected too, and so are
//! copies with flipped or permuted axes.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::summary::{Image, Summary};
use super::{Dataset, Finding, Severity};
use crate::split::Parts;

const SAME_IMAGE: &str = "groups of subjects with the same image";

/// Reports identical images, and identical label maps of different images.
pub(super) fn check(summaries: &[Summary], dataset: &Dataset) -> Vec<Finding> {
    let part_of = part_names(dataset.parts);
    let mut findings: Vec<Finding> = summaries.iter().filter_map(repeated_channel).collect();
    let with_image = summaries.iter().filter_map(|summary| {
        let image = summary.image.as_ref().filter(|image| has_contrast(image))?;
        Some((unordered(image, summary), summary))
    });
    let same_images = groups(with_image);
    findings.extend(same_images.iter().map(|group| same_image(group, &part_of)));
    let with_label = summaries.iter().filter_map(|summary| {
        let label = summary.label.as_ref().filter(|label| !label.is_empty)?;
        Some((label.content, summary))
    });
    for group in groups(with_label) {
        let is_reported =
            |other: &Vec<&Summary>| group.iter().all(|one| other.iter().any(|other| one.name == other.name));
        if !same_images.iter().any(is_reported) {
            let text = format!("{} have the same label map, but different images", listed(&group, &part_of));
            findings.push(Finding::shared(Severity::Note, "groups of subjects with the same label map", text));
        }
    }
    findings
}

/// Returns the name of each subject's part in the split.
fn part_names(parts: &Parts) -> BTreeMap<&str, &'static str> {
    let named = [(&parts.train, "train"), (&parts.val, "val"), (&parts.test, "test")];
    named.into_iter().flat_map(|(part, title)| part.iter().map(move |name| (name.as_str(), title))).collect()
}

/// Returns whether an image has contrast: constant images are not copies of each other.
fn has_contrast(image: &Image) -> bool {
    image.channels.iter().any(|channel| channel.intensities.is_some_and(|intensities| !intensities.are_constant()))
}

/// Returns a hash of all voxels and of the shape that does not depend on the order of voxels and axes.
fn unordered(image: &Image, summary: &Summary) -> [u8; 32] {
    let mut shape = summary.grid.map_or([0; 3], |grid| grid.shape);
    shape.sort_unstable();
    let mut hash = Sha256::new();
    shape.iter().for_each(|size| hash.update((*size as u64).to_le_bytes()));
    image.channels.iter().for_each(|channel| hash.update(channel.content.unordered.to_le_bytes()));
    hash.finalize().into()
}

/// Returns the groups of several subjects with the same key, sorted by the first name of each.
fn groups<'a>(keyed: impl Iterator<Item = ([u8; 32], &'a Summary)>) -> Vec<Vec<&'a Summary>> {
    let mut by_key: BTreeMap<[u8; 32], Vec<&Summary>> = BTreeMap::new();
    keyed.for_each(|(key, summary)| by_key.entry(key).or_default().push(summary));
    let mut groups: Vec<_> = by_key.into_values().filter(|group| group.len() > 1).collect();
    groups.sort_by(|a, b| a[0].name.cmp(&b[0].name));
    groups
}

fn same_image(group: &[&Summary], part_of: &BTreeMap<&str, &'static str>) -> Finding {
    let ordered = |summary: &Summary| -> Vec<_> {
        summary.image.iter().flat_map(|image| &image.channels).map(|channel| channel.content.ordered).collect()
    };
    let label = |summary: &Summary| summary.label.as_ref().map(|label| label.content);
    let in_order = group.iter().all(|summary| ordered(summary) == ordered(group[0]));
    let how = if in_order { "the same image" } else { "the same image, flipped or with permuted axes" };
    // The label map of a flipped copy differs too.
    let labels_differ = in_order && group.iter().any(|summary| label(summary) != label(group[0]));
    let labels = if labels_differ { ", with different label maps" } else { "" };
    let mut parts: Vec<_> = group.iter().filter_map(|summary| part_of.get(summary.name.as_str())).collect();
    parts.sort_unstable();
    parts.dedup();
    let names = listed(group, part_of);
    if parts.len() > 1 {
        let text = format!("{names} have {how}{labels}: a leak between parts of the split; keep one");
        return Finding::shared(Severity::Fault, SAME_IMAGE, text);
    }
    Finding::shared(Severity::Note, SAME_IMAGE, format!("{names} have {how}{labels}"))
}

/// Formats a group, as in `a (train), b (val) and c (in no part)`.
fn listed(group: &[&Summary], part_of: &BTreeMap<&str, &'static str>) -> String {
    let named = |summary: &&Summary| match part_of.get(summary.name.as_str()) {
        Some(part) => format!("{} ({part})", summary.name),
        None => format!("{} (in no part)", summary.name),
    };
    let names: Vec<String> = group.iter().map(named).collect();
    let (last, rest) = names.split_last().expect("a group has members");
    format!("{} and {last}", rest.join(", "))
}

/// Reports two channels of a subject with the same voxels.
fn repeated_channel(summary: &Summary) -> Option<Finding> {
    let channels = &summary.image.as_ref()?.channels;
    let has_contrast =
        |index: usize| channels[index].intensities.is_some_and(|intensities| !intensities.are_constant());
    let pairs = (0..channels.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
    let (a, b) = pairs
        .filter(|(a, _)| has_contrast(*a))
        .find(|(a, b)| channels[*a].content.ordered == channels[*b].content.ordered)?;
    let text = format!("its channels {a} and {b} have the same voxels");
    Some(Finding::note("images with two equal channels", &summary.name, text))
}
