//! Charts of a comparison as SVG, for the report page and as files.
//!
//! Charts name CSS classes instead of colours, so that the page can restyle them for dark mode and its script can
//! highlight runs; an SVG file brings [`STYLE`]. Plotters ([`crate::plots`]) has neither classes nor scripts, and these
//! charts have no PNG: hence the two ways to draw.

use maud::{Markup, PreEscaped, html};

use crate::comparison::{Group, Subject, VaryingKey};
use crate::runs::ComparedMetric;

mod axis;
mod box_plots;
mod intervals;
mod learning_curves;
mod main_effects;
mod parallel_coordinates;

use axis::{Axis, text};

/// The number of settings with their own colour; all others are grey.
pub const NUM_COLOURS: usize = 7;

/// The style sheet of SVG files; the page overrides its colours.
pub const STYLE: &str = include_str!("charts.css");

/// A chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// The name of its file, without extension.
    pub name: String,
    /// The title.
    pub title: String,
    /// Width and height in pixels.
    pub size: (f64, f64),
    /// The contents of the `svg` element.
    pub body: Markup,
    /// The axes of learning curves, from which the script computes values: `LOW,HIGH,START,END` of x and of y.
    pub axes: Option<String>,
    /// The number of decimals with which the script shows values.
    pub decimals: usize,
}

/// The charts of a group.
#[derive(Clone, Debug, Default)]
pub struct Charts {
    /// The mean score of each setting with its confidence interval.
    pub intervals: Vec<Chart>,
    /// A metric over the epochs, a curve per run.
    pub learning_curves: Vec<Chart>,
    /// Box plots of the scores of cases, a chart per label.
    pub box_plots: Vec<Chart>,
    /// Parallel coordinates of the varying keys and the mean score.
    pub parallel_coordinates: Vec<Chart>,
    /// The mean score by the value of a key, a chart per key.
    pub main_effects: Vec<Chart>,
}

impl Charts {
    /// Draws all charts of a group; charts without data are left out.
    pub fn of(group: &Group) -> Self {
        // The names of folders are no values of a factor.
        let is_of_runs = group.subject == Subject::Runs;
        let keys: Vec<&VaryingKey> = group.varying_keys.iter().filter(|_| is_of_runs).collect();
        Self {
            intervals: intervals::chart(group).into_iter().collect(),
            learning_curves: learning_curves::charts(group),
            box_plots: box_plots::charts(group),
            parallel_coordinates: parallel_coordinates::chart(group, &keys).into_iter().collect(),
            main_effects: keys.iter().filter_map(|key| main_effects::chart(group, key)).collect(),
        }
    }

    /// Returns all charts.
    pub fn all(&self) -> impl Iterator<Item = &Chart> {
        let Self { intervals, learning_curves, box_plots, parallel_coordinates, main_effects } = self;
        [intervals, learning_curves, box_plots, parallel_coordinates, main_effects].into_iter().flatten()
    }
}

impl Chart {
    /// Returns the chart as part of a page.
    pub fn inline(&self) -> Markup {
        let (width, height) = self.size;
        html! {
            svg.chart viewBox={ "0 0 " (width) " " (height) } role="img" aria-label=(self.title)
                data-axes=[self.axes.as_deref()] data-decimals=(self.decimals) { (self.body) }
        }
    }

    /// Returns the chart as an SVG file, with its title and style.
    pub fn file(&self) -> String {
        let (width, height) = self.size;
        let markup = html! {
            svg xmlns="http://www.w3.org/2000/svg" class="chart" width=(width) height=(height + 28.0)
                viewBox={ "0 -28 " (width) " " (height + 28.0) } {
                style { (PreEscaped(STYLE)) }
                rect class="background" x="0" y="-28" width=(width) height=(height + 28.0) {}
                (text(width / 2.0, -8.0, "heading", "middle", &self.title))
                (self.body)
            }
        };
        format!("{}\n", markup.into_string())
    }
}

/// Returns the CSS class with the colour of a setting.
fn colour(setting: Option<usize>) -> String {
    match setting {
        Some(setting) if setting < NUM_COLOURS => format!("colour-{setting}"),
        _ => "other".to_owned(),
    }
}

/// Replaces the characters of a name that do not belong in a file name.
fn file_name(text: &str) -> String {
    text.chars().map(|c| if c.is_alphanumeric() || c == '_' || c == '-' { c } else { '_' }).collect()
}

/// Returns an axis of scores: of scores between 0 and 1 whose best is 1, rounded outwards to tenths.
fn score_axis(metric: &ComparedMetric, values: impl Iterator<Item = f64> + Clone, pixels: (f64, f64)) -> Axis {
    let is_fraction = metric.is_higher_better() && values.clone().all(|value| (0.0..=1.0).contains(&value));
    if !is_fraction {
        return Axis::around(values, pixels, false);
    }
    let (lowest, highest) = (values.clone().fold(1.0, f64::min), values.fold(0.0, f64::max));
    let (start, end) = (((lowest - 0.01) * 10.0).floor() / 10.0, ((highest + 0.01) * 10.0).ceil() / 10.0);
    Axis::new((start.clamp(0.0, 0.9), end.clamp(0.1, 1.0)), pixels)
}
