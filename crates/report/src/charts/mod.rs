//! Charts of a comparison as SVG, for the page and for files of their own.
//!
//! A chart names classes and holds no colour: in the page its style follows light and dark, and a file of its
//! own brings [`STYLE`].

use maud::{Markup, PreEscaped, html};

use crate::comparison::Group;
use crate::comparison::plan_differences::VaryingKey;

mod axis;
mod box_plots;
mod intervals;
mod learning_curves;
mod main_effects;
mod parallel_coordinates;

use axis::{Axis, text};

/// How many settings have a colour of their own; the rest are grey.
pub const COLOURS: usize = 7;

/// Colours and lines of a chart in a file of its own; the page has the same classes with colours of its own.
pub const STYLE: &str = include_str!("charts.css");

/// A chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Its file's name without the ending.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// Width and height.
    pub size: (f64, f64),
    /// What is inside the `svg` element.
    pub body: Markup,
    /// What a script must know of it: the axes of curves.
    pub scales: Option<String>,
}

/// The charts of a group, by what they show.
#[derive(Clone, Debug, Default)]
pub struct Charts {
    /// The mean Dice of each setting with its interval.
    pub intervals: Vec<Chart>,
    /// A quantity over the epochs, a curve a run.
    pub curves: Vec<Chart>,
    /// The Dice of the cases, a chart a label.
    pub boxes: Vec<Chart>,
    /// A line a run through the values of the keys to the mean Dice.
    pub parallel: Vec<Chart>,
    /// The mean Dice for each value of a key.
    pub effects: Vec<Chart>,
}

impl Charts {
    /// The charts that a group gives rise to.
    pub fn of(group: &Group) -> Self {
        let keys: Vec<&VaryingKey> = group.keys.iter().collect();
        Self {
            intervals: intervals::chart(group).into_iter().collect(),
            curves: learning_curves::charts(group),
            boxes: box_plots::charts(group),
            parallel: parallel_coordinates::chart(group, &keys).into_iter().collect(),
            effects: keys.iter().filter_map(|key| main_effects::chart(group, key)).collect(),
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Chart> {
        [&self.intervals, &self.curves, &self.boxes, &self.parallel, &self.effects].into_iter().flatten()
    }
}

impl Chart {
    /// The chart as part of a page.
    pub fn inline(&self) -> Markup {
        let (width, height) = self.size;
        html! {
            svg.chart viewBox={ "0 0 " (width) " " (height) } role="img" aria-label=(self.title)
                data-scales=[self.scales.as_deref()] { (self.body) }
        }
    }

    /// The chart as a file.
    pub fn file(&self) -> String {
        let (width, height) = self.size;
        let markup = html! {
            svg xmlns="http://www.w3.org/2000/svg" class="chart" width=(width) height=(height + 28.0)
                viewBox={ "0 -28 " (width) " " (height + 28.0) } {
                style { (PreEscaped(STYLE)) }
                rect class="paper" x="0" y="-28" width=(width) height=(height + 28.0) {}
                (text(width / 2.0, -8.0, "heading", "middle", &self.title))
                (self.body)
            }
        };
        format!("{}\n", markup.into_string())
    }
}

/// The class that gives a setting its colour.
fn colour(setting: Option<usize>) -> String {
    match setting {
        Some(place) if place < COLOURS => format!("c{place}"),
        _ => "rest".to_owned(),
    }
}

/// A name as part of a file's name.
fn file_name(text: &str) -> String {
    text.chars().map(|c| if c.is_alphanumeric() || c == '_' || c == '-' { c } else { '_' }).collect()
}

/// A text cut to a length that fits.
pub fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    text.chars().take(longest.saturating_sub(1)).chain(['…']).collect()
}

/// An axis of scores: from the tenth below the smallest to the tenth above the largest.
fn dice_axis(values: impl Iterator<Item = f64> + Clone, pixels: (f64, f64)) -> Axis {
    let (lowest, highest) = (values.clone().fold(1.0, f64::min), values.fold(0.0, f64::max));
    let (start, end) = (((lowest - 0.01) * 10.0).floor() / 10.0, ((highest + 0.01) * 10.0).ceil() / 10.0);
    Axis::new((start.clamp(0.0, 0.9), end.clamp(0.1, 1.0)), pixels)
}
