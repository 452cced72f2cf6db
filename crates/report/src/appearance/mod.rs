//! Colours, font, page head and point jitter, shared by charts, plots and the viewer.

use maud::{Markup, PreEscaped, html};

mod font;
pub mod palette;
mod text;

pub(crate) use font::use_own_font;
pub(crate) use text::Canvas;

/// The colours of all pages as CSS variables, light and dark.
const PAGE_COLOURS: &str = include_str!("colours.css");

/// Returns the `head` element of a page with its title, the colours of all pages, and its own style sheets.
pub(crate) fn page_head(title: &str, styles: &[&str]) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="generator" content={ "runner " (env!("CARGO_PKG_VERSION")) };
            title { (title) }
            style { (PreEscaped(PAGE_COLOURS)) @for style in styles { (PreEscaped(*style)) } }
        }
    }
}

/// Returns the horizontal offset of a case's dot in a box plot, between -0.5 and 0.5, so that equal scores do not overlap.
pub(crate) fn jitter(case: usize) -> f64 {
    // Multiples of the golden ratio, modulo 1, fill an interval evenly, whatever their number.
    (case as f64 * 0.618_034).fract() - 0.5
}
