//! The only crate with `unsafe` code: functions compiled for AVX2 and AVX-512, vector loads and stores, gathers, interpolation
//! of rows, products and transposes of matrices, prefetching, memory-mapped files and allocator settings.
//!
//! All functions are safe to call: bounds are checked once per list of indices, and processor features at run time. Only
//! [`map_immutable_file`] has a precondition that it cannot check: the file must not be modified while it is mapped.

#![expect(unsafe_code, reason = "each block states why it is sound; tests/layers.rs allows it in no other crate")]

mod allocator;
#[cfg(target_arch = "x86_64")]
mod corners;
mod dispatch;
#[cfg(target_arch = "x86_64")]
mod gather;
mod map;
pub mod math;
mod prefetch;
pub mod product;
#[cfg(target_arch = "x86_64")]
mod registers;
mod row;
mod transpose;

pub use allocator::retain_freed_memory;
#[cfg(target_arch = "x86_64")]
pub use corners::{CheckedComparison, CornerComparison, CornerPairs};
#[cfg(target_arch = "x86_64")]
pub use dispatch::{has_avx2, has_avx512};
#[cfg(target_arch = "x86_64")]
pub use gather::{CheckedCorners, CornerGather, Gather, GatherIndices, MAX_GROUPS};
pub use map::map_immutable_file;
pub use prefetch::prefetch;
#[cfg(target_arch = "x86_64")]
pub use registers::{LANES, load_f32x8, load_i64x8, store_f32x8, store_i64x4, store_i64x8};
pub use row::{ROW_PADDING, interpolate_row, mix_row};
pub use transpose::{transpose, transpose_into};
