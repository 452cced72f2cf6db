//! Whole volumes through a network that sees one window at a time.

pub mod postprocess;
pub mod predict;
pub mod window;
