//! Mappings between grids: the source of each outgoing voxel, and its intensity if the source is outside the volume.

pub(crate) mod elastic_displacement;
pub(crate) mod grid_mapping;
pub(crate) mod interpolation;
pub(crate) mod padding;
pub(crate) mod separate_axis;
pub(crate) mod target_spacing;
