//! The captions of slices, and the legend of labels.

use std::cmp::Reverse;

use super::contact_sheet::LegendEntry;
use super::label_counts::LabelCounts;
use super::plane::Plane;
use super::scene::Scene;
use crate::appearance::palette::colour;
use crate::format::decimals;
use volume::Label;

/// The maximum number of labels in a legend.
const MAX_LEGEND_LABELS: usize = 24;

/// Returns the number of a slice, counted from inferior, posterior or left, and its world coordinate.
pub(super) fn caption(scene: &Scene, plane: Plane, index: usize) -> String {
    let axis = ["x", "y", "z"][plane.axes()[2]];
    let position = decimals(scene.position_mm(plane, index), 1);
    format!("{} of {} · {axis} {position} mm", index + 1, scene.num_slices(plane))
}

/// Returns the labels in the scene with their names; if there are many, only the largest.
pub(super) fn legend(scene: &Scene, counts: &LabelCounts) -> Vec<LegendEntry> {
    let mut labels: Vec<_> = counts.labels.iter().collect();
    labels.sort_by_key(|(label, counts)| (Reverse(counts.label.max(counts.prediction)), **label));
    let more = labels.len().saturating_sub(MAX_LEGEND_LABELS);
    labels.truncate(MAX_LEGEND_LABELS);
    labels.sort_by_key(|(label, _)| **label);
    // A swatch looks like the label in the picture: filled, outlined, or both.
    let entry = |label: Label| LegendEntry {
        fill: scene.label.is_some().then(|| colour(label)),
        outline: scene.prediction.is_some().then(|| (scene.outline_colour)(label)),
        name: scene.name(label),
    };
    let named = labels.into_iter().map(|(label, _)| entry(*label));
    let more = (more > 0).then(|| LegendEntry { fill: None, outline: None, name: format!("and {more} more") });
    named.chain(more).collect()
}
