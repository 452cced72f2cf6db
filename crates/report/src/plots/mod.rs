//! Plots of a single run or evaluation, each as PNG and SVG.
//!
//! Drawn with plotters, which has a PNG backend; [`crate::charts`] explains why the report page has its own charts.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::appearance::{Canvas, use_own_font};
use crate::viewer::Bitmap;
use run_folder::folder::write_atomically;

mod box_plots;
mod learning_curves;
mod legend;
mod text;

pub use box_plots::BoxPlot;
pub use learning_curves::draw_learning_curves;

/// A plot that cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The table cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// The cause.
        source: csv::Error,
    },
    /// The plot cannot be drawn or written.
    #[error("cannot draw {path}: {reason}")]
    Draw {
        /// The file.
        path: String,
        /// The cause.
        reason: String,
    },
}

/// A plot that any backend of plotters can draw.
trait Drawable {
    /// Draws the plot.
    fn draw_on<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>>;
}

/// Writes a plot of the given size in pixels as PNG and SVG, each atomically.
fn write(plot: &impl Drawable, folder: &Path, name: &str, size: (u32, u32)) -> Result<(), PlotError> {
    use_own_font();
    let path = |extension: &str| folder.join(format!("{name}.{extension}"));
    let error = |extension: &str, reason: String| {
        let path = path(extension).display().to_string();
        PlotError::Draw { path, reason }
    };
    let mut pixels = vec![0; 3 * size.0 as usize * size.1 as usize];
    draw(plot, &Canvas::new(&mut pixels, size).into_drawing_area()).map_err(|e| error("png", e))?;
    let bitmap = Bitmap { size: [size.0 as usize, size.1 as usize], pixels };
    bitmap.write(&path("png")).map_err(|e| error("png", e.to_string()))?;
    let mut text = String::new();
    draw(plot, &SVGBackend::with_string(&mut text, size).into_drawing_area()).map_err(|e| error("svg", e))?;
    write_atomically(&path("svg"), text.as_bytes()).map_err(|e| error("svg", e.to_string()))
}

fn draw<B: DrawingBackend>(plot: &impl Drawable, area: &DrawingArea<B, Shift>) -> Result<(), String> {
    let result = area.fill(&WHITE).and_then(|()| plot.draw_on(area)).and_then(|()| area.present());
    result.map_err(|error| error.to_string())
}
