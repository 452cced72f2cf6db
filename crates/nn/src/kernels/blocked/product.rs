//! Products of matrices in panels of 32 channels.

pub use simd::product::{Addend, PANEL, Panel, Rows, RowsMut, Segment, multiply, multiply_transposed};

/// Returns the segments of rows of channels, whose panels have a given distance.
pub fn segments(channels: usize, panel_len: usize) -> Vec<Segment> {
    let panels = (0..channels.div_ceil(PANEL))
        .map(|panel| Segment { offset: panel * panel_len, depth: (channels - panel * PANEL).min(PANEL) });
    panels.collect()
}
