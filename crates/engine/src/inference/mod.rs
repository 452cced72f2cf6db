//! Sliding-window inference: whole volumes through a network that takes one window at a time.
//!
//! [`options`] is the section of an experiment. [`tiling`] cuts a volume into windows, [`forward`] computes their
//! logits, [`blend`] averages them where they overlap and passes on planes as they are finished, [`activation`]
//! converts them to probabilities, [`inverse_resample`] resamples these to the grid of the image file, and
//! [`postprocess`] converts them to a label map. [`sliding_window`] puts the steps together, and [`volumetry`] measures
//! the volumes of labels.

pub mod activation;
pub mod blend;
pub mod forward;
pub mod inverse_resample;
pub mod options;
pub mod postprocess;
pub mod sliding_window;
pub mod tiling;
pub mod volumetry;
