//! Spatial transforms: one file for each.

pub(crate) mod affine;
pub(crate) mod crop;
pub(crate) mod crop_or_pad;
pub(crate) mod crop_to_nonzero;
pub(crate) mod elastic_deformation;
pub(crate) mod ensure_shape_multiple;
pub(crate) mod flip;
pub(crate) mod pad;
pub(crate) mod resample;
pub(crate) mod resize;
pub(crate) mod rotate_and_scale;
pub(crate) mod to_canonical;
pub(crate) mod to_orientation;
