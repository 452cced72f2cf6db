//! Plans experiments for a dataset, by the rules of nnU-Net.
//!
//! [`fingerprint`] reads every subject once; [`DatasetPlan`] is computed from the fingerprint by pure functions: `spacing`,
//! `topology`, `memory` and `configuration` hold one rule each. [`writer`] writes a plan as experiments, with a comment for
//! every number, and [`explain`] as text.
//!
//! Plans are those of `nnunetv2` 2.8.1, for its default planner and for its presets with residual encoders. Axes are x, y and
//! z, as in the files; nnU-Net's lists run from z to x and begin with the axis perpendicular to slices ([`AxisOrder`]).

mod axes;
mod configuration;
pub mod explain;
pub mod fingerprint;
mod memory;
mod normalization;
mod orientation;
mod plan;
mod preset;
mod quantile;
mod spacing;
mod topology;
pub mod writer;

pub use axes::{AxisOrder, coarsest_axis};
pub use configuration::Batch;
pub use fingerprint::{ChannelIntensities, DatasetFingerprint, LabelOccurrence};
pub use normalization::Normalization;
pub use orientation::Orientation;
pub use plan::{Configuration, DatasetFacts, DatasetPlan};
pub use preset::{Encoder, Preset};
pub use spacing::TargetSpacing;

/// Why a dataset cannot be planned.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// There is nothing to plan for.
    #[error("the dataset has no training subjects")]
    NoSubjects,
    /// A spacing is not a positive number.
    #[error("expected positive spacings, got {spacing:?} mm")]
    Spacing {
        /// Millimetres per voxel.
        spacing: Vec<f64>,
    },
    /// No patch fits.
    #[error("no patch fits into {memory_gb} GB")]
    Memory {
        /// The given memory.
        memory_gb: f64,
    },
}
