//! One HTML page that holds the volume and a small viewer, and needs no network.

use std::path::Path;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotters::prelude::RGBColor;
use serde_json::{Value as Json, json};

use super::label_counts::LabelCounts;
use super::scene::{Plane, Scene};
use super::window::short;
use super::{ViewError, slice_selection, write_file};
use crate::appearance::page_head;
use crate::appearance::palette::colour;
use volume::Label;

mod downsample;
mod encode;
mod label_table;

use downsample::reduced;
use encode::{Codes, packed};
use label_table::table;

const STYLE: &str = include_str!("viewer.css");
/// In the order in which they need one another.
const SCRIPTS: [&str; 3] = [include_str!("volume.js"), include_str!("drawing.js"), include_str!("controls.js")];

/// A browser holds more voxels than this only slowly; larger volumes are shown at a lower resolution.
const MAX_VOXELS: usize = 1 << 26;

/// Named windows for Hounsfield units.
const PRESETS: [(&str, f32, f32); 5] = [
    ("Soft tissue", -160.0, 240.0),
    ("Liver", -45.0, 105.0),
    ("Lung", -1350.0, 150.0),
    ("Bone", -500.0, 1300.0),
    ("Brain", 0.0, 80.0),
];

/// Writes a page in which one moves through a scene; the file appears whole or not at all.
///
/// Gives what was left out, if anything.
///
/// # Errors
/// When the disk refuses.
pub fn write_html(scene: &Scene, title: &str, path: &Path) -> Result<Option<String>, ViewError> {
    let tally = scene.tally();
    let (shown, factors) = reduced(scene, MAX_VOXELS);
    let shown_tally = if factors == [1; 3] { tally.clone() } else { shown.tally() };
    let codes = Codes::of(&shown);
    let mut left_out = Vec::new();
    if factors != [1; 3] {
        let [x, y, z] = factors;
        left_out.push(format!("{x} x {y} x {z} voxels are shown as one, so that a browser can hold them"));
    }
    if codes.is_cut {
        let [low, high] = codes.range().map(short);
        left_out.push(format!("intensities below {low} or above {high} are shown as {low} or {high}"));
    }
    let page = Page { scene, shown: &shown, factors, codes, tally, shown_tally, title, left_out };
    write_file(path, page.markup().into_string().as_bytes())?;
    Ok((!page.left_out.is_empty()).then(|| page.left_out.join("; ")))
}

/// What the page is made of.
struct Page<'a> {
    scene: &'a Scene,
    /// The scene at the resolution of the page.
    shown: &'a Scene,
    /// Voxels of the scene along right, front and head that are one of the page.
    factors: [usize; 3],
    codes: Codes,
    tally: LabelCounts,
    /// That of the scene at the resolution of the page.
    shown_tally: LabelCounts,
    title: &'a str,
    left_out: Vec<String>,
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
                        p.quiet { (self.geometry()) }
                        button #theme type="button" { "Light / dark" }
                    }
                    @for sentence in &self.left_out { p.warning { (sentence) "." } }
                    noscript { p.warning { "This page needs JavaScript, which it brings along." } }
                    main { (self.viewer()) (self.controls()) }
                    @if !self.tally.labels.is_empty() { (table(self.scene, &self.tally)) }
                    (keys())
                    script #facts type="application/json" { (PreEscaped(self.facts().to_string().replace('<', "\\u003c"))) }
                    (voxels("image", packed(self.shown, |place| self.codes.code(values[place]))))
                    @if let Some(map) = &self.shown.label { (voxels("label", packed(self.shown, |place| map[place]))) }
                    @if let Some(map) = &self.shown.prediction { (voxels("prediction", packed(self.shown, |place| map[place]))) }
                    @for script in SCRIPTS { script { (PreEscaped(script)) } }
                }
            }
        }
    }

    /// Shape, spacing and orientation of the file.
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
                div.stage { canvas #slice tabindex="0" role="img" aria-label="slice" {} p #status role="status" { "Reading the volume …" } }
                label.slider { span #slice-name { "Slice" } input #index type="range" min="0" max="0" value="0"; output #where {} }
                dl #readout aria-label="under the pointer" {
                    @for (id, name) in [("voxel", "voxel"), ("world", "world (RAS, mm)"), ("value", "intensity")] { (fact(id, name)) }
                    @if self.scene.label.is_some() { (fact("its-label", "label")) }
                    @if self.scene.prediction.is_some() { (fact("its-prediction", "prediction")) }
                }
            }
        }
    }

    fn controls(&self) -> Markup {
        let has_label = self.scene.label.is_some();
        let has_prediction = self.scene.prediction.is_some();
        let unit = if self.scene.is_hounsfield { " (HU)" } else { "" };
        html! {
            section.controls aria-label="controls" {
                fieldset #planes {
                    legend { "Plane" }
                    @for (place, plane) in Plane::ALL.iter().enumerate() {
                        label { input type="radio" name="plane" value=(place) checked[place == 0]; (capital(plane.name())) }
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
                @if has_label || has_prediction {
                    fieldset {
                        legend { "Overlays" }
                        @if has_label {
                            label { input #show-label type="checkbox" checked; "Label, filled" }
                            label.slider { span { "Opacity" } input #opacity type="range" min="0" max="1" step="0.05" value=(super::picture::OPACITY); }
                        }
                        @if has_prediction { label { input #show-prediction type="checkbox" checked; "Prediction, outlined" } }
                        div.buttons {
                            button #go-largest type="button" { "Largest label" }
                            @if has_label && has_prediction { button #go-differing type="button" disabled[!self.differs()] { "Largest disagreement" } }
                        }
                    }
                }
                fieldset {
                    legend { "Display" }
                    label.slider { span { "Zoom" } input #zoom type="range" min="1" max="8" step="0.25" value="1"; }
                    label { input #smooth type="checkbox" checked; "Smooth between voxels" }
                }
            }
        }
    }

    /// Whether label map and prediction are not the same.
    fn differs(&self) -> bool {
        self.tally.slices(Plane::Axial).differing.iter().any(|voxels| *voxels > 0)
    }

    /// Windows with a name: the one that the page opens with, then those of Hounsfield units or all values.
    fn presets(&self) -> Vec<(&'static str, f32, f32)> {
        let window = self.scene.window;
        let mut presets = vec![("Default", window.low, window.high)];
        if self.scene.is_hounsfield {
            presets.extend(PRESETS);
        } else {
            let [low, high] = self.codes.range();
            presets.push(("Full range", low, high));
        }
        presets
    }

    /// What the script has to know.
    fn facts(&self) -> Json {
        let grid = self.shown.grid();
        let tally = &self.shown_tally;
        let plane = |plane: &Plane| {
            let slices = tally.slices(*plane);
            let labels = slices
                .labels
                .iter()
                .map(|(label, counts)| (label.to_string(), slice_selection::largest_slice(counts).into()));
            json!({
                "name": plane.name(),
                "axes": plane.axes(),
                "letters": plane.letters().map(String::from),
                "fullest": slice_selection::largest_slice(&slices.foreground),
                "differing": slice_selection::largest_slice(&slices.differing),
                "labels": labels.collect::<serde_json::Map<String, Json>>(),
            })
        };
        let label =
            |label: &Label| (label.to_string(), json!({ "name": self.scene.name(*label), "colour": css(*label) }));
        json!({
            "shape": grid.shape,
            "spacing": grid.spacing(),
            "affine": grid.affine,
            "file": {
                "shape": self.scene.stored.shape,
                "axes": self.scene.turns().map(|turn| turn.source_axis),
                "flipped": self.scene.turns().map(|turn| turn.flipped),
                "factors": self.factors,
            },
            "value": { "offset": self.codes.offset, "step": self.codes.step },
            "range": self.codes.range(),
            "window": [self.scene.window.low, self.scene.window.high],
            "labels": self.tally.labels.keys().map(label).collect::<serde_json::Map<String, Json>>(),
            "planes": Plane::ALL.iter().map(plane).collect::<Vec<_>>(),
        })
    }
}

/// The parts of an array of voxels.
fn voxels(name: &str, parts: Vec<String>) -> Markup {
    html! { @for part in parts { script data-voxels=(name) type="text/plain" { (PreEscaped(part)) } } }
}

/// A row of what is under the pointer.
fn fact(id: &str, name: &str) -> Markup {
    html! { div { dt { (name) } dd id=(id) { "–" } } }
}

fn keys() -> Markup {
    let keys = [
        ("↑ ↓, wheel, Page Up, Page Down, Home, End", "other slices"),
        ("1 2 3", "axial, coronal, sagittal"),
        ("drag on the slice", "window: sideways its width, up and down its level"),
        ("click on the slice", "the point that the other planes go through and the zoom keeps in the middle"),
        ("+ -, Ctrl and wheel", "zoom"),
        ("L, P", "label and prediction on and off"),
        ("R", "back to the start"),
    ];
    html! {
        details {
            summary { "Keys and pointer" }
            dl.keys { @for (key, what) in keys { div { dt { (key) } dd { (what) } } } }
        }
    }
}

fn capital(name: &str) -> String {
    name[..1].to_uppercase() + &name[1..]
}

/// The colour of a label in a style sheet.
fn css(label: Label) -> String {
    let RGBColor(red, green, blue) = colour(label);
    format!("#{red:02x}{green:02x}{blue:02x}")
}
