//! Spacings that are unusual among those of the other subjects.

use super::spread::{median, unusual};
use super::summary::Summary;
use super::{Dataset, Finding};
use volume::orientation::axes_to_ras;
use volume::{Grid, format_spacing};

/// A spacing that differs by less than this factor from the median is never called unusual.
const LEAST_FACTOR: f64 = 2.0;
/// How near to 1 mm a spacing lies that was never measured.
const UNIT_TOLERANCE: f64 = 1e-4;

/// Spacings of 1 x 1 x 1 mm among others, and those far from the median along an axis.
pub(super) fn check(summaries: &[Summary], _: &Dataset) -> Vec<Finding> {
    let grids: Vec<(&str, [f64; 3])> = summaries
        .iter()
        .filter_map(|summary| Some((summary.name.as_str(), along_world(summary.grid.as_ref()?))))
        .collect();
    let (unit, others): (Vec<_>, Vec<_>) = grids.into_iter().partition(|(_, spacing)| is_unit(spacing));
    // Where most subjects have it, it is how the dataset was made.
    if unit.len() >= others.len() {
        let all: Vec<_> = unit.into_iter().chain(others).collect();
        return far(&all);
    }
    let usual = format_spacing(std::array::from_fn(|axis| median(others.iter().map(|(_, spacing)| spacing[axis]))));
    let total = unit.len() + others.len();
    let lost = |(name, _): &(&str, _)| {
        let share = format!("{} of {total} subjects", unit.len());
        let text = format!(
            "its spacing is 1 x 1 x 1 mm, as in {share}; the median of the others is {usual}: was it lost when the file was written?"
        );
        Finding::note(name, text)
    };
    unit.iter().map(lost).chain(far(&others)).collect()
}

fn is_unit(spacing: &[f64; 3]) -> bool {
    spacing.iter().all(|size| (size - 1.0).abs() < UNIT_TOLERANCE)
}

/// Subjects far from the median along an axis, one finding each.
fn far(grids: &[(&str, [f64; 3])]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (axis, letter) in ["left to right", "back to front", "feet to head"].into_iter().enumerate() {
        let logarithms: Vec<f64> = grids.iter().map(|(_, spacing)| spacing[axis].ln()).collect();
        for place in unusual(&logarithms, LEAST_FACTOR.ln()) {
            let (name, spacing) = grids[place];
            let usual =
                format_spacing(std::array::from_fn(|axis| median(grids.iter().map(|(_, spacing)| spacing[axis]))));
            let text =
                format!("its spacing of {} is unusual from {letter}; the median is {usual}", format_spacing(spacing));
            if !findings.iter().any(|finding: &Finding| finding.subject.as_deref() == Some(name)) {
                findings.push(Finding::note(name, text));
            }
        }
    }
    findings
}

/// Millimetres per voxel from left to right, back to front and feet to head, whichever way the file has its axes.
fn along_world(grid: &Grid) -> [f64; 3] {
    let spacing = grid.spacing();
    axes_to_ras(&grid.affine).map(|turn| spacing[turn.source_axis])
}
