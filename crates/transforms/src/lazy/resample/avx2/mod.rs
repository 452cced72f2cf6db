//! The inner loops of the resampler with AVX2, selected at run time.
//!
//! They compute eight voxels of a row at a time; the last eight of a span may overlap the ones before. Operations and
//! their order are those of the scalar code, without fused multiply-adds, so every processor computes the same bits.
//!
//! The array positions of several groups are computed before the first voxel is read
//! ([`GatherIndices`](simd::GatherIndices)); then voxels are loaded one by one, because gather instructions are slower on
//! many processors. The [`simd`] crate checks the bounds of all these positions together.
//!
//! Functions compiled with AVX2 take no closures, which would be compiled without it and not be inlined.

mod affine;
mod elastic;
mod interpolation;
mod prefetch;
mod scratch;
mod strides;
mod votes;

pub(super) use affine::{can_interpolate, can_look_up, interpolate_rows, locate_rows, look_up_rows};
pub(super) use elastic::{interpolate_elastic_row, look_up_elastic_row};
pub(super) use votes::vote_rows;

#[cfg(test)]
mod tests;
