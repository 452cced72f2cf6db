//! The reference of an experiment's keys, from the types that parse them.
//!
//! [`Manual::experiment`] collects the keys section by section from the JSON Schema, whose descriptions are the doc comments
//! of the types; [`Manual::to_markdown`] is `docs/experiment.md`, and `runner explain` prints single [`Section`]s and keys.

mod markdown;
mod order;
mod section;
mod text;
mod value;

pub use section::{Key, Manual, Section, Topic};
