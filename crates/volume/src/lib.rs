//! Volumes on grids in space, and image files.
//!
//! [`Volume`], [`Grid`] and [`Affine`] are the data that the program works on; [`io`] reads and writes them; `orientation` and
//! `connected_components` are algorithms on them; the other modules are about memory and files.

pub mod atomic_file;
mod axis_permutation;
pub mod buffer_pool;
pub mod connected_components;
pub mod io;
pub mod lock;
pub mod memory;
pub mod orientation;
mod volume;

pub use axis_permutation::AxisPermutation;
pub use volume::*;
