//! The data that samplers sample from: regions of voxels, label maps and weight maps that are indexed once per subject, and
//! rejection sampling of centres through an index mapping.

pub(super) mod centres;
mod label_index;
pub(super) mod region;
mod weight_index;

pub use label_index::{LabelIndex, LabelRuns};
pub use weight_index::{CumulativeRowSums, WeightIndex, check_weights, cumulative_row_sums};
