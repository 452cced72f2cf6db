//! Mappings between grids: where each outgoing voxel comes from, and its intensity where that is outside the volume.

pub(crate) mod elastic_displacement;
pub(crate) mod grid_mapping;
pub(crate) mod interpolation;
pub(crate) mod padding;
