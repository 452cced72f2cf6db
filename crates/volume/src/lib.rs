//! Volumes on grids in space, and the image files that hold them.

pub mod atomic_file;
pub mod buffer_pool;
pub mod connected_components;
pub mod io;
pub mod lock;
pub mod memory;
pub mod orientation;
mod volume;

pub use volume::*;
