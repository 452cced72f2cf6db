//! The font of all plots and pictures.

use std::sync::OnceLock;

use plotters::style::{FontStyle, register_font};

/// Registers the embedded font, so that text looks the same on every machine.
pub(crate) fn use_own_font() {
    static REGISTERED: OnceLock<()> = OnceLock::new();
    REGISTERED.get_or_init(|| {
        if register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT).is_err() {
            unreachable!("the embedded font is valid");
        }
    });
}
