//! The table of labels below the slice.

use maud::{Markup, html};

use super::css;
use crate::viewer::label_counts::LabelCounts;
use crate::viewer::scene::Scene;

/// Voxels, millilitres and Dice of each label.
pub(super) fn table(scene: &Scene, tally: &LabelCounts) -> Markup {
    let ml_per_voxel = scene.stored.affine.determinant().abs() / 1000.0;
    let sizes =
        |voxels: u64| html! { td.number { (voxels) } td.number { (millilitres(voxels as f64 * ml_per_voxel)) } };
    let (label, prediction) = (scene.label.is_some(), scene.prediction.is_some());
    html! {
        section.wide {
            table #labels {
                thead {
                    tr {
                        th scope="col" { "Label" }
                        @if label { th.number scope="col" { "voxels" } th.number scope="col" { "ml" } }
                        @if prediction { th.number scope="col" { "predicted voxels" } th.number scope="col" { "predicted ml" } }
                        @if label && prediction { th.number scope="col" { "Dice" } }
                        th scope="col" { "Largest in" }
                    }
                }
                tbody {
                    @for (value, counts) in &tally.labels {
                        tr {
                            th scope="row" {
                                label {
                                    input type="checkbox" checked data-label=(value);
                                    span.swatch style={ "--label:" (css(*value)) } {}
                                    (scene.name(*value))
                                }
                            }
                            @if label { (sizes(counts.label)) }
                            @if prediction { (sizes(counts.prediction)) }
                            @if label && prediction { td.number { (counts.dice().map_or(String::new(), |dice| format!("{dice:.3}"))) } }
                            td { button type="button" data-go=(value) { "slice" } }
                        }
                    }
                }
            }
        }
    }
}

/// A volume with three digits or all before the point.
fn millilitres(ml: f64) -> String {
    let digits = if ml >= 100.0 {
        0
    } else if ml >= 1.0 {
        1
    } else {
        3
    };
    format!("{ml:.digits$}")
}
