//! Whole volumes through a network that sees one window at a time.
//!
//! `window` cuts, `predict` sends windows through a network, `blend` puts together what it says and hands on planes as
//! they are finished, `restore` carries them to the grid of the image file, `postprocess` mends the label map.

pub mod activation;
pub mod blend;
pub mod findings;
pub mod postprocess;
pub mod predict;
pub mod restore;
pub mod window;
