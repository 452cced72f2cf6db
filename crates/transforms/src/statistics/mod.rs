//! Whole volumes, and statistics of them: moments and percentiles, of all voxels, of regions and of faces.

pub(crate) mod border;
pub(crate) mod descriptive;
pub(crate) mod moments;
pub(crate) mod nonzero;
pub(crate) mod region;
pub(crate) mod whole_volume;
