//! Volumes on grids in space, and the image files that hold them.

pub mod atomic_file;
pub mod buffer_pool;
pub mod connected_components;
pub mod lock;
pub mod memory;
pub mod nifti;
pub mod orientation;
mod volume;

pub use volume::*;
