//! Datasets: sources, splits, cache, samplers, patch queue and dataset checks.

pub mod alignment;
pub mod cache;
pub mod channels;
pub mod checks;
pub mod contained_labels;
pub mod expected_channels;
pub mod load;
pub mod patch;
pub mod phantom;
pub mod queue;
pub mod samplers;
pub mod sources;
pub mod split;
pub mod subject;
pub mod weight_maps;
