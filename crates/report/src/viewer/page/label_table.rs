//! The table of labels below the slice.

use maud::{Markup, html};

use crate::appearance::palette::{colour, css_colour, prediction_colour};
use crate::viewer::{LabelCounts, Scene};
use volume::Label;

/// Returns the table with the size and Dice of each label.
pub(super) fn label_table(scene: &Scene, counts: &LabelCounts) -> Markup {
    let ml_per_voxel = scene.stored.affine.determinant().abs() / 1000.0;
    let sizes =
        |voxels: u64| html! { td.number { (voxels) } td.number { (millilitres(voxels as f64 * ml_per_voxel)) } };
    let (label, prediction) = (scene.label.is_some(), scene.prediction.is_some());
    html! {
        section.scroll {
            table #labels {
                thead {
                    tr {
                        th scope="col" { "Label" }
                        @if label { th.number scope="col" { "voxels" } th.number scope="col" { "ml" } }
                        @if prediction { th.number scope="col" { "predicted voxels" } th.number scope="col" { "predicted ml" } }
                        @if label && prediction { th.number scope="col" { "Dice" } }
                        th scope="col" { "Largest slice" }
                    }
                }
                tbody {
                    @for (value, overlap) in &counts.labels {
                        tr {
                            th scope="row" {
                                label {
                                    input type="checkbox" checked data-label=(value);
                                    (swatch(scene, *value))
                                    (scene.name(*value))
                                }
                            }
                            @if label { (sizes(overlap.label)) }
                            @if prediction { (sizes(overlap.prediction)) }
                            @if label && prediction { td.number { (overlap.dice().map_or(String::new(), |dice| format!("{dice:.3}"))) } }
                            td { button type="button" data-show=(value) { "show" } }
                        }
                    }
                }
            }
        }
    }
}

/// Returns a swatch that looks like the label in the picture: filled if in the label map, outlined if in the prediction.
fn swatch(scene: &Scene, label: Label) -> Markup {
    let fill = if scene.label.is_some() { css_colour(colour(label)) } else { "transparent".to_owned() };
    let outline = if scene.prediction.is_some() { prediction_colour(label) } else { colour(label) };
    html! { span.swatch style={ "--label:" (fill) ";--outline:" (css_colour(outline)) } {} }
}

/// Formats a volume with about three significant digits.
fn millilitres(ml: f64) -> String {
    let decimals = if ml >= 100.0 {
        0
    } else if ml >= 1.0 {
        1
    } else {
        3
    };
    format!("{ml:.decimals$}")
}
