//! The captions of slices, and the legend of labels.

use std::cmp::Reverse;

use super::label_counts::LabelCounts;
use super::plane::Plane;
use super::scene::Scene;
use volume::Label;

/// The maximum number of labels in a legend.
const MAX_LEGEND_LABELS: usize = 24;

/// Returns the number of a slice, counted from inferior, posterior or left, and its world coordinate.
pub(super) fn caption(scene: &Scene, plane: Plane, index: usize) -> String {
    let axis = ["x", "y", "z"][plane.axes()[2]];
    let position = scene.position_mm(plane, index);
    format!("{} of {} · {axis} {position:.1} mm", index + 1, scene.num_slices(plane))
}

/// Returns the labels in the scene with their names; if there are many, only the largest.
pub(super) fn legend(scene: &Scene, counts: &LabelCounts) -> Vec<(Label, String)> {
    let mut labels: Vec<_> = counts.labels.iter().collect();
    labels.sort_by_key(|(label, counts)| (Reverse(counts.label.max(counts.prediction)), **label));
    let more = labels.len().saturating_sub(MAX_LEGEND_LABELS);
    labels.truncate(MAX_LEGEND_LABELS);
    labels.sort_by_key(|(label, _)| **label);
    let named = labels.into_iter().map(|(label, _)| (*label, scene.name(*label)));
    named.chain((more > 0).then(|| (0, format!("and {more} more")))).collect()
}
