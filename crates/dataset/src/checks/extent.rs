//! Sizes and numbers of channels that are unusual among those of the other subjects.

use std::collections::BTreeMap;

use super::outliers::{median, outliers};
use super::read::shape_text;
use super::summary::Summary;
use super::{Dataset, Finding};
use volume::Grid;
use volume::io;
use volume::orientation::axes_to_ras;

/// Minimum factor between a size and the median for the size to be unusual.
const MIN_FACTOR: f64 = 3.0;

/// Reports subjects with another number of channels than most, and volumes of unusual shape.
pub(super) fn check(summaries: &[Summary], _: &Dataset) -> Vec<Finding> {
    channels(summaries).into_iter().chain(slices_as_channels(summaries)).chain(shapes(summaries)).collect()
}

/// Reports subjects with another number of channels than most: a network takes a fixed number.
fn channels(summaries: &[Summary]) -> Vec<Finding> {
    let counts: Vec<(&str, usize)> = summaries
        .iter()
        .filter_map(|summary| Some((summary.name.as_str(), summary.image.as_ref()?.channels.len())))
        .collect();
    let mut subjects: BTreeMap<usize, usize> = BTreeMap::new();
    counts.iter().for_each(|(_, count)| *subjects.entry(*count).or_default() += 1);
    let Some((usual, _)) = subjects.iter().max_by_key(|(_, subjects)| **subjects) else { return Vec::new() };
    let other = counts.iter().filter(|(_, count)| count != usual);
    let finding = |(name, count): &(&str, usize)| {
        let text = format!("its image has {count} channels, but most subjects have {usual}; all need the same number");
        Finding::fault("images with another number of channels", name, text)
    };
    other.map(finding).collect()
}

/// Reports images of one slice and several channels, which may be slices on the wrong axis.
fn slices_as_channels(summaries: &[Summary]) -> Vec<Finding> {
    let finding = |summary: &Summary| {
        let count = summary.image.as_ref()?.channels.len();
        let advice = io::slices_as_channels(summary.grid.as_ref()?.shape).filter(|_| count > 1)?;
        let text = format!("its image has 1 slice and {count} channels; {advice}");
        Some(Finding::note("images of one slice and several channels", &summary.name, text))
    };
    summaries.iter().filter_map(finding).collect()
}

/// Reports volumes whose size along an axis is far from the median, one finding each.
fn shapes(summaries: &[Summary]) -> Vec<Finding> {
    let shapes: Vec<(&str, [usize; 3])> = summaries
        .iter()
        .filter_map(|summary| Some((summary.name.as_str(), anatomical_shape(summary.grid.as_ref()?))))
        .collect();
    let mut findings: BTreeMap<&str, Finding> = BTreeMap::new();
    for axis in 0..3 {
        let logarithms: Vec<f64> = shapes.iter().map(|(_, shape)| (shape[axis] as f64).ln()).collect();
        for index in outliers(&logarithms, MIN_FACTOR.ln()) {
            let (name, shape) = shapes[index];
            let usual =
                [0, 1, 2].map(|axis| median(shapes.iter().map(|(_, shape)| shape[axis] as f64)).round() as usize);
            let text = format!(
                "its {} voxels (left to right, back to front, feet to head) are unusual; the median is {}",
                shape_text(shape),
                shape_text(usual)
            );
            findings.entry(name).or_insert_with(|| Finding::note("images of unusual shape", name, text));
        }
    }
    findings.into_values().collect()
}

/// Returns the number of voxels from left to right, back to front and feet to head, whatever the axes of the file.
fn anatomical_shape(grid: &Grid) -> [usize; 3] {
    axes_to_ras(&grid.affine).map(|axis| grid.shape[axis.source_axis])
}
