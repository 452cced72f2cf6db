//! Colours, font and page head, shared by charts, pictures and pages.

use maud::{Markup, PreEscaped, html};

mod font;
pub mod palette;

pub(crate) use font::use_own_font;

/// The colours of every page, light and dark, as CSS variables.
const COLOURS: &str = include_str!("colours.css");

/// Returns the `head` element of a page: its title, the colours of every page, and the page's own style sheets.
pub(crate) fn page_head(title: &str, styles: &[&str]) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="generator" content={ "runner " (env!("CARGO_PKG_VERSION")) };
            title { (title) }
            style { (PreEscaped(COLOURS)) @for style in styles { (PreEscaped(*style)) } }
        }
    }
}
