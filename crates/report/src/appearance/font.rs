//! The font of every picture and plot.

use std::sync::OnceLock;

use plotters::style::{FontStyle, register_font};

/// Makes the font of a crate the one for all text, so that pictures look the same everywhere.
pub(crate) fn use_own_font() {
    static REGISTERED: OnceLock<()> = OnceLock::new();
    REGISTERED.get_or_init(|| {
        // The font is part of the program: either it can be read always, or the tests fail.
        if register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT).is_err() {
            unreachable!("the font that comes with the program can be read");
        }
    });
}
