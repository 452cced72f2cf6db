//! The table of labels below the slice.

use maud::{Markup, html};

use crate::appearance::palette::css_colour;
use crate::viewer::{LabelCounts, Scene};

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
                                    span.swatch style={ "--label:" (css_colour(*value)) } {}
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
