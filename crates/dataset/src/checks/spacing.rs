//! Spacings that are unusual among those of the other subjects.

use super::outliers::{median, outliers};
use super::summary::Summary;
use super::{Dataset, Finding};
use volume::orientation::axes_to_ras;
use volume::{Grid, format_spacing};

/// Minimum factor between a spacing and the median for the spacing to be unusual.
const MIN_FACTOR: f64 = 2.0;
/// Maximum difference from 1 mm of a spacing that is a default rather than measured.
const UNIT_TOLERANCE: f64 = 1e-4;

/// Reports spacings of 1 x 1 x 1 mm among others, and those far from the median along an axis.
pub(super) fn check(summaries: &[Summary], _: &Dataset) -> Vec<Finding> {
    let grids: Vec<(&str, [f64; 3])> = summaries
        .iter()
        .filter_map(|summary| Some((summary.name.as_str(), anatomical_spacing(summary.grid.as_ref()?))))
        .collect();
    let (unit, others): (Vec<_>, Vec<_>) = grids.into_iter().partition(|(_, spacing)| is_unit(spacing));
    // If most subjects have it, the dataset was resampled to it.
    if unit.len() >= others.len() {
        let all: Vec<_> = unit.into_iter().chain(others).collect();
        return outlying(&all);
    }
    let usual = format_spacing(std::array::from_fn(|axis| median(others.iter().map(|(_, spacing)| spacing[axis]))));
    let total = unit.len() + others.len();
    let lost = |(name, _): &(&str, _)| {
        let count = format!("{} of {total} subjects", unit.len());
        let text = format!(
            "its spacing is 1 x 1 x 1 mm, as in {count}; the median of the others is {usual}: was it lost when the file was written?"
        );
        Finding::note("images with a spacing of 1 x 1 x 1 mm", name, text)
    };
    unit.iter().map(lost).chain(outlying(&others)).collect()
}

fn is_unit(spacing: &[f64; 3]) -> bool {
    spacing.iter().all(|size| (size - 1.0).abs() < UNIT_TOLERANCE)
}

/// Reports subjects whose spacing along an axis is far from the median, one finding each.
fn outlying(grids: &[(&str, [f64; 3])]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (axis, direction) in ["left to right", "back to front", "feet to head"].into_iter().enumerate() {
        let logarithms: Vec<f64> = grids.iter().map(|(_, spacing)| spacing[axis].ln()).collect();
        for index in outliers(&logarithms, MIN_FACTOR.ln()) {
            let (name, spacing) = grids[index];
            let usual =
                format_spacing(std::array::from_fn(|axis| median(grids.iter().map(|(_, spacing)| spacing[axis]))));
            let text = format!(
                "its spacing of {} is unusual from {direction}; the median is {usual}",
                format_spacing(spacing)
            );
            if !findings.iter().any(|finding: &Finding| finding.subject.as_deref() == Some(name)) {
                findings.push(Finding::note("images of unusual spacing", name, text));
            }
        }
    }
    findings
}

/// Returns the spacing from left to right, back to front and feet to head in mm, whatever the axes of the file.
fn anatomical_spacing(grid: &Grid) -> [f64; 3] {
    let spacing = grid.spacing();
    axes_to_ras(&grid.affine).map(|axis| spacing[axis.source_axis])
}
