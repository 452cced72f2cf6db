//! Sizes and numbers of channels that are unusual among those of the other subjects.

use std::collections::BTreeMap;

use super::read::shape_text;
use super::spread::{median, unusual};
use super::summary::Summary;
use super::{Dataset, Finding};
use volume::Grid;
use volume::orientation::axes_to_ras;

/// A size that differs by less than this factor from the median is never called unusual.
const LEAST_FACTOR: f64 = 3.0;

/// Subjects with other channels than most, and volumes of unusual shape.
pub(super) fn check(summaries: &[Summary], _: &Dataset) -> Vec<Finding> {
    channels(summaries).into_iter().chain(shapes(summaries)).collect()
}

/// One network takes one number of channels.
fn channels(summaries: &[Summary]) -> Vec<Finding> {
    let counts: Vec<(&str, usize)> = summaries
        .iter()
        .filter_map(|summary| Some((summary.name.as_str(), summary.image.as_ref()?.channels.len())))
        .collect();
    let mut subjects: BTreeMap<usize, usize> = BTreeMap::new();
    counts.iter().for_each(|(_, count)| *subjects.entry(*count).or_default() += 1);
    let Some((usual, _)) = subjects.iter().max_by_key(|(_, subjects)| **subjects) else { return Vec::new() };
    let other = counts.iter().filter(|(_, count)| count != usual);
    let told = |(name, count): &(&str, usize)| {
        let text = format!("its image has {count} channels, those of most subjects {usual}; all need the same");
        Finding::fault(name, text)
    };
    other.map(told).collect()
}

/// Volumes far from the median shape along an axis, one finding each.
fn shapes(summaries: &[Summary]) -> Vec<Finding> {
    let shapes: Vec<(&str, [usize; 3])> = summaries
        .iter()
        .filter_map(|summary| Some((summary.name.as_str(), along_world(summary.grid.as_ref()?))))
        .collect();
    let mut findings: BTreeMap<&str, Finding> = BTreeMap::new();
    for axis in 0..3 {
        let logarithms: Vec<f64> = shapes.iter().map(|(_, shape)| (shape[axis] as f64).ln()).collect();
        for place in unusual(&logarithms, LEAST_FACTOR.ln()) {
            let (name, shape) = shapes[place];
            let usual =
                [0, 1, 2].map(|axis| median(shapes.iter().map(|(_, shape)| shape[axis] as f64)).round() as usize);
            let text = format!(
                "its {} voxels (right, front, head) are unusual; the median is {}",
                shape_text(shape),
                shape_text(usual)
            );
            findings.entry(name).or_insert_with(|| Finding::note(name, text));
        }
    }
    findings.into_values().collect()
}

/// Voxels from left to right, back to front and feet to head, whichever way the file has its axes.
fn along_world(grid: &Grid) -> [usize; 3] {
    axes_to_ras(&grid.affine).map(|turn| grid.shape[turn.source_axis])
}
