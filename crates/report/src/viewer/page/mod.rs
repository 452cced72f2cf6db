//! A self-contained HTML page with the volume and a small viewer.
//!
//! The page contains the quantized voxels as text ([`encode`]), downsampled if the volume is large ([`downsample`]),
//! and the scripts that decode and draw them.

use std::path::Path;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::{Value as Json, json};

use super::differences;
use super::error::{ViewError, write_file};
use super::label_counts::LabelCounts;
use super::plane::Plane;
use super::scene::Scene;
use super::slice::OPACITY;
use super::slice_selection::largest_slice;
use super::window::short;
use crate::appearance::page_head;
use crate::appearance::palette::{colour, css_colour, prediction_colour};
use crate::format::capitalized;
use volume::Label;

mod downsample;
mod encode;
mod label_table;

use downsample::downsampled;
use encode::{Quantization, encode};
use label_table::label_table;

const STYLE: &str = include_str!("viewer.css");
/// The scripts; each uses only those before it.
const SCRIPTS: [&str; 4] =
    [include_str!("volume.js"), include_str!("readout.js"), include_str!("drawing.js"), include_str!("controls.js")];

/// The maximum number of voxels that browsers handle well; larger volumes are downsampled.
const MAX_VOXELS: usize = 1 << 26;

/// Windows in Hounsfield units.
const PRESETS: [(&str, f32, f32); 5] = [
    ("Soft tissue", -160.0, 240.0),
    ("Liver", -45.0, 105.0),
    ("Lung", -1350.0, 150.0),
    ("Bone", -500.0, 1300.0),
    ("Brain", 0.0, 80.0),
];

/// Keyboard and mouse controls, and their effect.
const SHORTCUTS: [(&str, &str); 7] = [
    ("↑ ↓, wheel, Page Up, Page Down, Home, End", "change the slice"),
    ("1 2 3", "axial, coronal, sagittal plane"),
    ("drag on the slice", "change the window: width horizontally, level vertically"),
    ("click on the slice", "set the point that the other planes show and that the zoom is centred on"),
    ("+ -, Ctrl and wheel", "zoom"),
    ("L, P, D", "show or hide label, prediction, and differences"),
    ("R", "reset the view"),
];

/// Writes a page with an interactive viewer of a scene, atomically.
///
/// Returns a warning if the page does not show the scene exactly.
///
/// # Errors
/// If the file cannot be written.
pub fn write_html(scene: &Scene, title: &str, path: &Path) -> Result<Option<String>, ViewError> {
    let counts = LabelCounts::of(scene);
    let (shown, factors) = downsampled(scene, MAX_VOXELS);
    let shown_counts = if factors == [1; 3] { counts.clone() } else { LabelCounts::of(&shown) };
    let quantization = Quantization::of(&shown);
    let mut warnings = Vec::new();
    if factors != [1; 3] {
        let [x, y, z] = factors;
        warnings.push(format!("downsampled by {x} x {y} x {z} voxels, because browsers cannot handle more"));
    }
    if quantization.is_clipped {
        let [low, high] = quantization.range().map(short);
        warnings.push(format!("intensities below {low} or above {high} are clipped"));
    }
    let page = Page { scene, shown: &shown, factors, quantization, counts, shown_counts, title, warnings };
    write_file(path, page.markup().into_string().as_bytes())?;
    Ok((!page.warnings.is_empty()).then(|| page.warnings.join("; ")))
}

/// The contents of the page.
struct Page<'a> {
    scene: &'a Scene,
    /// The scene at the resolution of the page.
    shown: &'a Scene,
    /// The downsampling factor of each RAS axis.
    factors: [usize; 3],
    quantization: Quantization,
    counts: LabelCounts,
    /// The counts at the resolution of the page.
    shown_counts: LabelCounts,
    title: &'a str,
    warnings: Vec<String>,
}

impl Page<'_> {
    fn markup(&self) -> Markup {
        let values = self.shown.image.channel(0);
        html! {
            (DOCTYPE)
            html lang="en" {
                (page_head(self.title, &[STYLE]))
                body {
                    header {
                        h1 { (self.title) }
                        p.secondary { (self.geometry()) }
                        button #theme type="button" { "Light / dark" }
                    }
                    @for warning in &self.warnings { p.warning { (capitalized(warning)) "." } }
                    noscript { p.warning { "This page needs JavaScript. It loads nothing from the network." } }
                    main { (self.viewer()) (self.controls()) }
                    @if !self.counts.labels.is_empty() { (label_table(self.scene, &self.counts)) }
                    (shortcuts())
                    script #volume-info type="application/json" { (PreEscaped(self.info().to_string().replace('<', "\\u003c"))) }
                    (voxels("image", encode(self.shown, |index| self.quantization.code(values[index]))))
                    @if let Some(map) = &self.shown.label { (voxels("label", encode(self.shown, |index| map[index]))) }
                    @if let Some(map) = &self.shown.prediction { (voxels("prediction", encode(self.shown, |index| map[index]))) }
                    @for script in SCRIPTS { script { (PreEscaped(script)) } }
                }
            }
        }
    }

    /// Describes shape, spacing and orientation of the file.
    fn geometry(&self) -> String {
        let grid = &self.scene.stored;
        let [x, y, z] = grid.shape;
        let spacing = grid.spacing().map(|mm| short(mm as f32)).join(" x ");
        let oblique = if grid.affine.is_oblique() { ", oblique: directions are approximate" } else { "" };
        let channels = match self.scene.image.channels {
            1 => String::new(),
            count => format!("; the first of {count} channels"),
        };
        format!("{x} x {y} x {z} voxels of {spacing} mm, stored as {}{oblique}{channels}", grid.affine.orientation())
    }

    fn viewer(&self) -> Markup {
        html! {
            section.viewer {
                div.stage { canvas #slice tabindex="0" role="img" aria-label="slice" {} p #status role="status" { "Loading the volume …" } }
                label.slider { span { "Slice" } input #slice-index type="range" min="0" max="0" value="0"; output #position {} }
                dl #readout aria-label="voxel under the pointer" {
                    (readout("voxel", "voxel"))
                    (readout("world", "world (RAS, mm)"))
                    (readout("intensity", "intensity"))
                    @if self.scene.label.is_some() { (readout("voxel-label", "label")) }
                    @if self.scene.prediction.is_some() { (readout("voxel-prediction", "prediction")) }
                }
            }
        }
    }

    fn controls(&self) -> Markup {
        let unit = if self.scene.is_hounsfield { " (HU)" } else { "" };
        html! {
            section.controls aria-label="controls" {
                fieldset #planes {
                    legend { "Plane" }
                    @for (index, plane) in Plane::ALL.iter().enumerate() {
                        label { input type="radio" name="plane" value=(index) checked[index == 0]; (capitalized(plane.name())) }
                    }
                }
                fieldset {
                    legend { "Window" (unit) }
                    label.slider { span { "Level" } input #level type="range" step="any"; input #level-number type="number" step="any" aria-label="level"; }
                    label.slider { span { "Width" } input #width type="range" step="any"; input #width-number type="number" step="any" aria-label="width"; }
                    div.buttons #presets {
                        @for (name, low, high) in self.presets() { button type="button" data-low=(low) data-high=(high) { (name) } }
                    }
                }
                @if self.scene.label.is_some() || self.scene.prediction.is_some() { (self.overlay_controls()) }
                fieldset {
                    legend { "Display" }
                    label.slider { span { "Zoom" } input #zoom type="range" min="1" max="8" step="0.25" value="1"; }
                    label { input #smooth type="checkbox" checked; "Interpolate between voxels" }
                }
            }
        }
    }

    fn overlay_controls(&self) -> Markup {
        let has_label = self.scene.label.is_some();
        let has_prediction = self.scene.prediction.is_some();
        html! {
            fieldset {
                legend { "Overlays" }
                @if has_label {
                    label { input #show-label type="checkbox" checked; "Label, filled" }
                    label.slider { span { "Opacity" } input #opacity type="range" min="0" max="1" step="0.05" value=(OPACITY); }
                }
                @if has_prediction { label { input #show-prediction type="checkbox" checked; "Prediction, outlined" } }
                @if has_label && has_prediction {
                    label { input #show-differences type="checkbox"; "Only their differences" }
                    ul.legend {
                        @for entry in differences::legend(self.scene) {
                            @let [fill, outline] = [entry.fill, entry.outline].map(|colour| colour.map_or_else(String::new, css_colour));
                            li { span.swatch style=(format!("--label: {fill}; --outline: {outline}")) {} (entry.name) }
                        }
                    }
                }
                div.buttons {
                    button #show-largest type="button" { "Slice with most labels" }
                    @if has_label && has_prediction {
                        button #show-disagreement type="button" disabled[!self.has_disagreement()] { "Slice with most disagreement" }
                    }
                }
            }
        }
    }

    /// Returns whether label map and prediction differ anywhere.
    fn has_disagreement(&self) -> bool {
        self.counts.slices(Plane::Axial).differing.iter().any(|voxels| *voxels > 0)
    }

    /// Returns named windows: the initial one, then those in Hounsfield units or the full range.
    fn presets(&self) -> Vec<(&'static str, f32, f32)> {
        let window = self.scene.window;
        let mut presets = vec![("Default", window.low, window.high)];
        if self.scene.is_hounsfield {
            presets.extend(PRESETS);
        } else {
            let [low, high] = self.quantization.range();
            presets.push(("Full range", low, high));
        }
        presets
    }

    /// Returns the geometry, intensities, labels and planes for the scripts.
    fn info(&self) -> Json {
        let grid = self.shown.grid();
        let plane = |plane: &Plane| {
            let slices = self.shown_counts.slices(*plane);
            let labels = slices.labels.iter().map(|(label, counts)| (label.to_string(), largest_slice(counts).into()));
            json!({
                "name": plane.name(),
                "axes": plane.axes(),
                "directions": plane.direction_labels().map(String::from),
                "largest": largest_slice(&slices.foreground),
                "disagreement": largest_slice(&slices.differing),
                "labels": labels.collect::<serde_json::Map<String, Json>>(),
            })
        };
        let label = |label: &Label| {
            let [filled, outlined] = [colour(*label), prediction_colour(*label)].map(css_colour);
            (label.to_string(), json!({ "name": self.scene.name(*label), "colour": filled, "outline": outlined }))
        };
        json!({
            "shape": grid.shape,
            "spacing": grid.spacing(),
            "affine": grid.affine,
            "file": {
                "shape": self.scene.stored.shape,
                "axes": self.scene.axes().map(|source| source.source_axis),
                "flipped": self.scene.axes().map(|source| source.flipped),
                "factors": self.factors,
            },
            "quantization": { "offset": self.quantization.offset, "step": self.quantization.step },
            "range": self.quantization.range(),
            "window": [self.scene.window.low, self.scene.window.high],
            "agreements": differences::PIXELS,
            "labels": self.counts.labels.keys().map(label).collect::<serde_json::Map<String, Json>>(),
            "planes": Plane::ALL.iter().map(plane).collect::<Vec<_>>(),
        })
    }
}

/// Returns the chunks of a voxel array.
fn voxels(name: &str, chunks: Vec<String>) -> Markup {
    html! { @for chunk in chunks { script data-voxels=(name) type="text/plain" { (PreEscaped(chunk)) } } }
}

/// Returns an entry of the readout.
fn readout(id: &str, name: &str) -> Markup {
    html! { div { dt { (name) } dd id=(id) { "–" } } }
}

fn shortcuts() -> Markup {
    html! {
        details {
            summary { "Keyboard and mouse" }
            dl.shortcuts { @for (input, effect) in SHORTCUTS { div { dt { (input) } dd { (effect) } } } }
        }
    }
}
