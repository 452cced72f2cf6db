//! Sliding-window inference: whole volumes through a network that takes one window at a time.
//!
//! [`options`] is the section of an experiment. [`tiling`] cuts a volume into windows, [`forward`] computes their
//! logits, [`blend`] averages them where they overlap and passes on planes as they are finished, [`activation`]
//! converts them to probabilities, [`inverse_resample`] or [`inverse_zoom`] resamples these, or the logits, to the grid of the
//! image file as [`file_mapping`] says, and [`postprocess`] converts them to a label map. [`sliding_window`] puts the steps together, and [`volumetry`] measures
//! the volumes of labels.

pub mod activation;
pub mod blend;
pub mod file_mapping;
pub mod forward;
pub mod inverse_resample;
pub mod inverse_zoom;
pub mod options;
pub mod postprocess;
pub mod sliding_window;
pub mod tiling;
pub mod volumetry;
