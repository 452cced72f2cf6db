//! Label transforms: one file for each.

pub(crate) mod keep_largest;
pub(crate) mod one_hot;
pub(crate) mod remap_labels;
pub(crate) mod sequential_labels;
