//! Volumes on grids in space, and the image files that hold them.

pub mod buffers;
pub mod components;
pub mod lock;
pub mod memory;
pub mod nifti;
pub mod orientation;
mod volume;
pub mod whole_file;

pub use volume::*;
