//! Whole volumes and the statistics that transforms compute from them.

pub(crate) mod border;
pub(crate) mod region;
pub(crate) mod statistics;
pub(crate) mod whole;
