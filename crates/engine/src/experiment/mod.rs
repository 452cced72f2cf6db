//! From text to plan: [`experiment`] is what was written, [`load`] reads it, [`check`] makes it a plan.

pub mod check;
pub mod experiment;
pub mod load;
pub mod merge;
pub mod metrics_file;
mod parse_error;
pub mod plan;
pub mod problem;
mod reference;
pub mod schema;
mod syntax;
pub mod tree;
pub mod typed;
